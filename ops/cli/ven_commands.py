"""The commands that talk to the VEN through its broker, and to the backend."""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import Annotated, Any

import typer

from ops.clients import ven_registration as register
from ops.clients.command_sender import ACK_WITHIN_SEC, ask_ven, command, event_command
from ops.clients.mqtt_client import OperatorMqttClient, decoded_messages
from ops.host import site_settings as settings
from ops.host import terminal as show
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.services import backend_service as backend
from VenAgent.config import AgentConfig

VenId = Annotated[
    str | None, typer.Option("--ven-id", help="The VEN, if not the one that was started here.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the ack.", min=0.1)]


def target(ven_id: str | None) -> AgentConfig:
    """The VEN to talk to, and its broker: as started, unless the environment says otherwise."""
    overrides = {"IOT_THING_NAME": ven_id} if ven_id else {}
    return settings.current_site_settings(Paths.from_environment(), os.environ).agent(overrides)


def send_event(
    shed_kw: Annotated[float, typer.Option(help="Power to shed, in kW.")],
    duration: Annotated[float, typer.Option(help="How long, in seconds.")] = 3600,
    event_id: Annotated[str | None, typer.Option(help="The event's id; made up if none.")] = None,
    ven_id: VenId = None,
    timeout: Timeout = ACK_WITHIN_SEC,
    json: Json = False,
) -> None:
    """Send a demand-response event, wait for its ack and show it."""
    agent = target(ven_id)
    _send(agent, event_command(agent.ven_id, shed_kw, duration, event_id), timeout, json)


def restore(
    event_id: Annotated[str | None, typer.Option(help="The active event, if none.")] = None,
    ven_id: VenId = None,
    timeout: Timeout = ACK_WITHIN_SEC,
    json: Json = False,
) -> None:
    """End an event and restore its circuits."""
    agent = target(ven_id)
    _send(agent, command("restore", agent.ven_id, event_id=event_id), timeout, json)


def ping(ven_id: VenId = None, timeout: Timeout = ACK_WITHIN_SEC, json: Json = False) -> None:
    """Ask the VEN for a sign of life."""
    agent = target(ven_id)
    _send(agent, command("ping", agent.ven_id), timeout, json)


def _send(agent: AgentConfig, message: dict[str, Any], timeout_sec: float, json: bool) -> None:
    """Exits with 1 when the VEN refuses, or fails."""
    answer = ask_ven(agent, message, timeout_sec)
    if json:
        show.print_json(answer)
    else:
        show.print_ack(answer)
    if answer.get("ok") is not True:
        raise typer.Exit(1)


def shadow(ven_id: VenId = None, timeout: Timeout = ACK_WITHIN_SEC) -> None:
    """The device's state as its shadow reports it, as JSON."""
    agent = target(ven_id)
    answer = ask_ven(agent, command("get", agent.ven_id, what="shadow"), timeout)
    if answer.get("ok") is not True:
        raise OpsError(f"{agent.ven_id} refuses: {answer.get('reason', 'it gives no reason')}")
    show.print_json(answer.get("data"))


# --- to follow ---------------------------------------------------------------------------------


def telemetry(
    ven_id: VenId = None,
    count: Annotated[int | None, typer.Option(help="End after so many.", min=1)] = None,
    json: Json = False,
) -> None:
    """Follow the VEN's telemetry until Ctrl-C."""
    agent = target(ven_id)
    try:
        follow_telemetry(agent, count, json)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def follow_telemetry(agent: AgentConfig, count: int | None, json: bool) -> None:
    """From the topic of all VENs; each message once, although it goes to two topics."""
    topic = agent.topic_names().metering
    with OperatorMqttClient(agent) as client:
        client.subscribe(topic)
        ours = (
            (message, contents)
            for message in client.messages()
            for _, contents in decoded_messages([message])
            if contents.get("venId") == agent.ven_id
        )
        for message, contents in islice(ours, count):
            if json:
                sys.stdout.write(message.payload.decode() + "\n")
                sys.stdout.flush()
            else:
                show.print_telemetry(contents)


def register_ven(
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
    agent = target(ven_id)
    if (lat is None) != (lon is None):
        raise OpsError("--lat and --lon belong together")
    remembered = settings.load_site_settings(Paths.from_environment())
    url = backend_url or (remembered.variables.get("BACKEND_URL") if remembered else None)
    url = url or backend.local_backend_url(Paths.from_environment())
    answer = register.register(url, register.registration(agent.ven_id, name, lat, lon))
    if json:
        show.print_json(answer)
    else:
        show.out.print(f"registered {agent.ven_id} as {answer.get('id', '?')} at {url}")
