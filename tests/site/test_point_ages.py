"""How old each point is: what stands, what is too old, what the clock and our own writes change."""

from __future__ import annotations

from tests.site.published_panel import NOW, PANEL, VALUES, after, points_of
from tests.support.each_case import each_case
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.dr.panel import PanelCircuitReading
from VenAgent.site.point_readings import LACKING_READINGS


def test_an_older_publication_never_replaces_a_newer_one() -> None:
    points = after()
    points.update(PANEL, {**VALUES, "total_kw": 99.0}, NOW - 0.001)
    assert points.reading(NOW).power_kw == 10.5
    points.update(PANEL, {**VALUES, "total_kw": 11.0}, NOW)
    assert points.reading(NOW).power_kw == 11.0
    points.update(PANEL, {**VALUES, "total_kw": 12.0}, NOW + 5)
    assert points.reading(NOW + 5).power_kw == 12.0
    assert points.reading(NOW + 5).ts == NOW + 5


def test_a_complete_reading_replaces_the_one_before_it_whole() -> None:
    """A point that the device no longer has is not taken from an older reading."""
    points = after()
    for sec in range(5, 5 + LACKING_READINGS):
        assert points.reading(NOW + sec).voltage == 239.0, "one answer may lack it"
        points.update(PANEL, {"total_kw": 4.0}, NOW + sec, complete=True)
    reading = points.reading(NOW + sec)
    assert reading.power_kw == 4.0
    assert reading.voltage is None
    assert reading.circuit("ev").power_kw is None


def test_what_is_not_in_a_publication_stands_until_it_is_itself_too_old() -> None:
    """A change of value, VOLTTRON 11's /multi, a register with an interval of its own."""
    points = after(stale_after_sec=30)
    points.update(PANEL, {"ev_kw": 1.5}, NOW + 20)
    reading = points.reading(NOW + 25)
    assert (reading.power_kw, reading.voltage, reading.ts) == (10.5, 239.0, NOW)
    assert reading.circuit("ev") == PanelCircuitReading(power_kw=1.5, closed=True, limit=100.0)
    assert reading.circuit("heater").power_kw == 3.5
    assert points.quality(NOW + 25) is TelemetryQuality.GOOD
    assert points.stale(NOW + 25) == {}
    points.update(PANEL, {"total_kw": 9.0}, NOW + 29)
    reading = points.reading(NOW + 40)
    assert (reading.power_kw, reading.ts) == (9.0, NOW + 29)
    assert reading.circuit("ev") == PanelCircuitReading(power_kw=1.5, closed=None, limit=None)
    assert reading.circuit("ev").ts == NOW + 20
    assert reading.circuit("heater") == PanelCircuitReading()
    assert points.quality(NOW + 40) is TelemetryQuality.GOOD, "the total is as it should be"
    assert points.stale(NOW + 40)[f"{PANEL}/heater_w"] == 40.0
    assert f"{PANEL}/ev_kw" not in points.stale(NOW + 40)


def test_a_sum_is_partial_when_some_of_it_is_too_old() -> None:
    points = after(total=False, stale_after_sec=30)
    points.update(PANEL, {"ev_kw": 7.0}, NOW + 20)
    assert points.quality(NOW + 40) is TelemetryQuality.PARTIAL
    assert points.reading(NOW + 40).power_kw is None
    assert points.age_sec(NOW + 40) == 40


def test_a_device_that_is_published_once_a_minute_is_not_stale_between() -> None:
    """The driver's own default, with an agent that would give it 30 s."""
    points = points_of(stale_after_sec=30)
    for minute in range(5):
        points.update(PANEL, VALUES, NOW + 60 * minute, published=True)
    assert points.quality(NOW + 240 + 59) is TelemetryQuality.GOOD
    assert points.reading(NOW + 240 + 59).power_kw == 10.5
    assert points.quality(NOW + 240 + 151) is TelemetryQuality.STALE


@each_case("interval_sec", [1.0, 60.0, 300.0, 600.0, 900.0])
def test_what_the_driver_says_of_its_interval_is_known_before_it_is_seen(
    interval_sec: float,
) -> None:
    points = points_of(stale_after_sec=30)
    points.expect_intervals({PANEL: interval_sec})
    points.update(PANEL, VALUES, NOW, published=True)
    stale_sec = max(30.0, 2.5 * interval_sec)
    assert points.quality(NOW + stale_sec) is TelemetryQuality.GOOD
    assert points.reading(NOW + stale_sec).power_kw == 10.5
    assert points.quality(NOW + stale_sec + 1) is TelemetryQuality.STALE
    assert points.reading(NOW + 31, max_age_sec=30).power_kw is None, "as it was asked for"


def test_what_was_read_before_a_write_does_not_say_how_the_point_is() -> None:
    points = after()
    points.written({f"{PANEL}/ev_on": False}, NOW + 1)
    assert points.reading(NOW + 2).circuit("ev").closed is None
    assert points.reading(NOW + 2).circuit("ev").power_kw == 7.0
    points.update(PANEL, {"ev_on": False}, NOW + 3)
    assert points.reading(NOW + 4).circuit("ev").closed is False


def test_stale_values_are_null() -> None:
    points = after(stale_after_sec=30)
    assert points.reading(NOW + 30).power_kw == 10.5
    stale = points.reading(NOW + 30.001)
    assert stale.power_kw is None
    assert stale.voltage is None
    assert stale.circuit("ev") == PanelCircuitReading(None, None, None)
    assert stale.ts == NOW + 30.001


def test_a_stricter_age_can_be_asked_for() -> None:
    points = after(stale_after_sec=30)
    assert points.reading(NOW + 1, max_age_sec=1).power_kw == 10.5
    assert points.reading(NOW + 1.5, max_age_sec=1).power_kw is None
    assert points.reading(NOW + 0.1, max_age_sec=0).power_kw is None
    assert points.reading(NOW, max_age_sec=0).power_kw == 10.5


def test_quality_is_missing_then_good_then_stale() -> None:
    points = points_of(stale_after_sec=30)
    assert points.quality(NOW) is TelemetryQuality.MISSING
    assert points.age_sec(NOW) is None
    points.update(PANEL, VALUES, NOW)
    assert points.quality(NOW + 30) is TelemetryQuality.GOOD
    assert points.age_sec(NOW + 30) == 30
    assert points.quality(NOW + 30.001) is TelemetryQuality.STALE
    points.update(PANEL, VALUES, NOW + 31)
    assert points.quality(NOW + 32) is TelemetryQuality.GOOD


def test_after_the_clock_was_set_back_a_new_reading_takes_the_place_of_one_from_the_future() -> (
    None
):
    points = after()
    points.update(PANEL, {**VALUES, "total_kw": 2.0}, NOW - 3600.0, now=NOW - 3600.0)
    reading = points.reading(NOW - 3599.0)
    assert reading.power_kw == 2.0
    assert points.quality(NOW - 3599.0) is TelemetryQuality.GOOD


def test_a_publication_from_before_a_read_by_rpc_does_not_replace_it() -> None:
    points = after()
    points.update(PANEL, {**VALUES, "total_kw": 2.0}, NOW - 1.0, now=NOW + 0.1)
    assert points.reading(NOW + 0.2).power_kw == 10.5


@each_case("max_age_sec", [None, 0.5])
def test_a_reading_from_the_future_is_not_a_fresh_one(max_age_sec: float | None) -> None:
    points = after()
    assert points.reading(NOW - 3600.0, max_age_sec).power_kw is None
    assert points.quality(NOW - 3600.0) is TelemetryQuality.STALE


def test_what_a_slow_device_shows_before_it_has_settled_is_not_how_it_is() -> None:
    quirks = [{"device": PANEL, "settle_sec": 8}]
    points = points_of(quirks=quirks)
    points.update(PANEL, VALUES, NOW)
    points.written({f"{PANEL}/heater_on": False}, NOW + 1)
    points.update(PANEL, VALUES, NOW + 5)
    assert points.reading(NOW + 5).circuit("heater").closed is None
    again = points.blank()
    again.update(PANEL, VALUES, NOW + 6)
    assert again.reading(NOW + 6).circuit("heater").closed is None
    points.update(PANEL, {**VALUES, "heater_on": False}, NOW + 7)
    assert points.reading(NOW + 7).circuit("heater").closed is False
    points.update(PANEL, VALUES, NOW + 10)
    assert points.reading(NOW + 10).circuit("heater").closed is True, "someone closed it"


def test_what_is_asked_for_says_nothing_of_how_often_a_point_comes() -> None:
    """A point that comes every 300 s, and a request of ours 10 s before each, was stale after 30 s
    of each."""
    points = points_of()
    for number in range(6):
        points.update(PANEL, VALUES, NOW + 300.0 * number - 10.0, complete=True)
        points.update(PANEL, VALUES, NOW + 300.0 * number, published=True)
    for later_sec in (1.0, 60.0, 280.0):
        assert points.quality(NOW + 1_500.0 + later_sec) == "good"


def test_a_burst_of_changes_is_no_interval_until_it_goes_on() -> None:
    points, ts = points_of(), NOW
    for number in range(4):
        ts = NOW + 300 * number
        points.update(PANEL, VALUES, ts, published=True)
        for change in range(1, 5):
            ts += 1
            points.update(PANEL, {"ev_kw": 7.0 + 0.1 * change}, ts, published=True)
    assert points.reading(ts + 290).circuit("ev").power_kw == 7.4
    for change in range(13):
        ts += 5
        points.update(PANEL, {"ev_kw": 6.0 + 0.1 * change}, ts, published=True)
    assert points.reading(ts + 29).circuit("ev").power_kw == 7.2
    assert points.reading(ts + 31).circuit("ev").power_kw is None


def test_an_answer_that_lacks_a_point_once_leaves_what_is_known_of_it() -> None:
    points = after()
    answer = {name: value for name, value in VALUES.items() if name not in ("total_kw", "heater_w")}
    points.update(PANEL, answer, NOW + 5, complete=True)
    reading = points.reading(NOW + 6)
    assert (reading.power_kw, reading.circuit("heater").power_kw) == (10.5, 3.5)
    assert points.quality(NOW + 6) == "good"
    assert points.missing(NOW + 6) == []
    own = points.blank()
    own.update(PANEL, answer, NOW + 5)
    own.fill_from(points, PANEL, NOW + 6)
    assert own.reading(NOW + 6).power_kw == 10.5


def test_what_was_written_since_is_not_filled_in() -> None:
    points = after()
    points.written({f"{PANEL}/ev_limit": 40.0}, NOW + 3)
    own = points.blank()
    own.update(PANEL, {name: v for name, v in VALUES.items() if name != "ev_limit"}, NOW + 5)
    own.fill_from(points, PANEL, NOW + 6)
    assert own.reading(NOW + 6).circuit("ev").limit is None
