"""What an event brought: figures from samples, and the service that stores them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from backend.config.backend_settings import BackendSettings
from backend.config.settings_block import SettingsBlockError
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter
from backend.measure.event_measurement import measure_next_event
from backend.measure.ven_baseline import VenBaseline, VenBaselineTelemetry, choose_ven_baseline
from backend.measure.ven_performance import (
    VenPerformanceSlice,
    VenPerformanceWindow,
    measure_ven_performance,
    total_ven_performance,
)
from backend.store.database import Database
from backend.store.database_upkeep import upkeep_quarter_hour
from backend.store.event_tables import WHOLE_EVENT, EventPerformanceRow, EventRow, ParticipantRow
from backend.store.telemetry_tables import TelemetryQuarterHourRow
from backend.store.utc_time import utc_now
from tests.backend.builders import payload
from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.intervals import INTERVAL_SEC, IntervalHistory
from VenAgent.baseline.measured_power import MeasuredPower

HOUR = VenPerformanceWindow(0.0, 3_600.0)
FULL = VenBaselineTelemetry(mean_kw=10.0, last_kw=9.0, samples=60, span_sec=295.0)


def flat(kw: float, trust: float = 1.0) -> VenBaseline:
    return VenBaseline(Baseline(kw, "pre_event_mean", 60), trust)


def slices(kw: float, samples: int = 180) -> list[VenPerformanceSlice]:
    return [VenPerformanceSlice(at * INTERVAL_SEC, kw, samples) for at in range(4)]


def chosen_for_the_hour(method: str, before: VenBaselineTelemetry | None) -> VenBaseline | None:
    history = IntervalHistory()
    return choose_ven_baseline(method, before, history, start_ts=HOUR.start, end_ts=HOUR.end)


# ---- pure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "span_sec"), [(2, 0.0), (60, 1e-6), (1, 0.0), (2, 5.0)])
def test_samples_of_one_moment_tell_no_interval(samples: int, span_sec: float) -> None:
    """A telemetry that was split has several; a division by their distance must not stop us."""
    before = VenBaselineTelemetry(mean_kw=10.0, last_kw=10.0, samples=samples, span_sec=span_sec)
    found = measure_ven_performance(6.0, HOUR, slices(7.0), flat(10.0), before.interval_sec)
    assert 1 <= found.expected_samples <= 36_000
    assert found.average_kw == pytest.approx(7.0)


def test_two_readings_are_no_settlement() -> None:
    found = measure_ven_performance(6.0, HOUR, [VenPerformanceSlice(0, 7.0, 2)], flat(10.0))
    assert (found.achieved_shed_kw, found.delivered_kwh, found.confidence) == (None, None, 0.0)
    assert found.average_kw == pytest.approx(7.0)


def test_agent_and_operator_give_the_same_when_the_meter_dies_in_mid_event() -> None:
    """Read every 5 s for 20 minutes of the hour: 3 kW below the baseline while it was seen."""
    found = measure_ven_performance(
        6.0, HOUR, [VenPerformanceSlice(0, 7.0, 180), VenPerformanceSlice(900, 7.0, 60)], flat(10.0)
    )
    metered = MeasuredPower()
    for number in range(241):
        metered = metered.add(number * 5.0, 7.0, 10.0, 90.0)
    settled = metered.settle(3_600.0)
    assert settled.delivered_kwh == pytest.approx(1.0)
    assert found.delivered_kwh == pytest.approx(settled.delivered_kwh)
    assert found.achieved_shed_kw == pytest.approx(settled.achieved_kw)


def test_an_hour_at_seven_of_ten_kw_delivered_three_kwh() -> None:
    found = measure_ven_performance(6.0, HOUR, slices(7.0), flat(10.0))
    assert found.achieved_shed_kw == pytest.approx(3.0)
    assert found.delivered_kwh == pytest.approx(3.0)
    assert found.shed_percentage == pytest.approx(50.0)
    assert (found.average_kw, found.baseline_kw) == (7.0, 10.0)
    assert found.confidence == pytest.approx(1.0)
    assert (found.samples, found.expected_samples) == (720, 720)


def test_time_without_telemetry_delivers_nothing_and_lowers_the_confidence() -> None:
    found = measure_ven_performance(3.0, HOUR, slices(7.0)[:2], flat(10.0))
    assert found.achieved_shed_kw == pytest.approx(3.0)
    assert found.delivered_kwh == pytest.approx(1.5)
    assert found.confidence == pytest.approx(0.5)


def test_more_power_than_the_baseline_is_a_negative_delivery() -> None:
    found = measure_ven_performance(3.0, HOUR, slices(12.0), flat(10.0))
    assert found.delivered_kwh == pytest.approx(-2.0)
    assert found.shed_percentage == pytest.approx(-200.0 / 3)


def test_a_baseline_by_quarter_hours_is_compared_with_each() -> None:
    profile = tuple((at * INTERVAL_SEC, 10.0 + at) for at in range(4))
    chosen = VenBaseline(Baseline(11.5, "ten_of_ten", 10, profile=profile), 1.0)
    found = measure_ven_performance(4.0, HOUR, slices(8.0), chosen)
    assert found.baseline_kw == pytest.approx(11.5)
    assert found.delivered_kwh == pytest.approx(3.5)


def test_nothing_is_invented_for_a_ven_without_telemetry() -> None:
    found = measure_ven_performance(4.0, HOUR, [], flat(10.0))
    assert (found.achieved_shed_kw, found.delivered_kwh, found.confidence) == (None, None, 0.0)
    assert measure_ven_performance(4.0, HOUR, slices(7.0), None).average_kw == 7.0


def test_a_slow_reporter_covers_the_time_too() -> None:
    found = measure_ven_performance(
        3.0, HOUR, slices(7.0, samples=15), flat(10.0), interval_sec=60.0
    )
    assert found.confidence == pytest.approx(1.0)
    assert found.expected_samples == 60


@pytest.mark.parametrize(
    ("method", "before", "expected"),
    [
        ("pre_event_mean", FULL, ("pre_event_mean", 10.0, 1.0)),
        ("meter_before", FULL, ("meter_before", 9.0, 0.5)),
        ("pre_event_mean", VenBaselineTelemetry(10.0, 9.0, 5, 20.0), ("present_power", 9.0, 0.5)),
        ("high_4_of_5", FULL, ("pre_event_mean", 10.0, 1.0)),
    ],
)
def test_the_baseline_is_the_one_asked_for_or_the_next_there_is_history_for(
    method: str, before: VenBaselineTelemetry, expected: tuple[str, float, float]
) -> None:
    found = chosen_for_the_hour(method, before)
    assert found is not None
    assert (found.baseline.method, found.baseline.power_kw, found.trust) == expected


def test_without_any_telemetry_there_is_no_baseline() -> None:
    assert chosen_for_the_hour("pre_event_mean", None) is None
    with pytest.raises(ValueError, match="choose one of"):
        chosen_for_the_hour("guess", FULL)


def test_the_whole_is_the_sum_and_knows_what_is_missing() -> None:
    known = measure_ven_performance(3.0, HOUR, slices(7.0), flat(10.0))
    unknown = measure_ven_performance(3.0, HOUR, [], None)
    whole = total_ven_performance(6.0, [known, known, unknown])
    assert (whole.achieved_shed_kw, whole.delivered_kwh) == (pytest.approx(6.0), pytest.approx(6.0))
    assert whole.shed_percentage == pytest.approx(100.0)
    assert whole.confidence == pytest.approx(2 / 3)
    nothing = total_ven_performance(6.0, [])
    assert (nothing.achieved_shed_kw, nothing.confidence) == (None, 0.0)


def test_a_time_zone_that_is_none_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(SettingsBlockError, match="Europe/Berlin"):
        BackendSettings.from_environment({"MEASURE_TIMEZONE": "Mars/Base"})


# ---- the service --------------------------------------------------------------------------------

START = utc_now() - timedelta(minutes=40)
LENGTH = timedelta(minutes=20)


def samples(ven_id: str, power_kw: float, shed_kw: float) -> Iterator[IngestMessage]:
    """Every 30 s from ten minutes before the event until five after it."""
    for n in range(70):
        at = START - timedelta(minutes=10) + n * timedelta(seconds=30)
        during = START <= at < START + LENGTH
        data = payload(
            ven_id,
            n + 1,
            timestamp=at.timestamp(),
            usedPowerKw=power_kw - (shed_kw if during else 0.0),
            eventId="e" if during else None,
        )
        yield IngestMessage("volttron/metering", data, time.time())


async def an_event(database: Database, settings: BackendSettings, **fields: Any) -> None:
    writer = IngestWriter(database, settings)
    for ven_id, power_kw, shed_kw in (("v1", 10.0, 3.0), ("v2", 5.0, 0.0)):
        await writer.store(list(samples(ven_id, power_kw, shed_kw)), "mqtt")
    times: dict[str, Any] = {
        "start_time": START,
        "end_time": START + LENGTH,
        "activated_at": START,
        "ended_at": START + LENGTH,
    }
    async with database.sessions.begin() as session:
        values = {"requested_reduction_kw": 8.0, "status": "completed", **times, **fields}
        session.add(EventRow(id="e", **values))
        await session.flush()
        for ven_id, response_ms in (("v1", 100.0), ("v2", 300.0), ("silent", None)):
            session.add(
                ParticipantRow(
                    event_id="e", ven_id=ven_id, assigned_shed_kw=3.0, response_ms=response_ms
                )
            )


async def rows_of(database: Database) -> dict[str, EventPerformanceRow]:
    async with database.sessions() as session:
        return {row.ven_id: row for row in await session.scalars(select(EventPerformanceRow))}


@pytest.mark.asyncio
async def test_an_event_that_is_over_is_measured_once(
    database: Database, database_url: str
) -> None:
    settings = BackendSettings.from_environment({"DATABASE_URL": database_url})
    await an_event(database, settings)
    assert await measure_next_event(database, settings, utc_now()) == "e"
    assert await measure_next_event(database, settings, utc_now()) is None
    rows = await rows_of(database)
    assert set(rows) == {"v1", "v2", "silent", WHOLE_EVENT}
    one = rows["v1"]
    assert (one.baseline_method, one.baseline_kw) == ("pre_event_mean", pytest.approx(10.0))
    assert one.achieved_shed_kw == pytest.approx(3.0)
    assert one.delivered_kwh == pytest.approx(1.0, rel=0.05)
    assert one.shed_percentage == pytest.approx(100.0)
    assert one.confidence == pytest.approx(1.0, abs=0.1)
    assert rows["silent"].achieved_shed_kw is None
    whole = rows[WHOLE_EVENT]
    assert whole.achieved_shed_kw == pytest.approx(3.0)
    assert (whole.vens, whole.response_ms) == (3, 200.0)
    async with database.sessions() as session:
        event = await session.get_one(EventRow, "e")
    assert event.measured_at is not None
    assert event.actual_reduction_kw == pytest.approx(3.0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fields",
    [
        {"activated_at": None, "status": "cancelled"},
        {"ended_at": None, "status": "active"},
        {"ended_at": utc_now() + timedelta(hours=1)},
    ],
)
async def test_an_event_that_never_began_or_is_not_over_is_not_measured(
    database: Database, database_url: str, fields: dict[str, Any]
) -> None:
    settings = BackendSettings.from_environment({"DATABASE_URL": database_url})
    await an_event(database, settings, **fields)
    assert await measure_next_event(database, settings, utc_now()) is None
    assert await rows_of(database) == {}


@pytest.mark.asyncio
async def test_an_event_that_cannot_be_measured_keeps_no_other_waiting(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BackendSettings.from_environment({"DATABASE_URL": database_url})
    await an_event(database, settings)
    before = START - timedelta(minutes=10)
    async with database.sessions.begin() as session:
        times = {"start_time": before, "activated_at": before, "end_time": START, "ended_at": START}
        session.add(EventRow(id="odd", requested_reduction_kw=1.0, status="completed", **times))

    def together_but(requested_kw: float, *more: Any) -> Any:
        return 1 / 0 if requested_kw == 1.0 else total_ven_performance(requested_kw, *more)

    monkeypatch.setattr("backend.measure.event_measurement.total_ven_performance", together_but)
    assert await measure_next_event(database, settings, utc_now()) == "odd"
    assert await measure_next_event(database, settings, utc_now()) == "e"
    assert await measure_next_event(database, settings, utc_now()) is None
    async with database.sessions() as session:
        rows = await session.scalars(select(EventPerformanceRow.event_id).distinct())
        assert list(rows) == ["e"]


@pytest.mark.asyncio
async def test_similar_days_come_from_the_stored_quarter_hours(
    database: Database, database_url: str
) -> None:
    settings = BackendSettings.from_environment(
        {"DATABASE_URL": database_url, "BASELINE_METHOD": "ten_of_ten"}
    )
    await an_event(database, settings)
    first: datetime = upkeep_quarter_hour(START) - timedelta(days=40)
    history = [
        {
            "ven_id": "v1",
            "start": first + n * timedelta(minutes=15),
            "used_power_kw": 20.0,
            "samples": 180,
            "in_event": False,
        }
        for n in range(40 * 96)
    ]
    async with database.engine.begin() as connection:
        await connection.execute(insert(TelemetryQuarterHourRow), history)
    await measure_next_event(database, settings, utc_now())
    rows = await rows_of(database)
    assert rows["v1"].baseline_method == "ten_of_ten"
    assert rows["v1"].baseline_kw == pytest.approx(20.0)
    assert rows["v1"].achieved_shed_kw == pytest.approx(13.0)
    assert rows["v2"].baseline_method == "pre_event_mean"
    assert rows[WHOLE_EVENT].baseline_method == "mixed"
