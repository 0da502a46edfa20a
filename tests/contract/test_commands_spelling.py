"""Commands: every spelling is understood."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.builders import NOW, OPS, VEN_ID, parse
from tests.support.each_case import each_case
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import Command, PingCommand, ShedCommand
from VenAgent.contract.reasons import ReasonCode


@each_case(("op", "kind", "fields"), OPS, ids=[op for op, _, _ in OPS])
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
    ("durationSec", 90, "duration_sec", 90.0),
    ("duration", "PT1M30S", "duration_sec", 90.0),
    ("shedKw", 4.5, "shed_kw", 4.5),
    ("startTs", NOW + 10, "start_ts", NOW + 10),
    ("endTs", NOW + 500, "end_ts", NOW + 500),
    ("issuedTs", NOW - 5, "issued_ts", NOW - 5),
    ("expiresTs", NOW + 5, "expires_ts", NOW + 5),
    ("test", True, "test", True),
    ("dry_run", True, "dry_run", True),
    ("randomize_start_sec", 60, "randomize_start_sec", 60.0),
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
    ("load_id", "ev1", "circuit_id", "ev1"),
    ("circuit_id", "ev1", "circuit_id", "ev1"),
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
    *[
        ("limit", needed, key, sent, key, read)
        for needed, key, sent, read in (
            ({}, "import_kw", 0, 0.0),
            ({}, "export_kw", 4.5, 4.5),
            ({"import_kw": 4}, "window_sec", "PT1M", 60.0),
            ({"import_kw": 4, "heartbeat_sec": 60}, "failsafe_kw", 4.2, 4.2),
            ({"import_kw": 4, "failsafe_kw": 4}, "heartbeat_sec", 60, 60.0),
            (
                {"import_kw": 4, "failsafe_kw": 4, "heartbeat_sec": 60},
                "failsafe_min_sec",
                "PT2H",
                7200.0,
            ),
            ({"import_kw": 4}, "start_ts", NOW + 10, NOW + 10),
            ({"import_kw": 4}, "duration_sec", 90, 90.0),
        )
    ],
    ("loadUp", {}, "raise_kw", 2, "raise_kw", 2.0),
    ("loadUp", {"raise_kw": 2}, "duration", 90, "duration_sec", 90.0),
    ("ping", {}, "correlationId", "c1", "correlation_id", "c1"),
]
KW_NAMES = {"shedKw", "shed_kw", "requestedReductionKw", "requestedShedKw", "amountKw", "reduceKw"}


def needed_for(key: str) -> dict[str, Any]:
    return {} if key in KW_NAMES else {"shed_kw": 5.0}


SPELLINGS = [
    *[(op, needed_for(s[0]), *s) for op in ("event", "shedPanel") for s in SHED_SPELLINGS],
    *[("shedLoad", needed_for(s[0]), *s) for s in LOAD_SPELLINGS],
    *OTHER_SPELLINGS,
]


@each_case("place", ["at the top", "in data", "all in data"])
@each_case(
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


def test_a_field_in_both_places_is_one_value_or_refused() -> None:
    """Two values are a slip: either could be meant."""
    command = parse({"op": "event", "shed_kw": 5, "data": {"op": "event", "shedKw": "5.0"}})
    assert isinstance(command, ShedCommand)
    assert command.shed_kw == 5.0
    for data in ({"shed_kw": 7}, {"op": "ping"}, {"amountKw": 7}):
        with pytest.raises(CommandNotRead, match="stands at the top and in data") as caught:
            parse({"op": "event", "shed_kw": 5, "data": data})
        assert caught.value.code is ReasonCode.CONTRADICTION


@each_case(
    ("fields", "refused"),
    [
        ({"start_ts": NOW + 10, "end_ts": NOW + 610, "duration_sec": 600}, False),
        ({"start_ts": NOW + 10, "end_ts": NOW + 610.4, "duration_sec": "PT10M"}, False),
        ({"start_ts": NOW + 10, "end_ts": NOW + 610, "duration_sec": 900}, True),
        ({"start_ts": (NOW + 10) * 1000, "end_ts": NOW + 610, "duration_sec": 60}, True),
    ],
)
def test_an_end_and_a_duration_that_disagree_are_refused(
    fields: dict[str, Any], refused: bool
) -> None:
    message = {"op": "event", "shed_kw": 5, **fields}
    if not refused:
        assert isinstance(parse(message), ShedCommand)
        return
    with pytest.raises(CommandNotRead, match="it is to last") as caught:
        parse(message)
    assert caught.value.code is ReasonCode.CONTRADICTION


def test_no_intervals_at_all_are_no_intervals() -> None:
    with pytest.raises(CommandNotRead, match="intervals: there are none in it"):
        parse({"op": "event", "shed_kw": 5, "intervals": []})


def test_data_that_is_null_is_no_data() -> None:
    assert isinstance(parse({"op": "ping", "data": None}), PingCommand)


def test_fields_of_somebodys_own_do_no_harm() -> None:
    own = {"x_weather": {"sun": True}, "x_": None}
    assert isinstance(parse({"op": "ping", **own, "data": {"x_y": []}}), PingCommand)


def test_our_own_id_is_accepted() -> None:
    assert isinstance(parse({"op": "ping", "venId": VEN_ID}), PingCommand)
    assert isinstance(parse({"op": "ping", "data": {"venId": VEN_ID}}), PingCommand)


@each_case("payload", [b'{"op":"ping"}', '{"op":"ping"}', ' {"op" : "ping"}\n'])
def test_bytes_and_text_are_read(payload: bytes | str) -> None:
    assert isinstance(parse(payload), PingCommand)


@each_case("op", ["event", "shedPanel"])
def test_a_shed_of_the_panel_has_no_circuit(op: str) -> None:
    for key in ("loadId", "circuitId", "circuit_id"):
        with pytest.raises(CommandNotRead, match=f"{key}: {op} has no use for"):
            parse({"op": op, "shed_kw": 5, key: "ev1"})


@each_case(
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
