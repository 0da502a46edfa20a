"""OpenADR 3 events as they are read and placed in time. Clauses: User Guide 3.1.0, section 7."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from backend.openadr.openadr3_event_reader import OpenAdr3EventNotRead, read_openadr3_event
from backend.openadr.openadr3_event_times import (
    read_openadr3_event_duration,
    read_openadr3_event_moment,
)
from backend.openadr.schedule import ScheduleAmount, make_schedule, schedule_vens
from backend.openadr.vtn_event import (
    FOREVER,
    VtnEventProblem,
    VtnEventTarget,
    vtn_event_occurrences,
    vtn_event_span,
)
from VenAgent.contract.op import Op

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
SEEN = NOON - timedelta(hours=1)
HOUR = timedelta(hours=1)
LEVELS = {1: ScheduleAmount(0.5, True), 2: ScheduleAmount(7.0, False)}


def event(*payloads: Any, **fields: Any) -> dict[str, Any]:
    """Hours from noon; a payload is a number of kW to shed, or intervals' fields."""
    intervals = [
        payload
        if not isinstance(payload, (int, float))
        else {
            "id": n,
            "payloads": [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-payload]}],
        }
        for n, payload in enumerate(payloads)
    ]
    period = {"start": "2026-06-01T12:00:00Z", "duration": "PT1H"}
    return {
        "id": "e1",
        "programID": "p1",
        "intervalPeriod": period,
        "intervals": intervals,
        **fields,
    }


def times(raw: dict[str, Any], until: datetime = NOON + 48 * HOUR) -> list[tuple[float, float]]:
    """(start, length) in hours from noon."""
    found = vtn_event_occurrences(
        read_openadr3_event(raw), now_means=SEEN, delay=timedelta(0), until=until
    )
    return [
        ((o.start - NOON) / HOUR, float("inf") if o.end is None else (o.end - o.start) / HOUR)
        for o in found
    ]


def codes(raw: dict[str, Any]) -> set[str]:
    return {problem.code for problem in read_openadr3_event(raw).problems}


def schedule(raw: dict[str, Any], now: datetime = NOON) -> Any:
    return make_schedule(
        read_openadr3_event(raw),
        now=now,
        now_means=SEEN,
        delay=timedelta(0),
        levels=LEVELS,
        available_kw=20.0,
    )


def pieces(raw: dict[str, Any], now: datetime = NOON) -> list[tuple[str, float, float, float]]:
    return [
        (p.key, (p.start - NOON) / HOUR, (p.end - NOON) / HOUR, p.power_kw)
        for p in schedule(raw, now).pieces
    ]


def levels(raw: dict[str, Any]) -> list[tuple[str, list[tuple[float, float]]]]:
    return [(piece.key, list(piece.levels)) for piece in schedule(raw).pieces]


def test_intervals_follow_each_other_with_the_events_duration() -> None:
    assert times(event(1, 2, 3)) == [(0, 1), (1, 1), (2, 1)]


def test_an_interval_may_have_a_duration_or_a_start_of_its_own() -> None:
    longer = {"id": 1, "intervalPeriod": {"duration": "PT2H"}, "payloads": []}
    later = {
        "id": 3,
        "intervalPeriod": {"start": "2026-06-01T20:00:00Z", "duration": "PT1H"},
        "payloads": [],
    }
    assert times(event(1, longer, 3, later)) == [(0, 1), (1, 2), (3, 1), (8, 1)]


def test_without_a_period_of_the_event_each_interval_has_one() -> None:
    own = {"start": "2026-06-01T13:00:00Z", "duration": "PT30M"}
    raw = event({"id": 0, "intervalPeriod": own, "payloads": []})
    del raw["intervalPeriod"]
    assert times(raw) == [(1, 0.5)]


@pytest.mark.parametrize("start", ["0001-01-01", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_start_of_now_is_when_the_event_was_seen_first(start: str) -> None:
    raw = event(1, 2, intervalPeriod={"start": start, "duration": "PT1H"})
    assert times(raw) == [(-1, 1), (0, 1)]


def test_infinity_has_no_end_and_nothing_comes_after_it() -> None:
    raw = event(1, 2, intervalPeriod={"start": "2026-06-01T12:00:00Z", "duration": "P9999Y"})
    assert times(raw) == [(0, float("inf"))]
    assert vtn_event_span(read_openadr3_event(raw), now_means=SEEN, delay=timedelta(0)) == (
        NOON,
        None,
    )


def test_the_events_duration_cuts_intervals_off_or_repeats_them() -> None:
    assert times(event(1, 2, 3, duration="PT90M")) == [(0, 1), (1, 0.5)]
    assert times(event(1, 2, duration="PT5H")) == [(n, 1) for n in range(5)]
    endless = times(event(1, 2, duration="P9999Y"), until=NOON + 10 * HOUR)
    assert endless == [(n, 1) for n in range(10)]


def test_several_values_of_a_payload_share_the_interval() -> None:
    values = {"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-1, -2, -3, -4]}
    raw = event({"id": 0, "payloads": [values]})
    assert times(raw) == [(0, 0.25), (0.25, 0.25), (0.5, 0.25), (0.75, 0.25)]
    assert levels(raw) == [("0", [(900, 1), (900, 2), (900, 3), (900, 4)])]


def test_a_delay_moves_the_whole_event() -> None:
    moved = vtn_event_span(
        read_openadr3_event(event(1, 2)), now_means=SEEN, delay=timedelta(minutes=10)
    )
    assert moved == (NOON + timedelta(minutes=10), NOON + 2 * HOUR + timedelta(minutes=10))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT1H", HOUR),
        ("PT90M", 1.5 * HOUR),
        ("PT0.5S", timedelta(seconds=0.5)),
        ("P1DT1H", 25 * HOUR),
        ("P2W", timedelta(weeks=2)),
        ("P9999Y", FOREVER),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    assert read_openadr3_event_duration(text) == length


@pytest.mark.parametrize("text", ["", "P", "PT", "1H", "PT1H ", None, 3600])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        read_openadr3_event_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        *("2026-06-01T12:00:00Z", "2026-06-01 12:00:00Z", "2026-06-01T12:00:00.0Z"),
        *("2026-06-01T14:00:00+02:00", "2026-06-01T12:00:00.000000000Z", "2026-06-01T12:00:00"),
    ],
)
def test_moments_as_vtns_write_them(text: str) -> None:
    assert read_openadr3_event_moment(text) == NOON


def test_units_are_turned_into_kw() -> None:
    units = [
        {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT_RELATIVE"}
    ]
    assert pieces(event(1500, payloadDescriptors=[{**units[0], "units": "W"}]))[0][3] == 1.5
    assert pieces(event(2, payloadDescriptors=[{**units[0], "units": "MW"}]))[0][3] == 2000
    wrong = event(2, payloadDescriptors=[{**units[0], "units": "KVA"}])
    assert codes(wrong) == {"units_not_understood"}
    assert pieces(wrong) == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"type": "SIMPLE", "values": [4]}, "level_not_understood"),
        ({"type": "SIMPLE", "values": [True]}, "value_not_understood"),
        ({"type": "SIMPLE", "values": ["1"]}, "value_not_understood"),
        ({"type": "SIMPLE", "values": []}, "value_not_understood"),
        ({"type": "SIMPLE"}, "value_not_understood"),
        ({"type": "DISPATCH_SETPOINT_RELATIVE", "values": [float("nan")]}, "value_not_understood"),
        ({"type": "x-private", "values": [1]}, "payload_not_supported"),
    ],
)
def test_a_payload_that_is_not_understood_is_named(payload: dict[str, Any], code: str) -> None:
    assert codes(event({"id": 0, "payloads": [payload]}, 2)) == {code}
    assert [piece[3] for piece in pieces(event({"id": 0, "payloads": [payload]}, 2))] == [2]


def test_prices_and_information_ask_for_nothing() -> None:
    raw = event({"id": 0, "payloads": [{"type": "PRICE", "values": [0.17]}]})
    assert codes(raw) == set()
    assert pieces(raw) == []


@pytest.mark.parametrize("raw", [None, 7, [], {}, {"id": "e1"}, {"programID": "p"}, {"id": 3}])
def test_what_is_no_event(raw: Any) -> None:
    with pytest.raises(OpenAdr3EventNotRead):
        read_openadr3_event(raw)


@pytest.mark.parametrize(
    "raw",
    [
        event(1, intervalPeriod=None),
        event(1, intervalPeriod={"start": "soon", "duration": "PT1H"}),
        event(1, intervalPeriod={"start": "2026-06-01T12:00:00Z"}),
        event(1, intervalPeriod={"start": "2026-06-01T12:00:00Z", "duration": "-PT1H"}),
        event(1, priority="high"),
        event(1, duration="often"),
    ],
)
def test_what_is_wrong_with_an_event_is_a_problem_and_no_error(raw: dict[str, Any]) -> None:
    assert codes(raw)


def test_pieces_are_levels_and_powers_that_are_not_over() -> None:
    simple = [{"id": n, "payloads": [{"type": "SIMPLE", "values": [n]}]} for n in range(3)]
    assert pieces(event(*simple)) == [("1", 1, 3, 10.0)]
    assert levels(event(*simple)) == [("1", [(3600, 10.0), (3600, 7.0)])]


def test_a_piece_of_several_intervals_keeps_its_key_until_all_of_them_are_over() -> None:
    raw = event(1, 2, 0, 4)
    assert pieces(raw) == [("0", 0, 2, 2.0), ("3", 3, 4, 4.0)]
    for hours in (0.5, 1.5):
        assert pieces(raw, now=NOON + hours * HOUR) == [("0", 0, 2, 2.0), ("3", 3, 4, 4.0)]
    assert pieces(raw, now=NOON + 2.5 * HOUR) == [("3", 3, 4, 4.0)]


def test_levels_that_are_repeated_for_ever_are_one_piece_whose_end_is_moved_on() -> None:
    raw = event(1, 2, duration="P9999Y")
    assert pieces(raw) == [("0", 0, 23, 2.0)]
    assert pieces(raw, now=NOON + 10.9 * HOUR) == [("0", 0, 23, 2.0)]
    assert pieces(raw, now=NOON + 11.5 * HOUR) == [("0", 0, 34, 2.0)]
    (piece,) = schedule(raw, now=NOON + 11.5 * HOUR).pieces
    assert list(piece.levels) == [(3600, 1.0), (3600, 2.0)] * 17


def test_levels_are_cut_where_the_end_is_said_and_no_level_is_shorter_than_a_second() -> None:
    long = {"intervalPeriod": {"duration": "PT22H59M59.5S"}, "id": 0}
    long["payloads"] = event(1)["intervals"][0]["payloads"]
    raw = event(long, 2, 3)
    assert levels(raw) == [("0", [])]
    assert pieces(raw)[0][3] == 1.0
    (piece,) = schedule(raw, now=NOON + 12 * HOUR).pieces
    assert list(piece.levels) == [(82_799.5, 1.0), (3600, 2.0), (3600, 3.0)]
    # an interval until further notice takes over from those before it
    forever = {**long, "intervalPeriod": {"duration": "P9999Y"}, "id": 1}
    assert levels(event(2, forever)) == [("0", [(3600, 2.0), (79_200, 1.0)])]


def test_a_limit_stands_beside_a_shed_and_has_no_end_when_the_event_has_none() -> None:
    def limit(*powers: float) -> dict[str, Any]:
        return {"id": 0, "payloads": [{"type": "IMPORT_CAPACITY_LIMIT", "values": list(powers)}]}

    both = event(
        {"id": 0, "payloads": [*limit(5)["payloads"], *event(2)["intervals"][0]["payloads"]]}
    )
    assert pieces(both) == [("l0", 0, 1, 5.0), ("0", 0, 1, 2.0)]
    forever = event(limit(0), intervalPeriod={"start": "0001-01-01", "duration": "P9999Y"})
    (piece,) = schedule(forever).pieces
    assert (piece.key, piece.kind, piece.start, piece.end) == ("l0", Op.LIMIT, SEEN, None)
    assert levels(event(limit(10, 8))) == [("l0", [(1800, 10), (1800, 8)])]
    assert codes(event(limit(-1))) == {"value_not_understood"}


def test_more_consumption_is_a_load_up_of_its_own_interval() -> None:
    assert pieces(event(-3, -4, 2)) == [("u0", 0, 1, 3.0), ("u1", 1, 2, 4.0), ("2", 2, 3, 2.0)]


def test_a_long_interval_is_one_piece_whose_end_is_moved_on_long_before_it_comes() -> None:
    def ends(duration: str, **at: float) -> list[tuple[str, float, float]]:
        raw = event(5, intervalPeriod={"start": "2026-06-01T12:00:00Z", "duration": duration})
        return [made[:3] for made in pieces(raw, now=NOON + timedelta(**at))]

    for hours, end in (
        (-100, 23),
        (0, 23),
        (10.9, 23),
        (11, 34),
        (21.9, 34),
        (22, 45),
        (1000, 1013),
    ):
        assert ends("P9999Y", hours=hours) == [("0", 0, end)], hours
        assert 12 <= end - hours <= 123
    for hours, end in ((0, 23), (12, 34), (22, 36), (35, 36)):
        assert ends("PT36H", hours=hours) == [("0", 0, end)], hours
    assert ends("PT36H", hours=36) == []


def chosen(*targets: VtnEventTarget, resources: dict[str, list[str]] | None = None) -> Any:
    known = ["a", "b", "c"]
    return schedule_vens(targets, ven_name="us", resources=resources, known_vens=known)


def test_targets_choose_the_vens() -> None:
    groups = {"north": ["a", "b"]}
    assert chosen() is None
    assert chosen(resources=groups) == ["a", "b"]
    assert chosen(VtnEventTarget("north"), resources=groups) == ["a", "b"]
    assert chosen(VtnEventTarget("b", "RESOURCE_NAME")) == ["b"]
    assert chosen(VtnEventTarget("label")) is None
    assert chosen(VtnEventTarget("us", "VEN_NAME")) is None
    assert isinstance(chosen(VtnEventTarget("them", "VEN_NAME")), VtnEventProblem)
    assert isinstance(chosen(VtnEventTarget("elsewhere", "RESOURCE_NAME")), VtnEventProblem)
    assert chosen(
        VtnEventTarget("elsewhere", "RESOURCE_NAME"), VtnEventTarget("a", "RESOURCE_NAME")
    ) == ["a"]


@pytest.mark.parametrize(
    "targets",
    [
        "other",
        7,
        {"type": "VEN_NAME", "values": ["other"]},
        [None],
        [7],
        [""],
        [["other"]],
        [{"kind": "VEN_NAME", "value": "other"}],
        [{"type": "VEN_NAME"}],
        [{"type": "VEN_NAME", "values": []}],
        [{"type": "VEN_NAME", "values": "operator"}],
        [{"type": "VEN_NAME", "values": ["operator", 7]}],
        ["ours", {}],
    ],
)
def test_targets_that_cannot_be_read_mean_nobody(targets: Any) -> None:
    read = read_openadr3_event(event(1.0, targets=targets))
    assert (read.targets, read.intervals) == ((), ())
    assert [problem.code for problem in read.problems] == ["targets_not_understood"]


def test_no_targets_mean_all() -> None:
    for targets in (None, []):
        read = read_openadr3_event(event(1.0, targets=targets))
        assert (len(read.intervals), read.problems) == (1, ())


def test_an_interval_that_cannot_be_read_gives_its_place_to_no_other() -> None:
    """What follows it begins at a time that is not known, but for one with a start of its own."""

    def dispatch(kw: float, **period: str) -> dict[str, Any]:
        payloads = [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-kw]}]
        return {"id": 0, "payloads": payloads, "intervalPeriod": period}

    known = dispatch(3.0, start="2026-06-01T15:00:00Z")
    for unreadable in (
        dispatch(2.0, duration="1H"),
        dispatch(2.0, duration="-PT1H"),
        dispatch(2.0, start="at one"),
        {**dispatch(2.0), "intervalPeriod": "soon"},
        "an interval",
        None,
    ):
        assert times(event(1.0, unreadable, 2.0, 3.0)) == [(0.0, 1.0)]
        assert times(event(unreadable, 2.0)) == []
        assert times(event(1.0, unreadable, 2.0, known, 4.0)) == [(0, 1), (3, 1), (4, 1)]
        codes = {problem.code for problem in read_openadr3_event(event(1.0, unreadable)).problems}
        assert codes & {"interval_not_understood", "duration_missing"}
    for raw in (event(1.0, intervals="soon"), event(1.0, intervals=None)):
        (problem,) = read_openadr3_event(raw).problems
        assert problem.code == "intervals_not_understood"


def test_units_of_the_programme_hold_where_the_event_names_none() -> None:
    """Definition 3.1.0, payload descriptors: of the event, or of its programme."""

    def descriptor(units: str | None, **more: str) -> dict[str, Any]:
        return {"payloadType": "DISPATCH_SETPOINT_RELATIVE", "units": units, **more}

    watts = [descriptor("W")]

    def read(own: Any, program: Any) -> tuple[list[float], list[str]]:
        found = read_openadr3_event(event(2000.0, payloadDescriptors=own), program)
        asks = [ask.value for interval in found.intervals for ask in interval.asks]
        return asks, [problem.code for problem in found.problems]

    for nothing in (None, [], [descriptor(None)], [{"payloadType": "SIMPLE", "units": "MW"}]):
        assert read(nothing, watts) == ([2.0], [])
    assert read([descriptor("KW")], watts) == ([2000.0], [])
    assert read(None, [descriptor("W", objectType="REPORT_PAYLOAD_DESCRIPTOR")]) == ([2000.0], [])
    for unreadable in ("W", [7], {"units": "W"}, [{"payload_type": "SIMPLE", "units": "W"}]):
        for read_units in (read(unreadable, None), read(unreadable, watts), read(None, unreadable)):
            assert read_units in (([], ["units_not_understood"]), ([2.0], []))
        assert read(unreadable, None) == read(None, unreadable) == ([], ["units_not_understood"])
    assert read(watts * 2, None) == ([2.0], [])
    assert read([descriptor("W"), descriptor("MW")], None) == ([], ["units_not_understood"])
    assert read(None, [descriptor("MW"), descriptor("W")]) == ([], ["units_not_understood"])
    one, other = (read_openadr3_event(event(1.0), units).stamp for units in (None, watts))
    assert one != other  # a change of the programme's units changes the event


def test_a_payload_that_stands_twice_in_an_interval_and_says_two_things_is_not_done() -> None:
    def read(*values: float) -> tuple[list[float], list[str]]:
        kind = "DISPATCH_SETPOINT_RELATIVE"
        payloads = [{"type": kind, "values": [value]} for value in values]
        found = read_openadr3_event(event({"id": 0, "payloads": payloads}))
        asks = [ask.value for interval in found.intervals for ask in interval.asks]
        return asks, [problem.code for problem in found.problems]

    assert read(-1.0, -1.0) == ([1.0], [])
    assert read(-1.0, -3.0) == ([], ["value_not_understood"])
    assert read(-1.0, -3.0, -1.0) == ([], ["value_not_understood"])


def test_of_intervals_that_overlap_the_stricter_one_rules() -> None:
    def ask(kind: str, value: float, hour: int, length: str = "PT2H") -> dict[str, Any]:
        period = {"start": f"2026-06-01T{hour}:00:00Z", "duration": length}
        payloads = [{"type": kind, "values": [value]}]
        return {"id": hour, "payloads": payloads, "intervalPeriod": period}

    def planned(*intervals: dict[str, Any]) -> tuple[list[Any], list[str]]:
        plan = make_schedule(
            read_openadr3_event(event(*intervals)),
            now=NOON,
            now_means=SEEN,
            delay=timedelta(0),
            levels=LEVELS,
            available_kw=10.0,
        )
        pieces = [
            (piece.key, (piece.start - NOON) / HOUR, [(s / 3600, kw) for s, kw in piece.levels])
            for piece in plan.pieces
        ]
        return pieces, [problem.code for problem in plan.problems]

    shed, limit = "DISPATCH_SETPOINT_RELATIVE", "IMPORT_CAPACITY_LIMIT"
    two = planned(ask(shed, -1.0, 12), ask(shed, -2.0, 13))
    assert two == ([("0", 0.0, [(1.0, 1.0), (1.0, 2.0), (1.0, 2.0)])], [])
    inside = planned(ask(shed, -2.0, 13, "PT1H"), ask(shed, -1.0, 12, "PT3H"))
    assert inside == ([("0", 0.0, [(1.0, 1.0), (1.0, 2.0), (1.0, 1.0)])], [])
    lower = planned(ask(limit, 5.0, 12), ask(limit, 4.0, 13))
    assert lower == ([("l0", 0.0, [(1.0, 5.0), (1.0, 4.0), (1.0, 4.0)])], [])
    assert planned(ask(shed, 1.0, 12), ask(shed, 2.0, 13))[1] == ["intervals_overlap"]
    apart = planned(ask(shed, -1.0, 12), ask(shed, -2.0, 15))
    assert apart == ([("0", 0.0, []), ("1", 3.0, [])], [])


def test_an_event_in_which_nothing_can_be_read_says_so() -> None:
    def codes(**fields: Any) -> list[str]:
        return [problem.code for problem in read_openadr3_event(event(1.0, **fields)).problems]

    assert codes(intervals=[]) == ["nothing_asked"]
    for payloads in ({}, None, [], "SIMPLE", [7], [{"values": [1]}]):
        (code,) = codes(intervals=[{"id": 0, "payloads": payloads}])
        assert code in ("nothing_asked", "payload_not_supported")
    price = {"type": "PRICE", "values": [0.2]}
    assert codes(intervals=[{"id": 0, "payloads": [price]}]) == []
    nothing = {"type": "SIMPLE", "values": [0]}
    assert codes(intervals=[{"id": 0, "payloads": [nothing]}]) == []
