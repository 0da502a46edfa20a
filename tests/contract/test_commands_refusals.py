"""Commands: every refusal says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.builders import NOW, VEN_ID, parse
from tests.support.each_case import each_case
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import CommandNotRead, read_command
from VenAgent.contract.reasons import ReasonCode


def refusal(message: Any) -> CommandNotRead:
    with pytest.raises(CommandNotRead) as caught:
        parse(message)
    return caught.value


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
    ("duration negative", {**SHED, "shed_kw": 5, "duration_sec": -60}, ["duration", "-60 s"]),
    ("duration of nothing", {**SHED, "shed_kw": 5, "duration_sec": 1e-9}, ["duration", "1e-09 s"]),
    ("a day as a number", {**SHED, "shed_kw": 5, "start_ts": 20251009}, ["past", "1970-08-23"]),
    ("a day without hyphens", {**SHED, "shed_kw": 5, "startTime": "20251009"}, ["hyphens"]),
    (
        "an interval under one watt",
        {**SHED, "intervals": [{"duration_sec": 60, "shed_kw": kw} for kw in (4, 0.0001)]},
        ["intervals.1.shed_kw", "less than one watt"],
    ),
    ("a limit under one watt", {"op": "limit", "import_kw": 0.0004}, ["import_kw", "one watt"]),
    (
        "a failsafe under one watt",
        {"op": "limit", "import_kw": 4, "failsafe_kw": 4e-4, "heartbeat_sec": 60},
        ["failsafe_kw", "one watt"],
    ),
    ("no circuit found", {"op": "shedLoad", "reduceKw": 1, "loadId": None}, ["all circuits"]),
    ("no event found", {"op": "restore", "event_id": None}, ["the active event"]),
    ("duration too long", {**SHED, "shed_kw": 5, "durationS": 86_401}, ["duration", "86400"]),
    ("duration no number", {**SHED, "shed_kw": 5, "duration_sec": "30m"}, ["duration", "PT1H15M"]),
    (
        "duration of hundreds of digits",
        {**SHED, "shed_kw": 5, "duration_sec": "PT" + "9" * 400 + "H"},
        ["duration", "finite"],
    ),
    (
        "duration whose parts overflow together",
        {**SHED, "shed_kw": 5, "duration": "PT2" + "0" * 306 + "M1" + "0" * 308 + "S"},
        ["duration", "finite"],
    ),
    ("an interval of nothing", {**SHED, "intervals": [None]}, ["intervals.0", "must be an object"]),
    ("a word for true", {**SHED, "shed_kw": 5, "test": "yes"}, ["test", "true or false"]),
    ("half a priority", {**SHED, "shed_kw": 5, "priority": 1.5}, ["priority", "whole number"]),
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
    *(
        (f"negative: {op}", {"op": op, "event_id": "e1", "modification": -1}, ["0 or more"])
        for op in ("restore", "restorePanel", "cancel")
    ),
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
    ("nested without end", b"[" * 100_000, ["nested", "16 deep"]),
    ("a key twice", b'{"op":"ping","op":"restore"}', ["'op'", "twice"]),
    ("too large", b'{"op":"ping","x":"' + b"x" * 131_072 + b'"}', ["larger", "131072"]),
]


@each_case(
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


def test_a_refusal_of_doubtful_json_is_answered_by_what_is_beyond_doubt() -> None:
    rejected = refusal('{"op":"event","correlationId":"c1","shed_kw":5,"shed_kw":50}')
    assert (rejected.op, rejected.correlation_id) == ("event", "c1")
    assert rejected.code is ReasonCode.DUPLICATE_KEY
    rejected = refusal('{"op":"event","data":{"correlationId":"c2","shed_kw":NaN}}')
    assert (rejected.op, rejected.correlation_id) == ("event", "c2")
    assert rejected.code is ReasonCode.BAD_NUMBER
    rejected = refusal('{"op":"ping","correlationId":"c3","correlationId":"c4"}')
    assert (rejected.op, rejected.correlation_id) == ("ping", None)


@each_case(
    ("message", "kind"),
    [
        (b"[" * 100_000, ReasonCode.TOO_DEEP),
        (b"{}" + b" " * 131_072, ReasonCode.TOO_LARGE),
        (b"{", ReasonCode.NOT_JSON),
        (b"[]", ReasonCode.NOT_AN_OBJECT),
        ({"op": "explode"}, ReasonCode.UNKNOWN_OP),
        ({"op": "ping", "venId": "site-2"}, ReasonCode.OTHER_VEN),
        ({"op": "event"}, ReasonCode.MISSING_FIELD),
        ({"op": "event", "shed_kw": -1}, ReasonCode.POWER_OUT_OF_RANGE),
        ({"op": "event", "shed_kw": "x"}, ReasonCode.BAD_FIELD),
    ],
)
def test_refusals_are_told_apart_for_counting(message: Any, kind: ReasonCode) -> None:
    assert refusal(message).code is kind


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
        with pytest.raises(CommandNotRead, match=word):
            read_command(
                json.dumps({"op": "event", **fields}), ven_id=VEN_ID, limits=limits, now=NOW
            )
