"""scripts/test_mqtt_telemetry.py: hears a VEN's telemetry and holds it against the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ops.cli import script_options as options
from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host import terminal
from ops.host.ops_error import OpsError
from VenAgent.contract.telemetry import TelemetryCircuit, TelemetryLoad

_NEEDED = ("venId", "timestamp", "usedPowerKw", "shedPowerKw", "requestedReductionKw", "eventId")


def mqtt_telemetry_check_script(
    ven: options.ScriptVen = None,
    ven_id: options.ScriptVenId = None,
    count: Annotated[int, typer.Option(help="Telemetries to check.", min=1)] = 3,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for them.")] = 60.0,
    endpoint: options.Endpoint = None,
    port: options.BrokerPort = None,
    region: options.AwsRegion = None,
    ca_cert: options.CaCert = None,
    client_cert: options.ClientCert = None,
    private_key: options.PrivateKey = None,
) -> None:
    """Check that the broker is reached, and that a VEN's telemetry is right."""
    target = options.script_option_target(
        ven_id=options.script_option_ven_id(ven, ven_id),
        endpoint=endpoint,
        port=port,
        region=region,
        ca_cert=ca_cert,
        client_cert=client_cert,
        private_key=private_key,
    )
    heard = _heard(target, count, timeout)
    problems = _telemetry_problems(heard)
    if len(heard) < count:
        problems.append(f"only {len(heard)} of {count} telemetries came in {timeout:g} s")
    if problems:
        raise OpsError("the telemetry is not right", output=problems)
    terminal.out.print(f"✓ {len(heard)} telemetries, all as the contract says")


def _heard(target: VenTarget, count: int, timeout_sec: float) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    with OperatorMqttClient(target) as client:
        terminal.out.print(f"✓ connected to {target.broker}")
        client.subscribe(target.topics.metering)
        terminal.out.print(f"✓ subscribed to {target.topics.metering}; waiting for {target.ven_id}")
        for _, message in mqtt_client_messages(client.messages(timeout_sec)):
            if message.get("venId") != target.ven_id:
                continue
            heard.append(message)
            terminal.out.print(f"  {len(heard)}: {_described(message)}")
            if len(heard) == count:
                break
    return heard


def _described(message: Mapping[str, Any]) -> str:
    circuits, loads = len(message.get("circuits") or ()), len(message.get("loads") or ())
    return (
        f"seq {message.get('seq')}, {message.get('usedPowerKw')} kW, {circuits} circuits, "
        f"{loads} loads, {message.get('quality')}"
    )


def _telemetry_problems(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What in these telemetries, in the order they came, is not as docs/mqtt-topics.md says."""
    problems = []
    for number, message in enumerate(messages, start=1):
        missing = [name for name in _NEEDED if name not in message]
        if missing:
            problems.append(f"telemetry {number} has no {', '.join(missing)}")
        for name, model in (("circuits", TelemetryCircuit), ("loads", TelemetryLoad)):
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
