"""Messages of the bus on their way to MQTT."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from VenAgent.cloud.bus_batches import MAX_ENTRY_BYTES, BusBatches
from VenAgent.contract import MAX_PAYLOAD_BYTES


def taken(batches: BusBatches, limit: int = 1_000) -> dict[str, Any] | None:
    payloads = [payload for payload in batches.take(limit) if payload is not None]
    assert len(payloads) <= 1
    return json.loads(payloads[0]) if payloads else None


def test_a_batch_has_what_came_in_order_with_topic_time_and_headers() -> None:
    batches = BusBatches("site-1", 10)
    batches.add("devices/a/all", 1.23456, {"Date": "d"}, [{"power": 1.5}, {}])
    batches.add("weather", 2.0, {}, None)
    assert taken(batches) == {
        "schemaVersion": "1.0",
        "venId": "site-1",
        "forwarded": 2,
        "dropped": 0,
        "messages": [
            {
                "topic": "devices/a/all",
                "ts": 1.235,
                "headers": {"Date": "d"},
                "message": [{"power": 1.5}, {}],
            },
            {"topic": "weather", "ts": 2.0, "headers": {}, "message": None},
        ],
    }
    assert taken(batches) is None


def test_when_it_is_full_the_oldest_goes_and_is_counted() -> None:
    batches = BusBatches("site-1", 3)
    for number in range(10):
        batches.add("t", float(number), {}, number)
    assert len(batches) == 3
    batch = taken(batches)
    assert batch is not None
    assert [entry["message"] for entry in batch["messages"]] == [7, 8, 9]
    assert batch["dropped"] == batches.dropped == 7


def test_what_does_not_fit_into_one_message_goes_with_the_next() -> None:
    batches = BusBatches("site-1", 100)
    for number in range(10):
        batches.add("t", 0.0, {}, [number, "x" * 20_000])
    came = []
    while (batch := taken(batches)) is not None:
        assert len(json.dumps(batch)) <= MAX_PAYLOAD_BYTES + 1_000
        came += [entry["message"][0] for entry in batch["messages"]]
    assert came == list(range(10))


def test_no_more_than_the_limit_goes_at_once() -> None:
    batches = BusBatches("site-1", 100)
    for number in range(5):
        batches.add("t", 0.0, {}, number)
    first, second = taken(batches, 3), taken(batches, 3)
    assert first is not None
    assert second is not None
    assert [len(first["messages"]), len(second["messages"])] == [3, 2]


def test_what_drivers_publish_for_no_value_is_null() -> None:
    batches = BusBatches("site-1", 10)
    batches.add("t", 0.0, {}, [{"a": math.nan, "b": [math.inf]}, 1.5])
    batch = taken(batches)
    assert batch is not None
    assert batch["messages"][0]["message"] == [{"a": None, "b": [None]}, 1.5]


def test_what_is_too_large_too_deep_or_no_json_is_left_out_and_counted() -> None:
    batches = BusBatches("site-1", 10)
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    for message in ("x" * MAX_ENTRY_BYTES, deep, {1, 2}, b"bytes", "good"):
        batches.add("t", 0.0, {}, message)
    batch = taken(batches)
    assert batch is not None
    assert [entry["message"] for entry in batch["messages"]] == ["good"]
    assert (batches.unfit, batches.forwarded, batches.dropped) == (4, 1, 0)


@given(steps=st.lists(st.integers(0, 12) | st.none(), max_size=30), limit=st.integers(1, 8))
def test_every_message_is_forwarded_once_or_counted_as_dropped(
    steps: list[int | None], limit: int
) -> None:
    batches = BusBatches("site-1", 5)
    added, came = 0, []
    for step in steps:
        if step is None:
            batch = taken(batches, limit)
            came += [entry["message"] for entry in batch["messages"]] if batch else []
        else:
            for _ in range(step):
                batches.add("t", 0.0, {}, added)
                added += 1
    assert len(batches) <= 5
    assert came == sorted(set(came))
    assert len(came) + batches.dropped + len(batches) == added
