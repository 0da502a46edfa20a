"""`ping` and `status` as scripts and monitors call them, every minute and without further options.

The parser of options and what it needs take longer than the rest of these: they do without it. Each
imports what it needs itself, so that `--help` loads none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial

from ops.host.ops_error import OpsError
from ops.host.paths import Paths


def quick_command(arguments: Sequence[str]) -> Callable[[], int] | None:
    """What runs the command and gives its exit code; None for all that needs the parser."""
    return _QUICK.get(tuple(arguments))


def quick_command_arguments(
    arguments: Sequence[str], environment: MutableMapping[str, str]
) -> list[str]:
    """The arguments without `--volttron-home PATH`, which any command takes, anywhere.

    It goes into the environment as VOLTTRON_HOME; vctl itself knows no such option. Raises OpsError
    for a command that brings up or ends a VOLTTRON of its own, whichever is named, and
    for an empty PATH, which is no folder: not the one of `start`.
    """
    rest: list[str] = []
    given = environment.get("VOLTTRON_HOME")
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == VOLTTRON_HOME_OPTION and left:
            environment["VOLTTRON_HOME"] = left.pop(0)
        elif word.startswith(f"{VOLTTRON_HOME_OPTION}="):
            environment["VOLTTRON_HOME"] = word.partition("=")[2]
        else:
            rest.append(word)
    if given != environment.get("VOLTTRON_HOME") == "":
        raise OpsError(f"{VOLTTRON_HOME_OPTION} is empty", "Name the VOLTTRON_HOME that is meant.")
    if rest[:1] and rest[0] in _OF_OUR_OWN and environment.get("VOLTTRON_HOME") != given:
        raise OpsError(
            f"`{rest[0]}` is for the VOLTTRON that `start` brings up: it takes no "
            f"{VOLTTRON_HOME_OPTION}",
            "Start and stop yours as you are used to (docs/install.md).",
        )
    return rest


VOLTTRON_HOME_OPTION = "--volttron-home"
_OF_OUR_OWN = ("start", "stop", "restart")


def quick_status_command(*, as_json: bool) -> int:
    from ops.host import terminal
    from ops.services.status_report import print_status_report, site_status_report
    from ops.volttron.meant_site import meant_site_settings

    paths = Paths.from_environment()
    report = site_status_report(paths, meant_site_settings(paths))
    if as_json:
        terminal.print_json({name: value for name, value in report.items() if name != "parts"})
    else:
        print_status_report(report)
    code: int = report["exit_code"]
    return code


def _ping(*, as_json: bool) -> int:
    from ops.cli.command_exchange import run_command_exchange
    from ops.clients.command_sender import ACK_WITHIN_SEC, CommandSenderDraft
    from ops.volttron.meant_site import meant_site_settings

    target = meant_site_settings(Paths.from_environment()).ven_target()
    message = CommandSenderDraft(target.ven_id).of("ping")
    return run_command_exchange(target, message, ACK_WITHIN_SEC, as_json=as_json)


_QUICK: Mapping[tuple[str, ...], Callable[[], int]] = {
    ("ping",): partial(_ping, as_json=False),
    ("ping", "--json"): partial(_ping, as_json=True),
    ("status",): partial(quick_status_command, as_json=False),
    ("status", "--json"): partial(quick_status_command, as_json=True),
}
