"""`ping` and `status` as scripts and monitors call them, every minute and without further options.

The parser of options and what it needs take longer than the rest of these: they do without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ops.host.paths import Paths
from ops.host.site_settings import current_site_settings


def quick_command(arguments: Sequence[str]) -> Callable[[], int] | None:
    """What runs the command and gives its exit code; None for all that needs the parser."""
    return _QUICK.get(tuple(arguments))


def show_status(*, as_json: bool) -> int:
    from ops.host import terminal
    from ops.services.status_report import site_status_report

    paths = Paths.from_environment()
    report = site_status_report(paths, current_site_settings(paths, os.environ))
    if as_json:
        terminal.print_json({name: value for name, value in report.items() if name != "parts"})
    else:
        terminal.print_status(report)
    code: int = report["exit_code"]
    return code


def _ping(*, as_json: bool) -> int:
    from ops.cli.command_exchange import exchange_command
    from ops.clients.command_sender import ACK_WITHIN_SEC, CommandDraft

    target = current_site_settings(Paths.from_environment(), os.environ).ven_target()
    message = CommandDraft(target.ven_id).of("ping")
    return exchange_command(target, message, ACK_WITHIN_SEC, as_json=as_json)


_QUICK: Mapping[tuple[str, ...], Callable[[], int]] = {
    ("ping",): partial(_ping, as_json=False),
    ("ping", "--json"): partial(_ping, as_json=True),
    ("status",): partial(show_status, as_json=False),
    ("status", "--json"): partial(show_status, as_json=True),
}
