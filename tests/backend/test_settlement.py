"""What was delivered: agent and backend agree, the event's curve, the settlement report."""

from __future__ import annotations

import csv
import io
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import insert

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter
from backend.measure.event_measurement import CANNOT_BE_MEASURED, measure_next_event
from backend.store.database import Database
from backend.store.event_tables import WHOLE_EVENT, EventPerformanceIntervalRow, EventPerformanceRow
from backend.store.programme_tables import ProgrammeRow
from backend.store.tables import EVENTS, PARTICIPANTS
from backend.store.utc_time import utc_now, utc_time_of_epoch
from VenAgent.baseline.measured_power import MeasuredPower
from VenAgent.baseline.recent_power import RecentPower

from .api_client import api
from .builders import payload
from .dispatching import add_vens, rows

pytestmark = pytest.mark.asyncio
SETTINGS = BackendSettings.from_environment({"MEASURE_AFTER_SEC": "0"})
LASTS_SEC = 1_500


async def store(database: Database, ven_id: str, samples: list[tuple[float, float]], **more: Any):  # type: ignore[no-untyped-def]
    """Telemetry of these (time, kW)."""
    messages = [
        IngestMessage(
            f"ven/telemetry/{ven_id}",
            payload(ven_id, round(ts), timestamp=ts, usedPowerKw=kw, **more),
            time.time(),
        )
        for ts, kw in samples
    ]
    outcome = await IngestWriter(database, SETTINGS).store(messages, "test")
    assert outcome.refused == 0


async def an_event(
    database: Database, start: float, parts: dict[str, float], event_id: str = "e1", **fields: Any
) -> None:
    begin, end = utc_time_of_epoch(start), utc_time_of_epoch(start + LASTS_SEC)
    values = {
        "requested_reduction_kw": sum(parts.values()),
        "status": "completed",
        "modification": 0,
        "created_at": begin,
        **fields,
    }
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(EVENTS).values(
                id=event_id,
                start_time=begin,
                end_time=end,
                activated_at=begin,
                ended_at=end,
                **values,
            )
        )
        for ven_id, shed_kw in parts.items():
            limit_kw = fields.get("import_kw")
            await connection.execute(
                insert(PARTICIPANTS).values(
                    event_id=event_id,
                    ven_id=ven_id,
                    assigned_shed_kw=shed_kw,
                    assigned_limit_kw=limit_kw,
                    status="completed",
                    modification=0,
                    assigned_at=begin,
                )
            )


async def figures(database: Database, event_id: str = "e1") -> dict[str, Any]:
    while await measure_next_event(database, SETTINGS, utc_now()) is not None:
        pass
    found = await rows(
        database, EventPerformanceRow.__table__, EventPerformanceRow.event_id == event_id
    )
    return {row.ven_id: row for row in found}


def before_and_during(start: float, every_sec: float) -> tuple[list[Any], list[Any]]:
    """10 kW but for one mad reading; then 7.3 and 6.5 kW in turn, with a time nobody saw."""
    count = int(300 / every_sec)
    before = [(start - 300 + n * every_sec, 10.0 + 0.01 * (n % 7)) for n in range(count)]
    before[count // 2] = (before[count // 2][0], 6_553.5)
    times = [start + n * every_sec for n in range(int(LASTS_SEC / every_sec))]
    during = [(ts, 7.3 if n % 2 else 6.5) for n, ts in enumerate(times)]
    return before, [(ts, kw) for ts, kw in during if not 400 <= ts - start < 700]


async def test_a_site_under_a_limit_that_holds_nothing_off_is_measured_as_one_without(
    database: Database,
) -> None:
    start = float(round(time.time()) - 4_000)
    before, during = before_and_during(start, 20.0)
    held = {"eventId": "grid", "requestedReductionKw": 0.0}
    await store(database, "free", before)
    await store(database, "limited", before, **held, shedPowerKw=0.0)
    await store(database, "held", before, **held, shedPowerKw=1.5)
    for ven_id in ("free", "limited", "held"):
        await store(database, ven_id, during, eventId="e1")
    await an_event(database, start, {"free": 4.0, "limited": 4.0, "held": 4.0})
    found = await figures(database)
    assert found["free"].delivered_kwh > 0.0
    assert found["limited"].delivered_kwh == pytest.approx(found["free"].delivered_kwh)
    assert found["held"].note == "there is no baseline"


@pytest.mark.parametrize("every_sec", [5.0, 20.0])
async def test_agent_and_backend_agree_on_the_same_event(
    database: Database, every_sec: float
) -> None:
    start = float(round(time.time()) - 4_000)
    before, during = before_and_during(start, every_sec)
    await store(database, "a", before)
    await store(database, "a", during, eventId="e1")
    await an_event(database, start, {"a": 4.0})
    found = (await figures(database))["a"]
    recent, metered = RecentPower(), MeasuredPower()
    for ts, kw in before:
        recent.add(ts, kw)
    baseline = recent.baseline(start, before[-1][1])
    for ts, kw in during:
        metered = metered.add(ts, kw, baseline.power_kw, 90.0)
    agent = metered.until(start + LASTS_SEC, 90.0).settle(LASTS_SEC)
    assert baseline.power_kw < 10.1, "one mad reading moves nothing"
    assert found.baseline_kw == pytest.approx(baseline.power_kw, abs=1e-6)
    assert found.baseline_method == baseline.method
    assert found.unseen_sec == pytest.approx(agent.unseen_sec, abs=0.05)
    assert found.average_kw == pytest.approx(agent.average_kw, abs=1e-4)
    assert found.delivered_kwh == pytest.approx(agent.delivered_kwh, abs=1e-4)
    assert found.note is not None
    assert found.note.endswith("were not seen by the meter")
    intervals = await rows(database, EventPerformanceIntervalRow.__table__)
    kwh = sum((one.baseline_kw - one.average_kw) * one.seen_sec / 3_600 for one in intervals)
    assert kwh == pytest.approx(found.delivered_kwh, abs=1e-6)


async def test_a_settlement_has_each_sites_intervals_and_what_was_not_measured(
    database: Database,
) -> None:
    start = float(round(time.time()) - 4_000)
    await add_vens(database, {"a": 4.0, "silent": 4.0})
    before, during = before_and_during(start, 20.0)
    await store(database, "a", before + during)
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(ProgrammeRow).values(
                id="p",
                name="=Evenings",
                kind="event",
                power_kw=8.0,
                limit_per_site=False,
                duration_sec=LASTS_SEC,
                timezone="UTC",
                recurring=False,
                test=False,
                active=True,
                created_at=utc_now(),
            )
        )
    await an_event(database, start, {"a": 4.0, "silent": 4.0}, programme_id="p")
    await an_event(database, start, {"a": 4.0}, event_id="trial", test=True)
    await an_event(database, start, {"a": 4.0}, event_id="dry", dry_run=True)
    total = (await figures(database))[WHOLE_EVENT]
    assert total.note == "1 of 2 VENs were not measured"
    month = f"{utc_time_of_epoch(start):%Y-%m}"
    async with api(database) as client:
        url = f"/api/settlement?month={month}"
        report = (await client.get(f"{url}&programme_id=p&intervals=true")).json()
        tests = (await client.get(f"{url}&tests=true")).json()
        other = (await client.get("/api/settlement?month=2020-01")).json()
        text = await client.get(f"{url}&format=csv")
        long = await client.get(f"{url}&format=csv&intervals=true&ven_id=a")
        wrong = await client.get(f"{url}&start=2026-01-01T00:00:00Z")
        dry = (await client.get("/api/events/dry/performance")).json()
    site, silent = report["sites"]
    assert (site["venId"], site["programmeName"], site["baselineMethod"]) == (
        "a",
        "=Evenings",
        "pre_event_mean",
    )
    assert site["deliveredKwh"] == pytest.approx(total.delivered_kwh)
    assert len(site["intervals"]) >= 2
    assert sum(one["deliveredKwh"] for one in site["intervals"]) == pytest.approx(
        site["deliveredKwh"]
    )
    assert (silent["deliveredKwh"], silent["note"]) == (None, "not measured: no reading")
    assert silent["unseenSec"] == LASTS_SEC
    (of_month,) = report["totals"]
    assert (of_month["month"], of_month["events"], of_month["vens"]) == (month, 1, 2)
    assert of_month["notMeasured"] == 1
    assert of_month["deliveredKwh"] == pytest.approx(total.delivered_kwh)
    assert [one["eventId"] for one in tests["sites"]] == ["trial"]
    assert other["sites"] == []
    assert wrong.status_code == 422
    assert dry["vens"] == []
    # RFC 4180 in UTF-8, the same bytes for a reader of any language.
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert text.content.startswith(b"programme_id,event_id,")
    assert text.content.count(b"\r\n") == text.content.count(b"\n") == 3
    lines = list(csv.DictReader(io.StringIO(text.text)))
    assert [line["ven_id"] for line in lines] == ["a", "silent"]
    assert float(lines[0]["delivered_kwh"]) == pytest.approx(total.delivered_kwh, abs=1e-5)
    assert lines[1]["delivered_kwh"] == ""
    detailed = list(csv.DictReader(io.StringIO(long.text)))
    assert len(detailed) == len(site["intervals"])
    assert sum(float(line["interval_delivered_kwh"]) for line in detailed) == pytest.approx(
        total.delivered_kwh, abs=1e-5
    )


async def test_totals_are_of_the_months_that_were_asked_for(database: Database) -> None:
    last_half_hour_of_june = datetime(2025, 6, 30, 23, 30, tzinfo=timezone.utc)
    await an_event(database, last_half_hour_of_june.timestamp(), {"a": 4.0})
    await figures(database)
    months = []
    async with api(database) as client:
        for query in (
            "month=2025-06",
            "month=2025-07&timezone=Europe/Berlin",
            "start=2025-06-01T00:00:00Z&timezone=Europe/Berlin",
            "month=2025-06&timezone=Europe/Berlin",
        ):
            report = (await client.get(f"/api/settlement?{query}")).json()
            months.append([one["month"] for one in report["totals"]])
    assert months == [["2025-06"], ["2025-07"], ["2025-07"], []]


async def test_the_same_kwh_are_settled_once_for_a_site_under_a_limit_in_an_event(
    database: Database,
) -> None:
    start = float(round(time.time()) - 4_000)
    before, during = before_and_during(start, 20.0)
    await store(database, "a", before + during)
    await an_event(database, start, {"a": 4.0}, event_id="shed")
    await an_event(database, start, {"a": 0.0}, event_id="limit", kind="limit", import_kw=30.0)
    shed = (await figures(database, "shed"))["a"]
    async with api(database) as client:
        report = (await client.get("/api/settlement", params={"intervals": True})).json()
        table = {"format": "csv", "intervals": True}
        text = (await client.get("/api/settlement", params=table)).text
    delivered_kwh = pytest.approx(shed.delivered_kwh, abs=1e-4)
    of_kind = {site["kind"]: site for site in report["sites"]}
    assert of_kind.keys() == {"event", "limit"}
    (total,) = report["totals"]
    assert (total["events"], total["deliveredKwh"]) == (2, delivered_kwh)
    # Whoever adds up the rows, or the quarter hours, comes to the same.
    assert sum(site["deliveredKwh"] for site in report["sites"]) == delivered_kwh
    lines = list(csv.DictReader(io.StringIO(text)))
    assert sum(float(line["interval_delivered_kwh"]) for line in lines) == delivered_kwh
    assert of_kind["limit"]["heldOffKwh"] == delivered_kwh
    assert of_kind["event"]["heldOffKwh"] is None


async def test_what_a_site_delivers_for_an_event_that_goes_before_is_not_settled_twice(
    database: Database,
) -> None:
    """It names the event that it sheds for."""
    start = float(round(time.time()) - 4_000)
    before, _ = before_and_during(start, 20.0)
    half = start + 500
    during = [(start + 20.0 * n, 6.0) for n in range(LASTS_SEC // 20)]
    await store(database, "a", before)
    await store(database, "a", [one for one in during if one[0] < half], eventId="low")
    await store(database, "a", [one for one in during if one[0] >= half], eventId="high")
    for event_id in ("low", "high"):
        await an_event(database, start, {"a": 4.0}, event_id=event_id)
    low, high = (await figures(database, "low"))["a"], (await figures(database, "high"))["a"]
    assert low.delivered_kwh == pytest.approx(4.0 * 500 / 3_600, rel=0.02)
    assert high.delivered_kwh == pytest.approx(4.0 * 1_000 / 3_600, rel=0.02)


async def test_an_event_that_cannot_be_measured_is_in_the_settlement_and_says_so(
    database: Database,
) -> None:
    start = float(round(time.time()) - 4_000)
    before, during = before_and_during(start, 20.0)
    await store(database, "a", before + during)
    await an_event(database, start, {"a": 4.0, "b": 4.0}, baseline_method="of a later version")
    await an_event(database, start, {"a": 4.0}, event_id="other")
    found = await figures(database)
    assert {ven_id: one.note for ven_id, one in found.items()} == dict.fromkeys(
        ("a", "b"), CANNOT_BE_MEASURED
    )
    assert {one.delivered_kwh for one in found.values()} == {None}
    assert (await figures(database, "other"))["a"].delivered_kwh is not None
    async with api(database) as client:
        (total,) = (await client.get("/api/settlement")).json()["totals"]
    assert (total["events"], total["notMeasured"]) == (2, 2)


async def test_a_limit_is_settled_by_what_went_over_it(database: Database) -> None:
    start = float(round((time.time() - 5_000) / 900) * 900)
    samples = [(start - 300 + n * 20, 9.0) for n in range(15)]
    samples += [(start + n * 20, 9.0 if n < 45 else 4.0) for n in range(75)]
    await store(database, "a", samples)
    await an_event(database, start, {"a": 0.0}, kind="limit", import_kw=5.0)
    found = (await figures(database))["a"]
    assert (found.limit_kw, found.highest_kw) == (5.0, pytest.approx(9.0))
    assert found.over_limit_kwh == pytest.approx(4.0 * 0.25)
    assert found.shed_percentage is None


async def test_what_intervals_asked_for_is_the_mean_over_the_event(database: Database) -> None:
    start = float(round(time.time()) - 4_000)
    before, during = before_and_during(start, 20.0)
    await store(database, "a", before + during)
    levels = [{"duration_sec": 500, "shed_kw": 4.0}, {"duration_sec": 1_000, "shed_kw": 1.0}]
    await an_event(database, start, {"a": 4.0}, intervals=levels)
    found = await figures(database)
    assert found["a"].requested_shed_kw == pytest.approx(2.0)
    assert found[WHOLE_EVENT].requested_shed_kw == pytest.approx(2.0)


async def test_an_events_curve_is_read_from_the_store(database: Database) -> None:
    start = float(round((time.time() - 4_000) / 30) * 30)
    for ven_id, shed_kw in (("a", 2.0), ("b", 1.0)):
        times = [start - 300 + n * 15 for n in range(120)]
        for inside in (False, True):
            some = [(ts, 5.0) for ts in times if (start <= ts < start + LASTS_SEC) is inside]
            await store(database, ven_id, some, shedPowerKw=shed_kw if inside else 0.0)
    levels = [{"duration_sec": 600, "shed_kw": 4.0}, {"duration_sec": 900, "shed_kw": 2.0}]
    await an_event(database, start, {"a": 3.0, "b": 1.0}, intervals=levels)
    async with api(database) as client:
        whole = (await client.get("/api/events/e1/curve")).json()
        of_a = (await client.get("/api/events/e1/curve?ven_id=a")).json()
        nobody = (await client.get("/api/events/e1/curve?ven_id=none")).json()
        missing = await client.get("/api/events/none/curve")
    by_time = {point["timestamp"]: point for point in whole["points"]}

    def at(offset_sec: float) -> dict[str, Any]:
        moment = utc_time_of_epoch(start + offset_sec)
        return dict(by_time[moment.isoformat().replace("+00:00", "Z")])

    assert whole["stepSec"] == 10 or whole["stepSec"] == 30
    assert (at(-120)["requestedKw"], at(-120)["deliveredKw"]) == (0.0, 0.0)
    assert (at(300)["requestedKw"], at(300)["deliveredKw"], at(300)["vens"]) == (4.0, 3.0, 2)
    assert at(900)["requestedKw"] == 2.0
    assert at(300)["usedPowerKw"] == 10.0
    middle = of_a["points"][len(of_a["points"]) // 3]
    assert (middle["requestedKw"], middle["deliveredKw"]) == (3.0, 2.0)
    assert nobody["points"] == []
    assert missing.status_code == 404
    assert timedelta(seconds=whole["stepSec"]) > timedelta(0)


async def test_a_step_of_the_curve_asks_for_what_is_asked_for_in_its_middle(
    database: Database,
) -> None:
    step = float(round((time.time() - 4_000) / 60) * 60)
    await store(database, "a", [(step - 60 + 5 * n, 5.0) for n in range(24)])
    for event_id, late_sec in (("most", 2.0), ("least", 8.0)):
        await an_event(database, step + late_sec, {"a": 4.0}, event_id=event_id)
    asked = []
    async with api(database) as client:
        for event_id in ("most", "least"):
            curve = (await client.get(f"/api/events/{event_id}/curve")).json()
            assert curve["stepSec"] == 10
            points = {point["timestamp"]: point["requestedKw"] for point in curve["points"]}
            asked.append(points[utc_time_of_epoch(step).isoformat().replace("+00:00", "Z")])
    assert asked == [4.0, 0.0]
