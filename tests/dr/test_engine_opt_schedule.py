"""The event engine: times in which the site does not take part, by its configuration."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.dr.builders import NOW, VEN_ID
from tests.dr.house import House, send_event
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.contract.telemetry import TelemetryAvailabilityState, TelemetryQuality
from VenAgent.dr.opt_schedule import OptSchedule, OptScheduleWindow
from VenAgent.dr.policy import Policy
from VenAgent.reporting.telemetry_builder import build_telemetry

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_SEC = 3_600.0


def schedule(*windows: OptScheduleWindow, zone: ZoneInfo = BERLIN) -> OptSchedule:
    holidays = frozenset({date(2026, 12, 25)})
    return OptSchedule(windows, SiteCalendar(zone, holidays))


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def house_out(from_ts: float, to_ts: float) -> House:
    """A site that does not take part from the one to the other, each day."""
    utc = ZoneInfo("UTC")
    begins = datetime.fromtimestamp(from_ts, utc)
    midnight = begins.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    window = OptScheduleWindow(
        from_ts - midnight,
        (to_ts - midnight) % 86_400.0,
        weekdays=frozenset(range(7)),
        reason="lunch",
    )
    made = schedule(window, zone=utc)
    return House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=0.0, opt_schedule=made))


# ---- the calendar --------------------------------------------------------------------------------


def test_weekly_windows_dates_and_holidays_by_the_sites_own_clock() -> None:
    made = schedule(
        OptScheduleWindow(8 * HOUR_SEC, 12 * HOUR_SEC, weekdays=frozenset({0, 4})),
        OptScheduleWindow(dates=frozenset({date(2026, 12, 24)})),
        OptScheduleWindow(holidays=True),
    )
    inside = ["2026-11-30T08:00", "2026-12-04T11:59", "2026-12-24T00:00", "2026-12-25T23:59"]
    outside = ["2026-11-30T07:59", "2026-11-30T12:00", "2026-12-01T09:00", "2026-12-26T00:00"]
    assert all(made.span_at(at(text)) for text in inside)
    assert not any(made.span_at(at(text)) for text in outside)
    span = made.span_at(at("2026-12-24T12:00"))
    assert span is not None, "what touches is one"
    assert (span.start_ts, span.end_ts) == (at("2026-12-24T00:00"), at("2026-12-26T00:00"))


def test_a_window_over_midnight_ends_on_the_day_after() -> None:
    made = schedule(OptScheduleWindow(22 * HOUR_SEC, 6 * HOUR_SEC, weekdays=frozenset({4})))
    span = made.span_at(at("2026-12-05T03:00"))
    assert span is not None
    assert (span.start_ts, span.end_ts) == (at("2026-12-04T22:00"), at("2026-12-05T06:00"))
    assert made.span_at(at("2026-12-05T22:30")) is None


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_of_another_length_is_as_long_as_the_wall_clock_says(day: str, hours: int) -> None:
    made = schedule(OptScheduleWindow(dates=frozenset({date.fromisoformat(day)})))
    span = made.span_at(at(f"{day}T12:00"))
    assert span is not None
    assert span.end_ts - span.start_ts == hours * HOUR_SEC


@pytest.mark.parametrize(
    ("zone", "day", "from_hour", "to_hour", "from_utc", "to_utc"),
    [
        # the clock goes from 02:00 to 03:00
        ("Europe/Berlin", "2026-03-29", 1.0, 2.5, "2026-03-29T00:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29", 2.5, 4.0, "2026-03-29T01:00", "2026-03-29T02:00"),
        ("Europe/Berlin", "2026-03-29", 2.25, 2.5, None, None),
        ("Europe/Berlin", "2026-03-29", 2.5, 3.0, None, None),
        ("Europe/Berlin", "2026-03-28", 22.0, 2.5, "2026-03-28T21:00", "2026-03-29T01:00"),
        # from 03:00 back to 02:00
        ("Europe/Berlin", "2026-10-25", 1.0, 2.5, "2026-10-24T23:00", "2026-10-25T01:30"),
        ("Europe/Berlin", "2026-10-25", 2.5, 2.75, "2026-10-25T00:30", "2026-10-25T01:45"),
        ("Europe/Berlin", "2026-10-24", 22.0, 2.5, "2026-10-24T20:00", "2026-10-25T01:30"),
        # by half an hour; and a date that is elsewhere another one
        ("Australia/Lord_Howe", "2026-04-05", 1.0, 1.75, "2026-04-04T14:00", "2026-04-04T15:15"),
        ("Pacific/Kiritimati", "2028-02-29", 0.0, 24.0, "2028-02-28T10:00", "2028-02-29T10:00"),
        # over the year's end
        ("Europe/Berlin", "2026-12-31", 22.0, 6.0, "2026-12-31T21:00", "2027-01-01T05:00"),
    ],
)
def test_a_window_is_by_the_clock_on_the_wall(
    zone: str, day: str, from_hour: float, to_hour: float, from_utc: str | None, to_utc: str | None
) -> None:
    utc = ZoneInfo("UTC")
    days = frozenset({date.fromisoformat(day)})
    window = OptScheduleWindow(from_hour * HOUR_SEC, to_hour * HOUR_SEC, dates=days)
    made = schedule(window, zone=ZoneInfo(zone))
    before_ts = at(f"{day}T00:00", ZoneInfo(zone)) - 24 * HOUR_SEC
    span = made.next_span(before_ts)
    if from_utc is None or to_utc is None:
        assert span is None
        assert not any(made.span_at(before_ts + 60.0 * minute) for minute in range(3 * 1440))
        return
    assert span is not None
    assert (span.start_ts, span.end_ts) == (at(from_utc, utc), at(to_utc, utc))
    assert made.span_at(span.start_ts) == span
    assert made.span_at(span.end_ts) is None


def test_holidays_on_the_days_that_the_clock_changes_are_as_long_as_they_are() -> None:
    days = {"2027-03-28": 23.0, "2026-10-25": 25.0}
    calendar = SiteCalendar(BERLIN, frozenset(date.fromisoformat(day) for day in days))
    made = OptSchedule((OptScheduleWindow(holidays=True),), calendar)
    for day, hours in days.items():
        span = made.span_at(at(f"{day}T12:00"))
        assert span is not None
        assert (span.end_ts - span.start_ts) / HOUR_SEC == hours
        assert span.start_ts == at(f"{day}T00:00")


def test_the_next_one_is_known_ahead() -> None:
    made = schedule(OptScheduleWindow(8 * HOUR_SEC, 12 * HOUR_SEC, weekdays=frozenset({0})))
    span = made.next_span(at("2026-11-30T08:00"))
    assert span is not None
    assert span.start_ts == at("2026-12-07T08:00")
    assert OptSchedule().next_span(NOW) is None


# ---- events --------------------------------------------------------------------------------------


def test_an_event_in_such_a_time_is_answered_opted_out() -> None:
    house = house_out(NOW - 600.0, NOW + 600.0)
    (ack,) = send_event(house)
    assert (ack["status"], ack["reason_code"]) == ("opted_out", "opt_schedule")
    assert "lunch" in ack["reason"]
    house.wait(700.0)
    assert house.written == []


def test_one_that_will_begin_in_it_is_answered_at_once() -> None:
    house = house_out(NOW + 600.0, NOW + 1_200.0)
    (ack,) = send_event(house, start_ts=NOW + 700.0)
    assert (ack["status"], ack["reason_code"]) == ("opted_out", "opt_schedule")
    (ack,) = send_event(house, start_ts=NOW + 1_300.0, event_id="e2", correlationId="c2")
    assert ack["status"] == "scheduled"


def test_one_that_runs_ends_when_it_begins() -> None:
    house = house_out(NOW + 300.0, NOW + 900.0)
    send_event(house, 4.5)
    house.wait(299.0)
    assert house.opened() == {"heater1"}
    house.wait(2.0)
    assert not house.opened()
    assert "opted_out" in house.statuses("c1")
    assert house.statuses("c1")[-1] == "completed"


def test_a_limit_holds_all_the_same() -> None:
    house = house_out(NOW - 600.0, NOW + 600.0)
    house.send("limit", import_kw=15.0, event_id="limit", correlationId="l1")
    house.wait(60.0)
    assert house.power_kw <= 15.0
    assert house.replies_to("l1") == ["accepted"]


def test_who_opts_in_takes_part_until_it_is_over() -> None:
    house = house_out(NOW - 600.0, NOW + 600.0)
    house.do(house.engine.opt_in(house.now))
    assert house.engine.opted_out(house.now) is None
    send_event(house, 4.5, duration_sec=300.0)
    assert house.opened() == {"heater1"}
    house.restart()
    house.wait(400.0)
    assert house.engine.opted_out(house.now) is None
    house.now += 86_400.0 - 400.0
    assert house.engine.opted_out(house.now) is not None, "the next day is as configured"


def test_a_person_who_opts_out_is_not_opted_in_by_the_schedule() -> None:
    house = house_out(NOW - 600.0, NOW + 600.0)
    house.do(house.engine.opt_out("on holiday", None, house.now))
    house.now += 1_000.0
    reason = house.engine.opted_out(house.now)
    assert reason is not None
    assert (reason.code.value, reason.text) == ("opted_out", "on holiday")
    assert house.engine.opted_out_until_ts(house.now) is None


def test_telemetry_says_so_ahead_and_while_it_lasts() -> None:
    house = house_out(NOW + 600.0, NOW + 1_200.0)
    engine = house.engine

    def told(now: float) -> tuple[TelemetryAvailabilityState, float | None, str | None]:
        message = build_telemetry(engine, house.read(), TelemetryQuality.GOOD, seq=1, now=now)
        known = message.availability
        return known.state, known.until_ts, known.reason_code and known.reason_code.value

    available, out = TelemetryAvailabilityState.AVAILABLE, TelemetryAvailabilityState.OPTED_OUT
    assert told(NOW) == (available, NOW + 600.0, "opt_schedule")
    assert told(NOW + 700.0) == (out, NOW + 1_200.0, "opt_schedule")
    after = NOW + timedelta(days=1).total_seconds() + 600.0
    assert told(NOW + 1_300.0) == (available, after, "opt_schedule")


# ---- the schedule is edited ----------------------------------------------------------------------


def edit(house: House, from_ts: float, to_ts: float) -> None:
    schedule_then = house_out(from_ts, to_ts).policy.opt_schedule
    policy = replace(house.policy, opt_schedule=schedule_then)
    house.engine.reconfigure(house.panel, VEN_ID, policy)


@pytest.mark.parametrize("restarted", [False, True])
def test_an_edit_over_the_start_of_an_event_that_waits_is_told_at_once(restarted: bool) -> None:
    """It was told at its start, when nobody could be asked instead."""
    house = House()
    send_event(house, start_ts=NOW + 700.0)
    send_event(house, start_ts=NOW + 5_000.0, event_id="e2", correlationId="c2")
    edit(house, NOW + 600.0, NOW + 1_200.0)
    if restarted:
        house.policy = replace(house.policy, opt_schedule=house.engine.site.policy.opt_schedule)
        house.restart()
    house.wait(1.0)
    assert house.statuses("c1") == ["scheduled", "opted_out"]
    assert house.last("opted_out")["reason_code"] == "opt_schedule"
    assert house.statuses("c2") == ["scheduled"]
    house.wait(1_300.0)
    assert house.written == []


def test_an_edit_over_the_start_of_a_limit_that_waits_changes_nothing() -> None:
    house = House()
    fields = {"event_id": "limit", "correlationId": "l1", "start_ts": NOW + 700.0}
    house.send("limit", import_kw=15.0, **fields)
    edit(house, NOW + 600.0, NOW + 1_200.0)
    house.wait(800.0)
    assert house.power_kw <= 15.0


@pytest.mark.parametrize("begins_ago_sec", [60.0, 600.0])
def test_an_edit_over_an_event_that_runs_ends_it_whenever_its_window_began(
    begins_ago_sec: float,
) -> None:
    """One that began before the event did ended nothing, while telemetry said opted out."""
    house = House()
    house.wait(700.0)
    send_event(house, 4.5, duration_sec=3_600.0)
    house.wait(300.0)
    edit(house, house.now - begins_ago_sec, house.now + 1_200.0)
    house.wait(60.0)
    assert not house.opened()
    assert house.statuses("c1")[-2:] == ["opted_out", "completed"]


def test_an_edit_to_a_window_that_is_over_ends_nothing() -> None:
    house = House()
    house.wait(700.0)
    send_event(house, 4.5, duration_sec=3_600.0)
    house.wait(300.0)
    edit(house, house.now - 600.0, house.now - 60.0)
    house.wait(60.0)
    assert house.opened() == {"heater1"}


def test_an_edit_over_an_event_of_who_opted_in_ends_nothing() -> None:
    house = house_out(NOW - 600.0, NOW + 600.0)
    house.do(house.engine.opt_in(house.now))
    send_event(house, 4.5, duration_sec=300.0)
    edit(house, NOW - 600.0, NOW + 1_200.0)
    house.wait(60.0)
    assert house.opened() == {"heater1"}
