"""The command lines of scripts/register_ven.py, monitor_ven.py and test_mqtt_telemetry.py."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from ops.cli.ven_scripts import _parser, _run, _target
from ops.clients import ven_registration as register
from ops.clients.backend_client import DEFAULT_URL, BackendClient, backend_ven_path
from ops.clients.mqtt_client import OperatorMqttClient, decoded_messages
from ops.host import terminal as show
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.services import backend_service as backend
from VenAgent.contract.telemetry import CircuitEntry, LoadEntry

NEEDED = ("venId", "timestamp", "usedPowerKw", "shedPowerKw", "requestedReductionKw", "eventId")


def backend_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--backend-url",
        default=os.environ.get("BACKEND_URL")
        or backend.local_backend_url(Paths.from_environment())
        or DEFAULT_URL,
        help=f"the operator's backend (BACKEND_URL, else the one that runs here, or {DEFAULT_URL})",
    )
    parser.add_argument(
        "--ven-id",
        default=os.environ.get("IOT_THING_NAME"),
        required=not os.environ.get("IOT_THING_NAME"),
        help="the VEN's id, its AWS IoT thing name (IOT_THING_NAME)",
    )
    return parser


# --- register_ven.py ---------------------------------------------------------------------------


def register_ven(arguments: Sequence[str] | None = None) -> int:
    """Register a VEN; 0 when the backend has it."""
    parser = backend_parser("Register a VEN with the operator's backend.")
    parser.add_argument("--name", help="its name for people")
    parser.add_argument("--lat", type=float, help="latitude")
    parser.add_argument("--lon", type=float, help="longitude")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    options = parser.parse_args(arguments)
    if (options.lat is None) != (options.lon is None):
        parser.error("--lat and --lon belong together")

    def body() -> int:
        wanted = register.registration(options.ven_id, options.name, options.lat, options.lon)
        ven = BackendClient(options.backend_url).post("/api/vens/", wanted)
        if options.json:
            show.print_json(ven)
        else:
            show.out.print(f"registered {ven['id']} ({ven['name']}), {ven['status']}")
        return 0

    return _run(body)


# --- monitor_ven.py ----------------------------------------------------------------------------


def monitor_ven(arguments: Sequence[str] | None = None) -> int:
    """A line whenever the VEN said something new, until Ctrl-C."""
    parser = backend_parser("Follow a VEN's status and telemetry, as the backend has them.")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between looks")
    parser.add_argument("--count", type=int, help="end after so many lines")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args(arguments)

    def body() -> int:
        backend, last, lines = BackendClient(options.backend_url), None, 0
        while options.count is None or lines < options.count:
            ven = backend.get(backend_ven_path(options.ven_id))
            said = (ven["lastSeen"], ven["status"])
            if said != last:
                last, lines = said, lines + 1
                _show_ven(ven, options.json)
            if options.count is None or lines < options.count:
                time.sleep(options.interval)
        return 0

    return _run(body)


def _show_ven(ven: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show.print_json(ven)
        return
    metrics = ven["metrics"]
    event = metrics["activeEventId"]
    shed = ", ".join(metrics["shedLoadIds"])
    show.out.print(
        f"{ven['lastSeen'] or 'never heard':28} {ven['status']:8} "
        f"{_kw(metrics['currentPowerKw'])} kW, could shed {_kw(metrics['shedAvailabilityKw'])} kW"
        + (f", event {event}" if event else "")
        + (f", shed: {shed}" if shed else ""),
        soft_wrap=True,
    )


def _kw(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


# --- test_mqtt_telemetry.py --------------------------------------------------------------------


def check_telemetry(arguments: Sequence[str] | None = None) -> int:
    """Connect, hear the VEN's telemetry, and check it; 0 when all of it is as it should be."""
    parser = _parser("Check that the broker is reached, and that a VEN's telemetry is right.")
    parser.add_argument("--count", type=int, default=3, help="telemetries to check")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for them")
    options = parser.parse_args(arguments)

    def body() -> int:
        agent = _target(options)
        topics = agent.topic_names()
        with OperatorMqttClient(agent) as client:
            show.out.print(f"✓ connected to {agent.broker.host}:{agent.broker.port}")
            client.subscribe(topics.metering)
            show.out.print(f"✓ subscribed to {topics.metering}; waiting for {agent.ven_id}")
            heard: list[dict[str, Any]] = []
            for _, message in decoded_messages(client.messages(options.timeout)):
                if message.get("venId") != agent.ven_id:
                    continue
                heard.append(message)
                show.out.print(f"  {len(heard)}: {_described(message)}")
                if len(heard) == options.count:
                    break
        problems = telemetry_problems(heard)
        if len(heard) < options.count:
            problems.append(
                f"only {len(heard)} of {options.count} telemetries came in {options.timeout:g} s"
            )
        if problems:
            raise OpsError("the telemetry is not right", output=problems)
        show.out.print(f"✓ {len(heard)} telemetries, all as the contract says")
        return 0

    return _run(body)


def _described(message: dict[str, Any]) -> str:
    circuits, loads = len(message.get("circuits") or ()), len(message.get("loads") or ())
    return (
        f"seq {message.get('seq')}, {message.get('usedPowerKw')} kW, {circuits} circuits, "
        f"{loads} loads, {message.get('quality')}"
    )


def telemetry_problems(messages: Sequence[dict[str, Any]]) -> list[str]:
    """What in these telemetries, in the order they came, is not as docs/mqtt-topics.md says."""
    problems = []
    for number, message in enumerate(messages, start=1):
        missing = [name for name in NEEDED if name not in message]
        if missing:
            problems.append(f"telemetry {number} has no {', '.join(missing)}")
        for name, model in (("circuits", CircuitEntry), ("loads", LoadEntry)):
            for entry in message.get(name) or ():
                try:
                    model.model_validate(entry)
                except ValidationError as error:
                    first = error.errors()[0]
                    field = ".".join(map(str, first["loc"]))
                    problems.append(f"telemetry {number}, {name}: {field}: {first['msg']}")
    numbers = [message["seq"] for message in messages if "seq" in message]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        problems.append(f"seq does not grow: {numbers}")
    return problems
