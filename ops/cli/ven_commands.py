"""The commands that talk to the VEN through its broker, and to the backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ops.cli.command_exchange import run_command_exchange
from ops.cli.command_options import (
    Json,
    Timeout,
    VenId,
    chosen_ven_option,
    option_duration,
    option_number,
)
from ops.cli.event_levels import event_levels
from ops.cli.ven_telemetry import follow_ven_telemetry
from ops.clients.command_sender import ACK_WITHIN_SEC, CommandSenderDraft, send_command_to_ven
from ops.clients.ven_target import VenTarget
from ops.host import terminal
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import load_site_settings


def ven_send_event_command(
    shed_kw: Annotated[
        float | None, typer.Option(help="Power to shed, in kW.", parser=option_number, metavar="KW")
    ] = None,
    limit_kw: Annotated[
        float | None,
        typer.Option(
            help="What the site may draw, in kW, until further notice.",
            parser=option_number,
            metavar="KW",
        ),
    ] = None,
    limit_export_kw: Annotated[
        float | None,
        typer.Option(
            help="What the site may feed in, in kW; alone, or beside --limit-kw.",
            parser=option_number,
            metavar="KW",
        ),
    ] = None,
    load_up_kw: Annotated[
        float | None,
        typer.Option(help="Power to draw more, in kW.", parser=option_number, metavar="KW"),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(help="Several levels of shedding, kW x seconds each: 5x600,3x600."),
    ] = None,
    limit_levels: Annotated[
        str | None, typer.Option(help="Several limits, kW x seconds each: 15x900,10x900.")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            "--duration-sec",
            help="How long, in seconds or as PT30M: 3600 if not given; 0 until it is cancelled.",
            parser=option_duration,
            metavar="TIME",
        ),
    ] = None,
    failsafe_kw: Annotated[
        float | None,
        typer.Option(
            help="Of a limit: what rules when the sender falls silent.",
            parser=option_number,
            metavar="KW",
        ),
    ] = None,
    heartbeat_sec: Annotated[
        float | None,
        typer.Option(
            help="Of a limit: silent for so long, that is.", parser=option_duration, metavar="TIME"
        ),
    ] = None,
    failsafe_min_sec: Annotated[
        float | None,
        typer.Option(
            help="Of a limit: how long its failsafe rules at least.",
            parser=option_duration,
            metavar="TIME",
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Carry it out, marked as a test.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be shed; nothing is written.")
    ] = False,
    event_id: Annotated[str | None, typer.Option(help="The event's id; made up if none.")] = None,
    modification: Annotated[
        int | None,
        typer.Option(help="Number of a change to an event that was sent before: 1, 2, …", min=0),
    ] = None,
    ven_id: VenId = None,
    timeout: Timeout = ACK_WITHIN_SEC,
    json: Json = False,
) -> None:
    """Send a demand-response event, a limit or more load, wait for its ack and show it.

    Exits with 1 when the VEN refuses or fails, with 4 when it does not answer: then the command
    has expired, and does not run later.
    """
    asked = {
        "--shed-kw": shed_kw,
        "--limit-kw": limit_kw,
        "--limit-export-kw": limit_export_kw if limit_kw is None else None,
        "--load-up-kw": load_up_kw,
        "--levels": levels,
        "--limit-levels": limit_levels,
    }
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise OpsError(
            "say what is asked for: one of " + ", ".join(asked),
            *([f"Given were {' and '.join(given)}."] if given else []),
        )
    is_limit = given[0].startswith("--limit")
    if limit_export_kw is not None and given[0] not in ("--limit-kw", "--limit-export-kw"):
        raise OpsError("--limit-export-kw goes alone, or with --limit-kw")
    if (failsafe_kw is None) != (heartbeat_sec is None) or (failsafe_kw and not is_limit):
        raise OpsError("--failsafe-kw and --heartbeat-sec go together, with a limit")
    if failsafe_min_sec is not None and failsafe_kw is None:
        raise OpsError("--failsafe-min-sec goes with --failsafe-kw and --heartbeat-sec")
    fields: dict[str, Any] = {
        "shed_kw": shed_kw,
        "import_kw": limit_kw,
        "export_kw": limit_export_kw,
        "raise_kw": load_up_kw,
        "failsafe_kw": failsafe_kw,
        "heartbeat_sec": heartbeat_sec,
        "failsafe_min_sec": failsafe_min_sec,
        "duration_sec": duration,
        "test": test or None,
        "dry_run": dry_run or None,
    }
    if levels is not None:
        fields["intervals"] = event_levels(levels, "shed_kw")
    if limit_levels is not None:
        fields["intervals"] = event_levels(limit_levels, "import_kw")
    op = "limit" if is_limit else "event" if load_up_kw is None else "loadUp"
    target = chosen_ven_option(ven_id)
    draft = CommandSenderDraft(target.ven_id, timeout)
    message = draft.about_event(op, event_id, modification, **fields)
    _send(target, message, timeout, json)


def ven_restore_command(
    event_id: Annotated[str | None, typer.Option(help="The active event, if none.")] = None,
    ven_id: VenId = None,
    timeout: Timeout = ACK_WITHIN_SEC,
    json: Json = False,
) -> None:
    """End an event and restore its circuits."""
    target = chosen_ven_option(ven_id)
    _send(
        target,
        CommandSenderDraft(target.ven_id, timeout).of("restore", event_id=event_id),
        timeout,
        json,
    )


def ven_ping_command(
    ven_id: VenId = None, timeout: Timeout = ACK_WITHIN_SEC, json: Json = False
) -> None:
    """Ask the VEN for a sign of life."""
    target = chosen_ven_option(ven_id)
    _send(target, CommandSenderDraft(target.ven_id, timeout).of("ping"), timeout, json)


def _send(target: VenTarget, message: Mapping[str, Any], timeout_sec: float, json: bool) -> None:
    raise typer.Exit(run_command_exchange(target, message, timeout_sec, as_json=json))


def ven_shadow_command(ven_id: VenId = None, timeout: Timeout = ACK_WITHIN_SEC) -> None:
    """The device's state as its shadow reports it, as JSON."""
    target = chosen_ven_option(ven_id)
    message = CommandSenderDraft(target.ven_id, timeout).of("get", what="shadow")
    answer = send_command_to_ven(target, message, timeout)
    if not terminal.ack_is_done(answer):
        raise OpsError(f"{target.ven_id} refuses: {answer.get('reason', 'it gives no reason')}")
    terminal.print_json(answer.get("data"))


# --- to follow ---------------------------------------------------------------------------------


def ven_telemetry_command(
    ven_id: VenId = None,
    count: Annotated[int | None, typer.Option(help="End after so many.", min=1)] = None,
    json: Json = False,
) -> None:
    """Follow the VEN's telemetry until Ctrl-C."""
    try:
        follow_ven_telemetry(chosen_ven_option(ven_id), count, json)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def ven_register_command(
    ven_id: VenId = None,
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude.", min=-90, max=90)] = None,
    lon: Annotated[float | None, typer.Option(help="Longitude.", min=-180, max=180)] = None,
    backend_url: Annotated[
        str | None, typer.Option(envvar="BACKEND_URL", help="The operator's backend.")
    ] = None,
    json: Json = False,
) -> None:
    """Register the VEN with the operator's backend (BACKEND_URL, or the one that runs here).

    With BACKEND_API_KEY where the backend wants a key.
    """
    from ops.clients.backend_client import BackendClient  # HTTP is needed here only
    from ops.clients.ven_registration import send_ven_registration, ven_registration
    from ops.services.backend_service import backend_service_url

    target = chosen_ven_option(ven_id)
    paths = Paths.from_environment()
    remembered = load_site_settings(paths)
    url = backend_url or (remembered.variables.get("BACKEND_URL") if remembered else None)
    url = url or backend_service_url(paths)
    if not url:
        raise OpsError(
            "BACKEND_URL is not set: there is no backend to register with",
            "Set it, e.g. BACKEND_URL=http://localhost:8000, or name it with --backend-url.",
        )
    backend = BackendClient(url)
    wanted = ven_registration(target.ven_id, name, lat, lon)
    answer = send_ven_registration(backend, wanted, named=name is not None)
    if json:
        terminal.print_json(answer)
    else:
        terminal.out.print(
            f"registered {target.ven_id} as {answer.get('id', '?')} at {backend.url}"
        )
