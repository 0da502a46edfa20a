"""The command lines of scripts/ven_cmd_publish.py and scripts/ven_telemetry_listen.py."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ops.cli.ven_commands import follow_telemetry
from ops.clients.command_sender import ACK_WITHIN_SEC, ask_ven, command, event_command
from ops.clients.mqtt_client import OperatorMqttClient
from ops.host import site_settings as settings
from ops.host import terminal as show
from ops.host.paths import Paths
from VenAgent.config import AgentConfig

_TARGET_OPTIONS = {
    "--ven-id": ("IOT_THING_NAME", "the VEN's id, its AWS IoT thing name"),
    "--endpoint": ("IOT_ENDPOINT", "AWS IoT endpoint, or the host of another broker"),
    "--port": ("MQTT_PORT", "the broker's port: 8883 at an endpoint, else 1883"),
    "--ca-cert": ("CA_CERT", "TLS: the CA's certificate, PEM"),
    "--client-cert": ("CLIENT_CERT", "TLS: our certificate, PEM"),
    "--private-key": ("PRIVATE_KEY", "TLS: our key, PEM"),
}
"""Each stands for an environment variable of the VEN, and wins over it."""


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        epilog="What is not given is taken from the environment, then from the last "
        "`ven_control.sh start`.",
    )
    for option, (variable, text) in _TARGET_OPTIONS.items():
        parser.add_argument(option, dest=variable, help=f"{text} ({variable})")
    return parser


def _target(options: argparse.Namespace) -> AgentConfig:
    given = {variable: getattr(options, variable) for variable, _ in _TARGET_OPTIONS.values()}
    overrides = {variable: value for variable, value in given.items() if value}
    return settings.current_site_settings(Paths.from_environment(), os.environ).agent(overrides)


def _run(body: Callable[[], int]) -> int:
    return show.terminal_exit_code(body, interrupted=0)


def publish(arguments: Sequence[str] | None = None) -> int:
    """Publish one command; 0 when the VEN's ack says ok."""
    parser = _parser("Publish a command to a VEN and wait for its ack.")
    add = parser.add_argument
    add("--op", default="ping", help="event, shedPanel, shedLoad, restore, cancel, ping, get, …")
    add("--corr-id", help="correlationId; made up if none")
    add("--shed-kw", type=float, help="power to shed, kW")
    add("--duration", type=float, help="seconds")
    add("--event-id", help="the event's id")
    add("--load-id", help="the circuit of shedLoad and setLoad")
    add("--what", help="what to get: status, config, loads, shadow")
    add("--data", type=_object, default={}, help="more fields, a JSON object")
    add("--timeout", type=float, default=ACK_WITHIN_SEC, help="seconds to wait for the ack")
    add("--no-wait", action="store_true", help="do not wait for the ack")
    add("--json", action="store_true", help="print the ack as JSON")
    options = parser.parse_args(arguments)
    return _run(lambda: _publish(options))


def _publish(options: argparse.Namespace) -> int:
    agent = _target(options)
    message = build(options, agent.ven_id)
    if options.no_wait:
        with OperatorMqttClient(agent) as client:
            client.publish(agent.topic_names().command, message)
        show.print_json(message)
        return 0
    answer = ask_ven(agent, message, options.timeout)
    if options.json or answer.get("data") is not None:
        show.print_json(answer)
    else:
        show.print_ack(answer)
    return 0 if answer.get("ok") is True else 1


def build(options: argparse.Namespace, ven_id: str) -> dict[str, Any]:
    """The command that the options ask for."""
    if options.op == "event" and options.shed_kw is not None:
        duration = 3600.0 if options.duration is None else options.duration
        message = event_command(
            ven_id, options.shed_kw, duration, options.event_id, options.corr_id
        )
        return {**message, **options.data}
    fields = {
        "event_id": options.event_id,
        "shed_kw": options.shed_kw,
        "duration_sec": options.duration,
        "loadId": options.load_id,
        "what": options.what,
    }
    return {**command(options.op, ven_id, options.corr_id, **fields), **options.data}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def listen(arguments: Sequence[str] | None = None) -> int:
    """Follow a VEN's telemetry until Ctrl-C."""
    parser = _parser("Follow a VEN's telemetry.")
    parser.add_argument("--count", type=int, help="end after so many messages")
    parser.add_argument("--json", action="store_true", help="print the messages as they are")
    options = parser.parse_args(arguments)

    def body() -> int:
        follow_telemetry(_target(options), options.count, options.json)
        sys.stdout.flush()
        return 0

    return _run(body)
