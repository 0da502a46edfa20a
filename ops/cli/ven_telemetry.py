"""A VEN's telemetry on this terminal, one line a message."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host import terminal


def follow_ven_telemetry(target: VenTarget, count: int | None, json: bool) -> None:
    """From the topic of all VENs; each message once, although it goes to two topics."""
    with OperatorMqttClient(target) as client:
        client.subscribe(target.topics.status, target.topics.metering)
        ours = (
            (message, contents)
            for message in client.messages()
            for topic, contents in mqtt_client_messages([message])
            if contents.get("venId") == target.ven_id and not _is_presence(target, topic, contents)
        )
        for message, contents in islice(ours, count):
            if json:
                sys.stdout.write(message.payload.decode() + "\n")
                sys.stdout.flush()
            else:
                _print_telemetry(contents)


def _is_presence(target: VenTarget, topic: str, contents: Mapping[str, Any]) -> bool:
    """Whether it is the VEN's status and no telemetry; that it is away is said, or one would wait
    without a word."""
    if topic == target.topics.status and contents.get("status") == "offline":
        terminal.print_note(f"{target.ven_id} is offline at the broker {target.broker}")
    return topic == target.topics.status


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
