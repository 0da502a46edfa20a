"""Commands: whatever comes is read, or refused with an answer."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.contract.builders import NOW, OPS, VEN_ID, parse
from tests.support.each_case import each_case
from tests.support.example_count import example_count
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import ShedCommand, event_command_window

NAMES = st.sampled_from(
    [
        "op", "venId", "correlationId", "data", "event_id", "shed_kw", "amountKw", "reduceKw",
        "duration_sec", "start_ts", "endTime", "modification", "expires_ts", "priority", "loadId",
        "what", "enabled", "report_interval_sec", "intervals", "import_kw", "raise_kw", "issued_ts",
        "failsafe_kw", "heartbeat_sec", "duration", "x_note", "test",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(UNICODE_CHARACTERS, max_size=12)
    | st.text(st.characters(), max_size=3)
    | st.sampled_from([VEN_ID, "e1", "5", "2025-10-09T08:53:20Z", "status", "0001-01-01", "\ud800"])
    | st.sampled_from([5, 0.5, 60, NOW + 60, 10**400, -(10**400), 1e308])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)
)
MESSAGES = st.builds(
    lambda op, fields: {"op": op, **fields},
    st.sampled_from([op for op, _, _ in OPS]),
    st.dictionaries(
        NAMES.filter(lambda name: name != "op") | st.text(UNICODE_CHARACTERS, max_size=4), VALUES
    ),
)


def check(payload: bytes | str) -> None:
    """Either a command or a refusal that can be answered; and nothing else, ever."""
    try:
        command = parse(payload)
    except CommandNotRead as rejected:
        check_refusal(rejected)
        return
    assert command.op in {op for op, _, _ in OPS}
    assert parse(payload).fingerprint == command.fingerprint
    if isinstance(command, ShedCommand):
        assert 0.0 < command.shed_kw <= 48.0
        start_ts, end_ts = event_command_window(command, NOW)
        assert math.isfinite(start_ts)
        if command.duration_sec == 0 and command.end_ts is None:
            end_ts = start_ts + 86_400.0
        assert end_ts > NOW
        assert 1.0 <= end_ts - start_ts <= 86_400.0
        assert start_ts <= NOW + 30 * 86_400
        assert command.modification >= 0


def check_refusal(rejected: CommandNotRead) -> None:
    assert rejected.reason
    assert rejected.op
    answer = [rejected.reason, rejected.op, rejected.correlation_id, rejected.event_id]
    assert len(json.dumps(answer, allow_nan=False)) < 60_000


@settings(deadline=None, max_examples=example_count(100))
@given(payload=st.binary(max_size=200) | st.text(UNICODE_CHARACTERS, max_size=100))
@example(payload=b"\xff\xfe{\x00}\x00")
@example(payload=b"\xef\xbb\xbf{}")
@example(payload="\ufeff{}")
@example(payload="\ud800")
@example(payload="[" * 990)
@example(payload="1" * 5000)
def test_any_bytes_are_read_or_refused(payload: bytes | str) -> None:
    check(payload)


@settings(deadline=None, max_examples=example_count(100))
@given(message=MESSAGES | VALUES)
def test_any_json_is_read_or_refused(message: Any) -> None:
    check(json.dumps(message))
    check(json.dumps(message).encode())
    if isinstance(message, dict):
        op = message.pop("op", "ping")
        check(json.dumps({"op": op, "data": message}))


@each_case("key", ["venId", "op", "event_id", "correlationId", "shed_kw", "other"])
def test_deep_nesting_is_read_or_refused(key: str) -> None:
    for depth in [10, 500, *range(900, 1010, 3)]:
        nested = "[" * depth + "]" * depth
        rest = "" if key == "op" else ', "op": "event"'
        check(f'{{"{key}": {nested}{rest}}}')
        check(f'{{"data": {{"{key}": {nested}}}{rest}}}')
