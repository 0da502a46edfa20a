"""The commands that talk to the VEN through its broker, and to the backend."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

import typer

from ops.cli.command_exchange import run_command_exchange
from ops.cli.command_options import Json, Timeout, VenId, chosen_ven_option
from ops.clients.command_sender import ACK_WITHIN_SEC, CommandSenderDraft, send_command_to_ven
from ops.clients.mqtt_client import OperatorMqttClient, operator_mqtt_messages
from ops.clients.ven_target import VenTarget
from ops.host import terminal
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import load_site_settings


def ven_send_event_command(
    shed_kw: Annotated[float, typer.Option(help="Power to shed, in kW.")],
    duration: Annotated[
        float, typer.Option("--duration", "--duration-sec", help="How long, in seconds.")
    ] = 3600,
    event_id: Annotated[str | None, typer.Option(help="The event's id; made up if none.")] = None,
    modification: Annotated[
        int | None,
        typer.Option(help="Number of a change to an event that was sent before: 1, 2, …", min=0),
    ] = None,
    ven_id: VenId = None,
    timeout: Timeout = ACK_WITHIN_SEC,
    json: Json = False,
) -> None:
    """Send a demand-response event, wait for its ack and show it.

    Exits with 1 when the VEN refuses or fails, with 4 when it does not answer: then the command
    has expired, and does not run later.
    """
    target = chosen_ven_option(ven_id)
    draft = CommandSenderDraft(target.ven_id, timeout)
    _send(
        target, draft.event(shed_kw, duration, event_id, modification=modification), timeout, json
    )


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
    if answer.get("ok") is not True:
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


def follow_ven_telemetry(target: VenTarget, count: int | None, json: bool) -> None:
    """From the topic of all VENs; each message once, although it goes to two topics."""
    with OperatorMqttClient(target) as client:
        client.subscribe(target.topics.metering)
        ours = (
            (message, contents)
            for message in client.messages()
            for _, contents in operator_mqtt_messages([message])
            if contents.get("venId") == target.ven_id
        )
        for message, contents in islice(ours, count):
            if json:
                sys.stdout.write(message.payload.decode() + "\n")
                sys.stdout.flush()
            else:
                _print_telemetry(contents)


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
    from ops.clients.ven_registration import ven_registration
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
    answer = backend.post("/api/vens/", ven_registration(target.ven_id, name, lat, lon))
    if json:
        terminal.print_json(answer)
    else:
        terminal.out.print(
            f"registered {target.ven_id} as {answer.get('id', '?')} at {backend.url}"
        )


def _print_telemetry(message: Mapping[str, Any]) -> None:
    """One line a telemetry."""
    parts = [
        terminal.terminal_clock_text(message.get("timestamp")),
        f"#{message.get('seq', '?')}",
        f"power {terminal.terminal_kw_text(message.get('usedPowerKw'))}",
        f"shed {terminal.terminal_kw_text(message.get('shedPowerKw'))}",
    ]
    if message.get("eventId"):
        requested_kw = terminal.terminal_kw_text(message.get("requestedReductionKw"))
        parts.append(f"event {message['eventId']} of {requested_kw}")
    quality = message.get("quality")
    if quality and quality != "good":
        parts.append(f"meter {quality}")
    sys.stdout.write("  ".join(parts) + "\n")
    sys.stdout.flush()
