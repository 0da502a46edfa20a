"""Commands of this platform and of the broker, as the router takes them in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from tests.platform.test_effect_executor import CONFIG, Hands
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.runtime.inbound_router import InboundRouter


class Doors:
    """A router over a real engine and executor."""

    def __init__(self, folder: Path) -> None:
        self.hands = Hands(folder)
        self.acknowledged: list[InboundMessage] = []
        updates: Any = None
        bridge: Any = SimpleNamespace(filters=())
        self.router = InboundRouter(
            self.hands.engine,
            self.hands.executor,
            updates,
            get=lambda what: {"what": what},
            check_clock=lambda: None,
            on_change=lambda: None,
        )
        self.router.reconfigure(CONFIG, None, bridge)

    def deliver(self, session_present: bool = True, **fields: Any) -> None:
        topic = CONFIG.topic_names().command
        payload = json.dumps(fields).encode()
        inbound = InboundMessage(topic, payload, 1, 1, session_present)
        self.router.receive(inbound, self.acknowledged.append)


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    doors = Doors(tmp_path)
    yield doors
    doors.hands.journal.close()
    doors.hands.outbox.close()


SHED = {"op": "event", "shed_kw": 3.0, "duration_sec": 600.0}


def test_the_same_call_twice_within_a_second_is_one_event(doors: Doors) -> None:
    first, second = gevent.joinall(
        [gevent.spawn(doors.router.command, SHED) for _ in range(2)], timeout=60
    )
    assert first.value == second.value
    assert first.value["status"] == "accepted"
    assert doors.router.command(SHED) == first.value
    assert len(doors.hands.journal.unfinished()) == 1


def test_the_same_call_after_another_is_another_command(doors: Doors) -> None:
    one = doors.router.command({"op": "get", "what": "loads"})
    doors.router.command({"op": "ping"})
    other = doors.router.command({"op": "get", "what": "loads"})
    assert one["correlationId"] != other["correlationId"]


def test_a_call_with_an_unknown_field_is_refused_by_name(doors: Doors) -> None:
    ack = doors.router.command({"op": "event", "shed_kw": 3, "durationSecs": 5})
    assert (ack["status"], ack["reason_code"]) == ("rejected", "unknown_field")
    assert "durationSecs" in ack["reason"]
    assert doors.router.refused == {"command.unknown_field": 1}


def test_an_undated_event_from_the_brokers_queue_is_refused_after_a_long_absence(
    doors: Doors,
) -> None:
    doors.router.backlog.connected(1_760_000_000.0, 0.0)
    doors.router.backlog._heard_at = float("inf")  # it comes at once
    doors.router.backlog._connected_at = float("inf")
    doors.deliver(**SHED, correlationId="old")
    doors.deliver(op="ping", correlationId="p")
    doors.deliver(**SHED, correlationId="new", session_present=False)
    assert doors.router.refused == {"command.stale_undated_command": 1}
    assert doors.hands.engine.replies.sent_to("old") is None
    assert len(doors.acknowledged) == 3
    assert [each["event_id"] for each in doors.hands.journal.unfinished()] == ["evt-new"]
