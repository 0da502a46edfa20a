"""What ends an event goes first, and never before what it may be about."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.inbound_queue import InboundQueue

TOPIC = "ven/cmd/site-1"
NOW = 1_760_000_000.0
LATER = {"start_ts": NOW + 3600}


def queue_of(*messages: dict[str, Any], topic: str = TOPIC) -> InboundQueue:
    queue = InboundQueue(TOPIC)
    for number, message in enumerate(messages):
        queue.add(InboundMessage(topic, json.dumps(message).encode(), number + 1), NOW)
    return queue


def order(queue: InboundQueue) -> list[int]:
    """The messages' places (from 1) in the order in which they are taken."""
    return [queue.take().mid for _ in range(len(queue))]


def event(event_id: str | None = None, **fields: Any) -> dict[str, Any]:
    named = {} if event_id is None else {"event_id": event_id}
    return {"op": "event", "shed_kw": 1, **named, **fields}


def restore(event_id: str | None = None, **fields: Any) -> dict[str, Any]:
    named = {} if event_id is None else {"event_id": event_id}
    return {"op": "restore", **named, **fields}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([event("a"), event("b"), {"op": "ping"}], [1, 2, 3]),
        ([event("a"), event("b"), restore("running")], [3, 1, 2]),
        ([event("a"), event("b"), restore("b"), event("b")], [2, 3, 1, 4]),
        ([event("a"), {"op": "cancel", "event_id": "a", "modification": 1}], [1, 2]),
        ([event("a", **LATER), {"op": "ping"}, restore()], [3, 1, 2]),
        ([event("a", **LATER), event(), {"op": "ping"}, restore()], [2, 4, 1, 3]),
        ([event(), restore(), event(), restore()], [1, 2, 3, 4]),
        ([{"op": "ping"}, restore("a"), restore("b"), restore("a")], [2, 3, 4, 1]),
        (
            [{"op": "ping", "correlationId": "c"}, event("a"), restore("b", correlationId="c")],
            [1, 3, 2],
        ),
        (
            [event("a"), {"op": "event", "shed_kw": 1, "data": {"eventId": "b"}}, restore("b")],
            [2, 3, 1],
        ),
        ([{"op": "limit", "import_kw": 4}, {"op": "set"}, restore()], [1, 3, 2]),
        ([event("a"), {"op": "restore", "event_id": None}], [1, 2]),
        ([{"op": "setLoad", "loadId": "a", "enabled": False}, restore()], [2, 1]),
    ],
)
def test_the_order(messages: list[dict[str, Any]], expected: list[int]) -> None:
    assert order(queue_of(*messages)) == expected


def test_what_is_no_command_keeps_its_place_and_is_not_looked_into() -> None:
    queue = InboundQueue(TOPIC)
    queue.add(InboundMessage(TOPIC, b"\xff not JSON", 1), NOW)
    queue.add(InboundMessage("$aws/things/site-1/shadow/update/delta", b'{"op":"restore"}', 2), NOW)
    queue.add(InboundMessage(TOPIC, b'{"op":"restore","event_id":"x"}', 3), NOW)
    assert order(queue) == [3, 1, 2]


def test_nothing_waits() -> None:
    queue = queue_of(restore())
    queue.take()
    with pytest.raises(LookupError):
        queue.take()


def test_whatever_comes_each_is_taken_once_and_none_before_what_it_may_be_about() -> None:
    """Against the rule itself, written plainly."""
    lottery = random.Random(12)
    for _ in range(300):
        messages = [
            lottery.choice(
                [
                    event(lottery.choice("abc")),
                    event(**LATER),
                    event(),
                    restore(lottery.choice("abcd")),
                    restore(),
                    {"op": "ping", "correlationId": lottery.choice("xy")},
                ]
            )
            for _ in range(lottery.randrange(1, 12))
        ]
        queue, taken = InboundQueue(TOPIC), []
        waiting = list(enumerate(messages, 1))
        coming = list(waiting)
        while coming or len(queue):  # some come while others are taken
            for number, message in coming[: lottery.randrange(4)]:
                payload = json.dumps(message).encode()
                queue.add(InboundMessage(TOPIC, payload, number), NOW)
                coming.pop(0)
            if len(queue):
                taken.append(queue.take().mid)
        assert sorted(taken) == [number for number, _ in waiting]
        for number, message in waiting:
            place = taken.index(number)
            for earlier, other in waiting[: number - 1]:
                about = message.get("event_id")
                same = about is not None and about == other.get("event_id")
                nameless = message["op"] == "restore" and about is None
                if same or (nameless and other["op"] == "event" and other.get("start_ts") is None):
                    assert taken.index(earlier) < place
