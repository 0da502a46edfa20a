"""Commands: every spelling is understood, and every refusal says why."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    CommandLimits,
    CommandRejected,
    GetCommand,
    PingCommand,
    RestoreCommand,
    SetCommand,
    SetLoadCommand,
    ShedCommand,
    ShedLoadCommand,
    event_window,
    parse_command,
)

NOW = 1_760_000_000.0
VEN_ID = "site-1"
LIMITS = CommandLimits(max_shed_kw=48.0)


def parse(message: Any) -> Command:
    payload = message if isinstance(message, (bytes, str)) else json.dumps(message)
    return parse_command(payload, ven_id=VEN_ID, limits=LIMITS, now=NOW)


def refusal(message: Any) -> CommandRejected:
    with pytest.raises(CommandRejected) as caught:
        parse(message)
    return caught.value


# ---- every spelling ---------------------------------------------------------------------------

OPS = [
    ("event", ShedCommand, {"shed_kw": 5}),
    ("shedPanel", ShedCommand, {"shed_kw": 5}),
    ("shedLoad", ShedLoadCommand, {"shed_kw": 5}),
    ("restore", RestoreCommand, {}),
    ("restorePanel", RestoreCommand, {}),
    ("cancel", CancelCommand, {"event_id": "e1"}),
    ("ping", PingCommand, {}),
    ("get", GetCommand, {}),
    ("set", SetCommand, {}),
    ("setConfig", SetCommand, {}),
    ("setLoad", SetLoadCommand, {"loadId": "ev1"}),
]


@pytest.mark.parametrize(("op", "kind", "fields"), OPS, ids=[op for op, _, _ in OPS])
def test_every_op_is_known(op: str, kind: type[Command], fields: dict[str, Any]) -> None:
    command = parse({"op": op, **fields})
    assert type(command) is kind
    assert command.op == op


ISO = "2025-10-09T08:53:20Z"
"""NOW as ISO 8601."""

SHED_SPELLINGS = [
    ("shed_kw", 4.5, "shed_kw", 4.5),
    ("requestedReductionKw", 4.5, "shed_kw", 4.5),
    ("requestedShedKw", 4.5, "shed_kw", 4.5),
    ("amountKw", 4.5, "shed_kw", 4.5),
    ("event_id", "e1", "event_id", "e1"),
    ("eventId", "e1", "event_id", "e1"),
    ("duration_sec", 90, "duration_sec", 90.0),
    ("duration_s", 90, "duration_sec", 90.0),
    ("durationS", 90, "duration_sec", 90.0),
    ("start_ts", NOW + 10, "start_ts", NOW + 10),
    ("startTime", NOW + 10, "start_ts", NOW + 10),
    ("startTime", ISO, "start_ts", NOW),
    ("end_ts", NOW + 500, "end_ts", NOW + 500),
    ("endTime", NOW + 500, "end_ts", NOW + 500),
    ("endTime", "2025-10-09T09:53:20+00:00", "end_ts", NOW + 3600),
    ("modification", 3, "modification", 3),
    ("issued_ts", NOW - 5, "issued_ts", NOW - 5),
    ("expires_ts", NOW + 5, "expires_ts", NOW + 5),
    ("event_priority", 2, "event_priority", 2),
    ("priority", 2, "event_priority", 2),
    ("correlationId", "c1", "correlation_id", "c1"),
]
LOAD_SPELLINGS = [
    ("loadId", "ev1", "circuit_id", "ev1"),
    ("circuitId", "ev1", "circuit_id", "ev1"),
    ("reduceKw", 4.5, "shed_kw", 4.5),
    ("amountKw", 4.5, "shed_kw", 4.5),
    ("shed_kw", 4.5, "shed_kw", 4.5),
    ("duration_sec", 90, "duration_sec", 90.0),
    ("duration_s", 90, "duration_sec", 90.0),
    ("durationS", 90, "duration_sec", 90.0),
]
OTHER_SPELLINGS = [
    *[
        (op, {}, *spelling)
        for op in ("restore", "restorePanel", "cancel")
        for spelling in (("event_id", "e1", "event_id", "e1"), ("eventId", "e1", "event_id", "e1"))
    ],
    *[("get", {}, "what", what, "what", what) for what in ("status", "config", "loads")],
    *[
        (op, {}, *spelling)
        for op in ("set", "setConfig")
        for spelling in (
            ("report_interval_sec", 10, "report_interval_sec", 10.0),
            ("report_interval_seconds", 10, "report_interval_sec", 10.0),
            ("shadow_interval_sec", 60, "shadow_interval_sec", 60.0),
        )
    ],
    ("setLoad", {}, "loadId", "ev1", "circuit_id", "ev1"),
    ("setLoad", {"loadId": "ev1"}, "enabled", False, "enabled", False),
    ("setLoad", {"loadId": "ev1"}, "priority", 4, "priority", 4),
    ("ping", {}, "correlationId", "c1", "correlation_id", "c1"),
]
KW_NAMES = {"shed_kw", "requestedReductionKw", "requestedShedKw", "amountKw", "reduceKw"}


def needed_for(key: str) -> dict[str, Any]:
    return {} if key in KW_NAMES else {"shed_kw": 5.0}


SPELLINGS = [
    *[(op, needed_for(s[0]), *s) for op in ("event", "shedPanel") for s in SHED_SPELLINGS],
    *[("shedLoad", needed_for(s[0]), *s) for s in LOAD_SPELLINGS],
    *OTHER_SPELLINGS,
]


@pytest.mark.parametrize("place", ["at the top", "in data", "all in data"])
@pytest.mark.parametrize(
    ("op", "others", "key", "sent", "field", "read"),
    SPELLINGS,
    ids=[f"{op}-{key}-{sent}" for op, _, key, sent, _, _ in SPELLINGS],
)
def test_every_spelling_is_understood(
    op: str, others: dict[str, Any], key: str, sent: Any, field: str, read: Any, place: str
) -> None:
    message: dict[str, Any] = {
        "at the top": {"op": op, **others, key: sent},
        "in data": {"op": op, **others, "data": {key: sent}},
        "all in data": {"data": {"op": op, **others, key: sent}},
    }[place]
    got = getattr(parse(message), field)
    assert got == read
    assert type(got) is type(read)


def test_a_field_at_the_top_wins_over_one_in_data() -> None:
    command = parse({"op": "event", "shed_kw": 5, "data": {"op": "ping", "shed_kw": 7}})
    assert isinstance(command, ShedCommand)
    assert command.shed_kw == 5.0


def test_data_that_is_null_is_no_data() -> None:
    assert isinstance(parse({"op": "ping", "data": None}), PingCommand)


def test_fields_that_are_not_known_do_no_harm() -> None:
    assert isinstance(
        parse({"op": "ping", "weather": {"sun": True}, "data": {"x": []}}), PingCommand
    )


def test_our_own_id_is_accepted() -> None:
    assert isinstance(parse({"op": "ping", "venId": VEN_ID}), PingCommand)
    assert isinstance(parse({"op": "ping", "data": {"venId": VEN_ID}}), PingCommand)


@pytest.mark.parametrize("payload", [b'{"op":"ping"}', '{"op":"ping"}', ' {"op" : "ping"}\n'])
def test_bytes_and_text_are_read(payload: bytes | str) -> None:
    assert isinstance(parse(payload), PingCommand)


@pytest.mark.parametrize("op", ["event", "shedPanel"])
def test_a_shed_of_the_panel_has_no_circuit(op: str) -> None:
    for key in ("loadId", "circuitId", "circuit_id"):
        command = parse({"op": op, "shed_kw": 5, key: "ev1"})
        assert isinstance(command, ShedCommand)
        assert getattr(command, "circuit_id", None) is None


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("shed_kw", "requestedReductionKw"),
        ("duration_sec", "durationS"),
        ("start_ts", "startTime"),
        ("event_id", "eventId"),
        ("event_priority", "priority"),
    ],
)
def test_a_null_under_one_spelling_does_not_hide_the_value_under_another(
    key: str, other: str
) -> None:
    value = "e7" if key == "event_id" else NOW + 7 if key == "start_ts" else 7
    needed = {} if key == "shed_kw" else {"shed_kw": 5.0}
    command = parse({"op": "event", **needed, key: None, other: value})
    assert getattr(command, key) == value


# ---- numbers and times ------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["4.5", " 4.5 ", "45e-1", 4.5])
def test_numbers_are_read_from_numeric_strings_too(sent: Any) -> None:
    command = parse({"op": "event", "shed_kw": sent, "duration_sec": "60", "modification": "2"})
    assert isinstance(command, ShedCommand)
    assert (command.shed_kw, command.duration_sec, command.modification) == (4.5, 60.0, 2)


@settings(deadline=None, max_examples=100)
@given(end_ts=st.floats(NOW + 2, NOW + 86_000) | st.integers(int(NOW) + 2, int(NOW) + 86_000))
def test_times_are_read_from_numeric_strings_too(end_ts: float) -> None:
    command = parse({"op": "event", "shed_kw": 1, "end_ts": str(end_ts)})
    assert isinstance(command, ShedCommand)
    assert command.end_ts == end_ts


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2025-10-09T08:53:20Z", NOW),
        ("2025-10-09T08:53:20", NOW),
        ("2025-10-09T08:53:20.250Z", NOW + 0.25),
        ("2025-10-09T10:53:20+02:00", NOW),
        (" 2025-10-09 08:53:20Z ", NOW),
    ],
)
def test_times_are_read_from_iso_8601(sent: str, expected: float) -> None:
    command = parse({"op": "event", "shed_kw": 1, "startTime": sent})
    assert isinstance(command, ShedCommand)
    assert command.start_ts == pytest.approx(expected)


def test_a_time_without_a_zone_is_utc_wherever_the_house_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        command = parse({"op": "event", "shed_kw": 1, "startTime": "2025-10-09T08:53:20"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert isinstance(command, ShedCommand)
    assert command.start_ts == NOW


def test_ids_that_are_numbers_are_read_as_text() -> None:
    command = parse({"op": "ping", "correlationId": 17, "event_id": 4})
    assert (command.correlation_id, command.event_id) == ("17", "4")


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        ({}, (NOW, NOW + 3600)),
        ({"duration_sec": 60}, (NOW, NOW + 60)),
        ({"start_ts": NOW + 10}, (NOW + 10, NOW + 3610)),
        ({"start_ts": NOW + 10, "duration_sec": 60}, (NOW + 10, NOW + 70)),
        ({"end_ts": NOW + 100}, (NOW, NOW + 100)),
        ({"start_ts": NOW + 10, "end_ts": NOW + 100}, (NOW + 10, NOW + 100)),
        ({"end_ts": NOW + 100, "duration_sec": 7}, (NOW, NOW + 100)),
        ({"start_ts": NOW - 10, "duration_sec": 60}, (NOW - 10, NOW + 50)),
    ],
)
def test_when_an_event_begins_and_ends(fields: dict[str, Any], window: tuple[float, float]) -> None:
    command = parse({"op": "event", "shed_kw": 1, **fields})
    assert isinstance(command, ShedCommand)
    assert event_window(command, NOW) == window


# ---- every refusal ----------------------------------------------------------------------------

SHED = {"op": "event", "correlationId": "c1", "event_id": "e1"}
REFUSALS: list[tuple[str, Any, list[str]]] = [
    ("kW missing", SHED, ["kw", "missing"]),
    ("kW null", {**SHED, "shed_kw": None}, ["kw"]),
    ("kW a text", {**SHED, "shed_kw": "much"}, ["kw", "number"]),
    ("kW empty", {**SHED, "shed_kw": ""}, ["kw", "number"]),
    ("kW a truth", {**SHED, "shed_kw": True}, ["kw", "number"]),
    ("kW a list", {**SHED, "shed_kw": [5]}, ["kw"]),
    ("kW not finite as text", {**SHED, "shed_kw": "inf"}, ["kw", "finite"]),
    ("kW not a number as text", {**SHED, "shed_kw": "nan"}, ["kw", "finite"]),
    ("kW not finite", '{"op":"event","shed_kw":Infinity}', ["kw", "finite"]),
    ("kW not a number", '{"op":"event","shed_kw":NaN}', ["kw", "finite"]),
    ("kW beyond all floats", '{"op":"event","shed_kw":1e999}', ["kw", "finite"]),
    ("kW beyond all floats, whole", {**SHED, "shed_kw": 10**400}, ["kw", "finite"]),
    ("kW zero", {**SHED, "shed_kw": 0}, ["shed_kw", "above 0"]),
    ("kW negative", {**SHED, "shed_kw": -5}, ["shed_kw", "above 0", "-5"]),
    ("kW over the rating", {**SHED, "shed_kw": 48.1}, ["48.1", "rating", "48 kW"]),
    ("load kW over the rating", {"op": "shedLoad", "loadId": "ev1", "reduceKw": 49}, ["rating"]),
    ("duration too short", {**SHED, "shed_kw": 5, "duration_sec": 0.5}, ["duration", "0.5 s"]),
    ("duration zero", {**SHED, "shed_kw": 5, "duration_sec": 0}, ["past"]),
    ("duration negative", {**SHED, "shed_kw": 5, "duration_sec": -60}, ["past"]),
    ("duration too long", {**SHED, "shed_kw": 5, "durationS": 86_401}, ["duration", "86400"]),
    ("duration no number", {**SHED, "shed_kw": 5, "duration_sec": "long"}, ["duration", "number"]),
    (
        "duration negative, later",
        {**SHED, "shed_kw": 5, "start_ts": NOW + 100, "duration_sec": -60},
        ["duration"],
    ),
    ("end past", {**SHED, "shed_kw": 5, "end_ts": NOW - 1}, ["past"]),
    ("end now", {**SHED, "shed_kw": 5, "end_ts": NOW}, ["past"]),
    (
        "window past",
        {**SHED, "shed_kw": 5, "start_ts": NOW - 100, "duration_sec": 60},
        ["past"],
    ),
    (
        "reversed",
        {**SHED, "shed_kw": 5, "start_ts": NOW + 100, "end_ts": NOW + 50},
        ["end_ts", "later", "start_ts"],
    ),
    ("start no time", {**SHED, "shed_kw": 5, "startTime": "tomorrow"}, ["start"]),
    ("start not finite", {**SHED, "shed_kw": 5, "start_ts": "inf"}, ["start"]),
    ("expired", {**SHED, "shed_kw": 5, "expires_ts": NOW - 1}, ["expired"]),
    ("expired now", {**SHED, "shed_kw": 5, "expires_ts": NOW}, ["expired"]),
    ("modification negative", {**SHED, "shed_kw": 5, "modification": -1}, ["modification"]),
    ("modification broken", {**SHED, "shed_kw": 5, "modification": 1.5}, ["modification"]),
    ("another site", {"op": "ping", "venId": "site-2"}, ["site-2", VEN_ID]),
    ("another site in data", {"op": "ping", "data": {"venId": "site-2"}}, ["site-2"]),
    ("unknown op", {"op": "explode"}, ["explode", "shedPanel", "ping"]),
    ("no op", {"shed_kw": 5}, ["op"]),
    ("op in the wrong case", {"op": "PING"}, ["PING"]),
    ("op no text", {"op": ["ping"]}, ["op"]),
    ("event id a list", {**SHED, "shed_kw": 5, "event_id": ["e"]}, ["event_id", "text"]),
    ("event id empty", {**SHED, "shed_kw": 5, "event_id": " "}, ["event_id", "empty"]),
    ("event id endless", {**SHED, "shed_kw": 5, "event_id": "e" * 257}, ["event_id", "256"]),
    ("event id unprintable", {**SHED, "shed_kw": 5, "event_id": "e\n1"}, ["event_id"]),
    ("get what", {"op": "get", "what": "money"}, ["what", "status", "config", "loads"]),
    ("set no number", {"op": "set", "report_interval_sec": "often"}, ["report_interval_sec"]),
    ("setLoad without a load", {"op": "setLoad", "enabled": True}, ["missing"]),
    ("setLoad enabled no truth", {"op": "setLoad", "loadId": "a", "enabled": "yes"}, ["enabled"]),
    ("data no object", {"op": "ping", "data": [1]}, ["data", "object"]),
    ("not JSON", b"{shed 5", ["JSON"]),
    ("nothing", b"", ["JSON"]),
    ("not UTF-8", b'{"op":"\xff"}', ["JSON"]),
    ("a list", [1, 2], ["object"]),
    ("a number", b"5", ["object"]),
    ("null", b"null", ["object"]),
    ("nested without end", b"[" * 100_000, ["JSON"]),
    ("too large", b'{"op":"ping","x":"' + b"x" * 131_072 + b'"}', ["larger", "131072"]),
]


@pytest.mark.parametrize(
    ("message", "words"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_what_cannot_be_obeyed_is_refused_with_a_reason(message: Any, words: list[str]) -> None:
    reason = refusal(message).reason
    for word in words:
        assert word.lower() in reason.lower()
    assert len(reason) < 1000
    assert "\n" not in reason


def test_a_refusal_can_be_answered() -> None:
    rejected = refusal({**SHED, "shed_kw": -1})
    assert (rejected.op, rejected.correlation_id, rejected.event_id) == ("event", "c1", "e1")
    rejected = refusal({"op": "boom", "data": {"correlationId": "c2", "eventId": "e2"}})
    assert (rejected.op, rejected.correlation_id, rejected.event_id) == ("boom", "c2", "e2")
    rejected = refusal({"op": "ping", "correlationId": "c3", "data": 5})
    assert (rejected.op, rejected.correlation_id) == ("ping", "c3")
    rejected = refusal(b"?")
    assert (rejected.op, rejected.correlation_id, rejected.event_id) == ("unknown", None, None)


def test_several_faults_are_all_named() -> None:
    reason = refusal({"op": "event", "shed_kw": "x", "duration_sec": "y"}).reason
    assert "kw" in reason
    assert "duration" in reason


def test_the_edges_of_what_is_accepted() -> None:
    for fields in ({"shed_kw": 48.0}, {"shed_kw": 0.001}):
        parse({"op": "event", **fields})
    for duration_sec in (1, 86_400):
        parse({"op": "event", "shed_kw": 5, "duration_sec": duration_sec})
    parse({"op": "event", "shed_kw": 5, "event_id": "e" * 256})


def test_the_limits_are_the_sites() -> None:
    limits = CommandLimits(max_shed_kw=10.0, min_duration_sec=60.0, max_duration_sec=120.0)
    for fields, word in (
        ({"shed_kw": 11}, "rating"),
        ({"shed_kw": 5, "duration_sec": 59}, "duration"),
        ({"shed_kw": 5, "duration_sec": 121}, "duration"),
    ):
        with pytest.raises(CommandRejected, match=word):
            parse_command(
                json.dumps({"op": "event", **fields}), ven_id=VEN_ID, limits=limits, now=NOW
            )


# ---- whatever comes ---------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "op", "venId", "correlationId", "data", "event_id", "shed_kw", "amountKw", "reduceKw",
        "duration_sec", "start_ts", "endTime", "modification", "expires_ts", "priority", "loadId",
        "what", "enabled", "report_interval_sec",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
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
    st.dictionaries(NAMES.filter(lambda name: name != "op") | st.text(max_size=4), VALUES),
)


def check(payload: bytes | str) -> None:
    """Either a command or a refusal that can be answered; and nothing else, ever."""
    try:
        command = parse(payload)
    except CommandRejected as rejected:
        check_refusal(rejected)
        return
    assert command.op in {op for op, _, _ in OPS}
    if isinstance(command, ShedCommand):
        assert 0.0 < command.shed_kw <= 48.0
        start_ts, end_ts = event_window(command, NOW)
        assert math.isfinite(start_ts)
        assert end_ts > NOW
        assert 1.0 <= end_ts - start_ts <= 86_400.0
        assert command.modification >= 0


def check_refusal(rejected: CommandRejected) -> None:
    assert rejected.reason
    assert rejected.op
    answer = [rejected.reason, rejected.op, rejected.correlation_id, rejected.event_id]
    assert len(json.dumps(answer, allow_nan=False)) < 60_000


@settings(deadline=None, max_examples=200)
@given(payload=st.binary(max_size=200) | st.text(max_size=100))
@example(payload=b"\xff\xfe{\x00}\x00")
@example(payload=b"\xef\xbb\xbf{}")
@example(payload="\ufeff{}")
@example(payload="\ud800")
@example(payload="[" * 990)
@example(payload="1" * 5000)
def test_any_bytes_are_read_or_refused(payload: bytes | str) -> None:
    check(payload)


@settings(deadline=None, max_examples=300)
@given(message=MESSAGES | VALUES)
def test_any_json_is_read_or_refused(message: Any) -> None:
    check(json.dumps(message))
    check(json.dumps(message).encode())
    if isinstance(message, dict):
        op = message.pop("op", "ping")
        check(json.dumps({"op": op, "data": message}))


@pytest.mark.parametrize("key", ["venId", "op", "event_id", "correlationId", "shed_kw", "other"])
def test_deep_nesting_is_read_or_refused(key: str) -> None:
    for depth in [10, 500, *range(900, 1010, 3)]:
        nested = "[" * depth + "]" * depth
        rest = "" if key == "op" else ', "op": "event"'
        check(f'{{"{key}": {nested}{rest}}}')
        check(f'{{"data": {{"{key}": {nested}}}{rest}}}')
