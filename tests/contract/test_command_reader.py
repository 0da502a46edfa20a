"""Commands: what is not understood is refused by name, and is never another command."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.builders import NOW, OPS, parse
from tests.support.each_case import each_case
from tests.support.example_count import example_count
from VenAgent.contract.command_fields import SPELLINGS
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import CommandNotRead, read_command
from VenAgent.contract.commands import (
    COMMAND_OF_OP,
    EventCommand,
    LimitCommand,
    RestoreCommand,
    ShedCommand,
)
from VenAgent.contract.golden import GOLDEN_COMMANDS
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.reasons import ReasonCode

SHED: dict[str, Any] = {"op": "event", "shed_kw": 5}
DAY = 86_400


def refused(message: Any) -> CommandNotRead:
    with pytest.raises(CommandNotRead) as caught:
        parse(message)
    return caught.value


# ---- names ---------------------------------------------------------------------------------------


@each_case(
    ("message", "key", "nearest"),
    [
        ({**SHED, "durationSecs": 60}, "durationSecs", "durationSec"),
        ({**SHED, "duration_sek": 60}, "duration_sek", "duration_sec"),
        ({**SHED, "Duration": 60}, "Duration", "duration"),
        ({**SHED, "start_time": NOW}, "start_time", "startTime"),
        ({**SHED, "startts": NOW}, "startts", "startTs"),
        ({"op": "event", "shed_kW": 5}, "shed_kW", "shed_kw"),
        ({"op": "restore", "eventID": "e1"}, "eventID", "eventId"),
        ({"op": "restore", "evnt_id": "e1"}, "evnt_id", "event_id"),
        ({"op": "cancel", "event": "e1"}, "event", "eventId"),
        ({"op": "restore", "data": {"eventid": "e1"}}, "eventid", "eventId"),
        ({"op": "ping", "corelationId": "c"}, "corelationId", "correlationId"),
        ({"op": "ping", "venID": "site-1"}, "venID", "venId"),
        ({"op": "limit", "importKw": 4}, "importKw", "import_kw"),
        ({"op": "set", "report_interval": 5}, "report_interval", "report_interval_sec"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_that_is_known(
    message: dict[str, Any], key: str, nearest: str
) -> None:
    rejected = refused(message)
    assert rejected.code is ReasonCode.UNKNOWN_FIELD
    assert rejected.reason == f"{key}: there is no such field; did you mean {nearest}?"


def test_an_unknown_field_that_is_like_none_is_refused_with_all_that_the_op_has() -> None:
    rejected = refused({"op": "setConfig", "zone": 5})
    assert rejected.code is ReasonCode.UNKNOWN_FIELD
    assert "zone: there is no such field; setConfig has" in rejected.reason
    assert "report_interval_sec, shadow_interval_sec" in rejected.reason


@each_case(
    "message",
    [
        {"op": "setConfig", "target_power_kw": 5},
        {"op": "setLoad", "loadId": "ev1", "capacityKw": 5},
    ],
)
def test_what_no_op_can_apply_is_refused_not_dropped(message: dict[str, Any]) -> None:
    assert refused(message).code is ReasonCode.UNKNOWN_FIELD


@each_case(
    ("message", "key"),
    [
        ({**SHED, "loadId": "ev1"}, "loadId"),
        ({**SHED, "import_kw": 5}, "import_kw"),
        ({"op": "restore", "shed_kw": 5}, "shed_kw"),
        ({"op": "restore", "duration_sec": 60}, "duration_sec"),
        ({"op": "cancel", "loadId": "ev1"}, "loadId"),
        ({"op": "ping", "event_id": "e1"}, "event_id"),
        ({"op": "get", "what": "loads", "loadId": "ev1"}, "loadId"),
        ({"op": "set", "shadow_interval_sec": 5, "enabled": True}, "enabled"),
        ({"op": "setLoad", "loadId": "ev1", "enabled": True, "event_id": "e"}, "event_id"),
        ({"op": "loadUp", "raise_kw": 2, "intervals": []}, "intervals"),
        ({"op": "limit", "import_kw": 2, "shed_kw": 2}, "shed_kw"),
    ],
)
def test_a_field_that_the_op_cannot_apply_is_refused(message: dict[str, Any], key: str) -> None:
    rejected = refused(message)
    assert rejected.code is ReasonCode.FIELD_NOT_APPLICABLE
    assert rejected.reason.startswith(f"{key}: {message['op']} has no use for this field")


def test_a_null_does_not_make_an_unknown_field_known() -> None:
    assert refused({"op": "restore", "eventID": None}).code is ReasonCode.UNKNOWN_FIELD


@settings(deadline=None, max_examples=example_count(200))
@given(
    op=st.sampled_from([op for op, _, _ in OPS]),
    field=st.sampled_from([key for keys in SPELLINGS.values() for key in keys]),
    at=st.integers(0, 30),
    letter=st.sampled_from("aeknst_KS"),
    how=st.sampled_from(["without", "twice", "another"]),
)
def test_one_wrong_letter_is_refused(op: str, field: str, at: int, letter: str, how: str) -> None:
    at %= len(field)
    wrong = {
        "without": field[:at] + field[at + 1 :],
        "twice": field[:at] + field[at] + field[at:],
        "another": field[:at] + letter + field[at + 1 :],
    }[how]
    known = {*COMMAND_OF_OP[op].spellings(), "venId", "ven_id", "op", "data"}
    if wrong in known or wrong.startswith("x_"):
        return
    needed = next(fields for name, _, fields in OPS if name == op)
    assert refused({"op": op, **needed, wrong: 1}).code in (
        ReasonCode.UNKNOWN_FIELD,
        ReasonCode.FIELD_NOT_APPLICABLE,
    )


@each_case(
    ("fields", "code"),
    [
        ({"shed_kw": 5, "amountKw": 5}, None),
        ({"shed_kw": 5, "requestedReductionKw": "5.0"}, None),
        ({"shed_kw": 5, "amountKw": 6}, ReasonCode.CONTRADICTION),
        ({"shed_kw": 5, "amountKw": True}, ReasonCode.CONTRADICTION),
        ({"shed_kw": 5, "duration": "PT30M", "duration_s": 1800}, None),
        ({"shed_kw": 5, "duration": "PT30M", "duration_s": 1801}, ReasonCode.CONTRADICTION),
        ({"shed_kw": 5, "start_ts": NOW, "startTime": "2025-10-09T08:53:20Z"}, None),
        ({"shed_kw": 5, "start_ts": NOW, "startTime": (NOW + 1) * 1000}, ReasonCode.CONTRADICTION),
        ({"shed_kw": 5, "data": {"amountKw": 5, "duration_s": 60}}, None),
        ({"shed_kw": 5, "data": {"amountKw": 6, "duration_s": 60}}, ReasonCode.CONTRADICTION),
    ],
)
def test_two_spellings_of_one_field_must_agree(
    fields: dict[str, Any], code: ReasonCode | None
) -> None:
    if code is not None:
        assert refused({"op": "event", **fields}).code is code
        return
    command = parse({"op": "event", **fields})
    assert isinstance(command, ShedCommand)
    assert command.shed_kw == 5.0


# ---- values --------------------------------------------------------------------------------------


@each_case(
    "value",
    [True, False, "1_0", "\u0661\u0660", "\uff11\uff10", "0x10", "5 kW", "5,0", "", []],
)
def test_what_is_no_number_is_refused_wherever_a_number_stands(value: Any) -> None:
    for message in (
        {"op": "event", "shed_kw": value},
        {**SHED, "duration_sec": value},
        {**SHED, "start_ts": value},
        {**SHED, "modification": value},
        {**SHED, "randomize_start_sec": value},
        {"op": "limit", "import_kw": value},
        {"op": "set", "report_interval_sec": value},
        {"op": "setLoad", "loadId": "ev1", "priority": value},
        {"op": "event", "intervals": [{"duration_sec": 60, "shed_kw": value}], "shed_kw": 5},
    ):
        assert refused(message).code is ReasonCode.BAD_FIELD


@settings(deadline=None, max_examples=example_count(200))
@given(start_ts=st.integers(int(NOW) + 1, int(NOW) + 30 * DAY - 1), text=st.booleans())
def test_seconds_ms_us_and_ns_are_told_apart_by_size(start_ts: int, text: bool) -> None:
    for factor in (1, 10**3, 10**6, 10**9):
        sent = start_ts * factor
        command = parse({**SHED, "start_ts": str(sent) if text else sent})
        assert isinstance(command, ShedCommand)
        assert command.start_ts == start_ts


@settings(deadline=None, max_examples=example_count(200))
@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**21), 10**21))
def test_any_start_is_within_what_can_be_shown_or_refused(value: float) -> None:
    try:
        command = parse({**SHED, "start_ts": value})
    except CommandNotRead:
        return
    assert isinstance(command, ShedCommand)
    assert command.start_ts is not None
    assert NOW - 3600 < command.start_ts <= NOW + 30 * DAY


@each_case(
    ("sent", "duration_sec"),
    [
        ("PT30M", 1800.0),
        ("PT1H30M", 5400.0),
        ("PT90S", 90.0),
        ("PT0.5H", 1800.0),
        ("P1D", 86_400.0),
        ("P0DT12H", 43_200.0),
        (" PT1M ", 60.0),
        ("1800", 1800.0),
    ],
)
def test_durations_are_read_from_iso_8601(sent: str, duration_sec: float) -> None:
    command = parse({**SHED, "duration": sent})
    assert isinstance(command, ShedCommand)
    assert command.duration_sec == duration_sec


@each_case("sent", ["P", "PT", "P1M", "P1Y", "30M", "PT1M30", "-PT30M", "P1DT", "pt5m"])
def test_what_is_no_duration_is_refused(sent: str) -> None:
    assert refused({**SHED, "duration": sent}).code is ReasonCode.BAD_FIELD


@settings(deadline=None, max_examples=example_count(100))
@given(hours=st.integers(0, 23), minutes=st.integers(0, 59), seconds=st.integers(1, 59))
def test_any_duration_of_a_day_is_read(hours: int, minutes: int, seconds: int) -> None:
    command = parse({**SHED, "duration": f"PT{hours}H{minutes}M{seconds}S"})
    assert isinstance(command, ShedCommand)
    assert command.duration_sec == hours * 3600 + minutes * 60 + seconds


@each_case(
    ("fields", "code"),
    [
        ({"start_ts": 1e15}, ReasonCode.TIME_PAST),
        ({"start_ts": 1e20}, ReasonCode.BAD_FIELD),
        ({"start_ts": NOW + 30 * DAY}, None),
        ({"start_ts": NOW + 30 * DAY + 1}, ReasonCode.START_TOO_FAR_AHEAD),
        ({"start_ts": "2200-01-01T00:00:00Z"}, ReasonCode.START_TOO_FAR_AHEAD),
        ({"start_ts": "20251009"}, ReasonCode.BAD_FIELD),
        ({"start_ts": "2025-10-09T08:53:20\u0660"}, ReasonCode.BAD_FIELD),
        ({"issued_ts": NOW + 300}, None),
        ({"issued_ts": NOW + 301}, ReasonCode.CLOCK_AHEAD),
        ({"issued_ts": NOW * 1000}, None),
        ({"issued_ts": NOW - 901}, ReasonCode.ISSUED_TOO_LONG_AGO),
        ({"expires_ts": NOW + 31 * DAY}, None),
        ({"expires_ts": NOW + 40 * DAY}, ReasonCode.CLOCK_AHEAD),
        ({"expires_ts": NOW - 1}, ReasonCode.EXPIRED),
        ({"modification": 2**31}, ReasonCode.BAD_FIELD),
        ({"event_priority": -1}, ReasonCode.BAD_FIELD),
        ({"randomize_start_sec": -1}, ReasonCode.DURATION_OUT_OF_RANGE),
        ({"randomize_start_sec": DAY + 1}, ReasonCode.DURATION_OUT_OF_RANGE),
        ({"test": 1}, ReasonCode.BAD_FIELD),
        ({"dry_run": "true"}, ReasonCode.BAD_FIELD),
        ({"duration_sec": 0}, None),
        ({"duration_sec": 0, "start_ts": NOW - 2 * DAY}, ReasonCode.TIME_PAST),
    ],
)
def test_the_edges_of_times(fields: dict[str, Any], code: ReasonCode | None) -> None:
    if code is None:
        parse({**SHED, **fields})
    else:
        assert refused({**SHED, **fields}).code is code


def test_only_an_event_is_refused_for_its_age_but_every_command_when_it_has_expired() -> None:
    old = {"issued_ts": NOW - DAY}
    assert isinstance(parse({"op": "restore", **old}), RestoreCommand)
    for op, _, needed in OPS:
        expired = refused({"op": op, **needed, "expires_ts": NOW - 1})
        assert expired.code is ReasonCode.EXPIRED
        ahead = refused({"op": op, **needed, "issued_ts": NOW + 3600})
        assert ahead.code is ReasonCode.CLOCK_AHEAD


def test_a_site_may_want_events_to_be_dated() -> None:
    limits = CommandLimits(max_shed_kw=48.0, require_issued_ts=True)

    def read(message: dict[str, Any]) -> None:
        read_command(encode_json(message), ven_id="site-1", limits=limits, now=NOW)

    read({**SHED, "issued_ts": NOW})
    read({"op": "restore"})
    with pytest.raises(CommandNotRead) as caught:
        read(SHED)
    assert caught.value.code is ReasonCode.ISSUED_TS_REQUIRED


# ---- kinds of events -----------------------------------------------------------------------------


def test_intervals_are_levels_and_the_highest_is_what_is_asked_for_in_all() -> None:
    levels = [{"duration_sec": 600, "shed_kw": 2}, {"duration_sec": "PT5M", "shed_kw": 7}]
    command = parse({"op": "event", "intervals": levels})
    assert isinstance(command, ShedCommand)
    assert [(each.duration_sec, each.shed_kw) for each in command.intervals] == [
        (600.0, 2.0),
        (300.0, 7.0),
    ]
    assert command.shed_kw == 7.0


@each_case(
    ("fields", "code"),
    [
        ({"intervals": [{"duration_sec": 60, "shed_kw": 49}]}, ReasonCode.POWER_OUT_OF_RANGE),
        ({"intervals": [{"duration_sec": 0, "shed_kw": 4}]}, ReasonCode.DURATION_OUT_OF_RANGE),
        ({"intervals": [{"duration_sec": 60}]}, ReasonCode.MISSING_FIELD),
        ({"intervals": [{"shed_kw": 4}]}, ReasonCode.MISSING_FIELD),
        (
            {"intervals": [{"duration_sec": 60, "shedKw": 4}], "shed_kw": 4},
            ReasonCode.UNKNOWN_FIELD,
        ),
        (
            {"intervals": [{"duration_sec": 60, "import_kw": 4}], "shed_kw": 4},
            ReasonCode.MISSING_FIELD,
        ),
        (
            {"intervals": [{"duration_sec": 60, "shed_kw": 4}], "shed_kw": 5},
            ReasonCode.CONTRADICTION,
        ),
        (
            {"intervals": [{"duration_sec": 60, "shed_kw": 4}], "duration_sec": 90},
            ReasonCode.CONTRADICTION,
        ),
        (
            {"intervals": [{"duration_sec": 7200, "shed_kw": 4}], "end_ts": NOW + 600},
            ReasonCode.CONTRADICTION,
        ),
        ({"intervals": {"duration_sec": 60}, "shed_kw": 4}, ReasonCode.BAD_FIELD),
        ({"intervals": [5], "shed_kw": 4}, ReasonCode.BAD_FIELD),
        ({"intervals": [{"duration_sec": 60, "shed_kw": 4}] * 289}, ReasonCode.BAD_FIELD),
    ],
)
def test_intervals_that_cannot_be_carried_out_are_refused(
    fields: dict[str, Any], code: ReasonCode
) -> None:
    assert refused({"op": "event", **fields}).code is code


def test_intervals_with_an_end_begin_so_long_before_it() -> None:
    """The clocks may differ, and a command may have waited."""
    for sec, issued_ts in ((3000, None), (600, None), (500, None), (310, NOW - 290)):
        sent = {} if issued_ts is None else {"issued_ts": issued_ts}
        fields = {"intervals": [{"duration_sec": 600, "shed_kw": 4}], "end_ts": NOW + sec, **sent}
        assert isinstance(parse({"op": "event", **fields}), EventCommand)


@each_case(
    ("fields", "code"),
    [
        ({"import_kw": 0}, None),
        ({"export_kw": 5}, None),
        ({}, ReasonCode.MISSING_FIELD),
        ({"import_kw": -1}, ReasonCode.POWER_OUT_OF_RANGE),
        ({"import_kw": 4200}, ReasonCode.POWER_OUT_OF_RANGE),
        ({"import_kw": 4, "failsafe_kw": 4}, ReasonCode.MISSING_FIELD),
        ({"import_kw": 4, "heartbeat_sec": 60}, ReasonCode.MISSING_FIELD),
        ({"import_kw": 4, "failsafe_kw": 4, "heartbeat_sec": 0}, ReasonCode.DURATION_OUT_OF_RANGE),
        ({"import_kw": 4, "window_sec": 0}, ReasonCode.DURATION_OUT_OF_RANGE),
        ({"import_kw": 4, "end_ts": NOW - 1}, ReasonCode.TIME_PAST),
        ({"import_kw": 4, "start_ts": NOW + 31 * DAY}, ReasonCode.START_TOO_FAR_AHEAD),
        ({"intervals": [{"duration_sec": 60, "import_kw": 4}]}, None),
    ],
)
def test_limits(fields: dict[str, Any], code: ReasonCode | None) -> None:
    if code is None:
        assert isinstance(parse({"op": "limit", **fields}), LimitCommand)
    else:
        assert refused({"op": "limit", **fields}).code is code


@each_case(
    "message",
    [
        {"op": "limit", "import_kw": 4},
        {"op": "loadUp", "raise_kw": 4},
        {"op": "event", "intervals": [{"duration_sec": 60, "shed_kw": 4}]},
        {**SHED, "randomize_start_sec": 60},
        {**SHED, "duration_sec": 0},
        {**SHED, "test": True},
        {**SHED, "dry_run": True},
    ],
)
def test_what_the_engine_cannot_do_is_refused_and_not_treated_as_something_else(
    message: dict[str, Any],
) -> None:
    command = parse(message)
    assert isinstance(command, EventCommand)
    assert len(command.features) == 1
    limits = CommandLimits(max_shed_kw=48.0)
    with pytest.raises(CommandNotRead) as caught:
        read_command(encode_json(message), ven_id="site-1", limits=limits, now=NOW)
    assert caught.value.code is ReasonCode.NOT_SUPPORTED
    assert next(iter(command.features)).value in caught.value.reason


# ---- golden --------------------------------------------------------------------------------------


@each_case("op", GOLDEN_COMMANDS)
def test_the_golden_commands_are_read(op: str) -> None:
    command = parse(encode_json(GOLDEN_COMMANDS[op]))
    assert command.op == op
    assert command.correlation_id == GOLDEN_COMMANDS[op]["correlationId"]
    assert command.expires_ts == GOLDEN_COMMANDS[op]["expires_ts"]


def test_the_same_content_has_the_same_fingerprint_however_it_is_spelled_or_dated() -> None:
    one = parse({**SHED, "correlationId": "c1", "duration_sec": 1800, "issued_ts": NOW})
    same = parse(
        {"op": "event", "correlationId": "c2", "data": {"amountKw": "5.0", "duration": "PT30M"}}
    )
    other = parse({**SHED, "correlationId": "c1", "duration_sec": 1801})
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint
    assert parse({"op": "restore"}).fingerprint != parse({"op": "cancel"}).fingerprint


def test_two_names_of_one_op_ask_for_the_same() -> None:
    shed = {"shed_kw": 5, "event_id": "e1"}
    pairs = (
        ({**shed, "op": "event"}, {**shed, "op": "shedPanel"}),
        ({**shed, "op": "event"}, {**shed, "op": "shedLoad"}),
        ({"op": "restore"}, {"op": "restorePanel"}),
        ({"op": "set", "report_interval_sec": 9}, {"op": "setConfig", "report_interval_sec": 9}),
    )
    for one, other in pairs:
        assert parse(one).fingerprint == parse(other).fingerprint, other
    of_one = {**shed, "op": "shedLoad", "loadId": "ev1"}
    assert parse(of_one).fingerprint != parse({**shed, "op": "shedPanel"}).fingerprint
