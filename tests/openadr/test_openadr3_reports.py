"""Reports of OpenADR 3: which are due when, and that they say what the meter showed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import insert, update

from backend.openadr.openadr3_event_reader import read_openadr3_event
from backend.openadr.openadr3_report import due_openadr3_reports
from backend.store.database import Database
from backend.store.tables import VEN_STATE
from backend.store.telemetry_tables import VenTelemetryRow
from backend.store.utc_time import utc_now
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually, set_state
from tests.openadr import vtn3
from tests.openadr.stage import alerts, hurry, in_sec, let_pass, reports, service_for

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def due(now: datetime, count: int = 6, **descriptor: Any) -> list[tuple[datetime, list[int]]]:
    """When each report of an event of hours from noon is due, and the intervals it has."""
    body = vtn3.event_body(start=NOON, kws=[-1.0] * count)
    body |= {"id": "e1", "reportDescriptors": [{"payloadType": "USAGE", **descriptor}]}
    event = read_openadr3_event(body)
    found = due_openadr3_reports(event, now_means=NOON, delay=timedelta(0), now=now)
    return [(each.at, [covered.id for covered in each.covers]) for each in found]


def hours(number: float) -> datetime:
    return NOON + timedelta(hours=number)


def test_by_default_one_report_of_all_intervals_at_the_end_of_the_last() -> None:
    assert due(hours(5.9)) == []
    assert due(hours(6)) == [(hours(6), [0, 1, 2, 3, 4, 5])]


def test_reports_at_a_regular_period_each_of_the_intervals_before_it() -> None:
    asked = {"startInterval": 1, "numIntervals": 2, "frequency": 2, "repeat": 3}
    assert due(hours(4), **asked) == [(hours(2), [0, 1]), (hours(4), [2, 3])]
    assert due(hours(9), **asked)[2:] == [(hours(6), [4, 5])]


def test_a_report_of_a_subset_of_the_intervals() -> None:
    assert due(hours(9), startInterval=1, numIntervals=3) == [(hours(4), [1, 2, 3])]


def test_reports_that_repeat_until_the_event_ends() -> None:
    found = due(hours(9), startInterval=0, numIntervals=1, frequency=1, repeat=-1)
    assert found == [(hours(n + 1), [n]) for n in range(6)]


def test_a_forecast_is_due_before_its_intervals() -> None:
    assert due(hours(-1), historical=False) == []
    found = due(NOON, historical=False, startInterval=0, numIntervals=3, frequency=1, repeat=3)
    assert found == [(NOON, [0, 1, 2])]


def test_ad_hoc_reports_and_those_of_an_event_without_intervals_go_on_by_themselves() -> None:
    assert len(due(hours(1), frequency=0, repeat=-1)) == 5
    assert len(due(hours(1), count=0, repeat=1)) == 1


async def add_telemetry(
    database: Database, ven_id: str, start: datetime, used_kw: list[float], every_sec: float = 60
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(VenTelemetryRow.__table__),
            [
                {
                    "ven_id": ven_id,
                    "timestamp": start + timedelta(seconds=n * every_sec),
                    "seq": n,
                    "used_power_kw": kw,
                    "baseline_power_kw": 12.0,
                    "quality": "good",
                }
                for n, kw in enumerate(used_kw)
            ],
        )


def payloads(report: dict[str, Any], resource: str) -> list[dict[str, Any]]:
    """By interval what was reported of a resource."""
    (found,) = [each for each in report["resources"] if each["resourceName"] == resource]
    return [
        {payload["type"]: payload["values"] for payload in interval["payloads"]}
        for interval in found["intervals"]
    ]


ASKED = [
    {"payloadType": "USAGE", "units": "KWH", "readingType": "DIRECT_READ"},
    {"payloadType": "DEMAND", "units": "W"},
    {"payloadType": "BASELINE"},
    {"payloadType": "OPERATING_STATE"},
    {"payloadType": "UP_REGULATION_AVAILABLE"},
    {"payloadType": "DOWN_REGULATION_AVAILABLE"},
    {"payloadType": "USAGE", "aggregate": True},
]


@pytest.mark.asyncio
@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_what_the_descriptors_ask_for_is_reported_from_the_meter(
    database: Database, version: str
) -> None:
    await add_vens(database, {"a": 2.0, "b": 6.0, "silent": None})
    start = utc_now() - timedelta(minutes=31)
    await add_telemetry(database, "a", start, [4.0] * 15 + [2.0] * 15)
    await add_telemetry(database, "b", start, [10.0] * 30)
    async with database.engine.begin() as connection:
        drew = {"used_power_kw": 10.0, "highest_power_kw": 14.0, "panel_max_kw": 13.0}
        await connection.execute(update(VEN_STATE).where(VEN_STATE.c.ven_id == "b").values(drew))
    with vtn3.running(version) as vtn:
        vtn.event("e1", start=start, duration="PT15M", kws=[-1.0, -2.0], reportDescriptors=ASKED)
        async with service_for(database, vtn.url, version) as service:
            await service.turn()
            await service.turn()
        sent = {report["reportName"]: report for report in vtn.reports("e1")}
    assert len(sent) == len(ASKED)
    usage, demand, baseline, state, up, down, whole = (
        sent[f"operator-e1-{n}-0"] for n in range(len(ASKED))
    )
    assert payloads(usage, "a") == [{"USAGE": [1.0]}, {"USAGE": [0.5]}]
    assert payloads(usage, "b") == [{"USAGE": [2.5]}] * 2
    assert payloads(usage, "silent") == [{"USAGE": [], "DATA_QUALITY": ["MISSING"]}] * 2
    assert usage["payloadDescriptors"][0]["units"] == "KWH"
    first = usage["resources"][0]["intervals"][0]["intervalPeriod"]
    assert first["duration"] == "PT900S"
    assert payloads(demand, "a") == [{"DEMAND": [4000.0]}, {"DEMAND": [2000.0]}]
    assert payloads(baseline, "b") == [{"BASELINE": [12.0]}] * 2
    assert payloads(state, "a") == [{"OPERATING_STATE": ["RUNNING_NORMAL"]}] * 2
    assert payloads(up, "b")[0] == {"UP_REGULATION_AVAILABLE": [6.0]}
    assert payloads(down, "b")[0] == {"DOWN_REGULATION_AVAILABLE": [3.0]}
    unknown = {"DOWN_REGULATION_AVAILABLE": [], "DATA_QUALITY": ["MISSING"]}
    assert payloads(down, "silent")[0] == unknown
    assert payloads(whole, "AGGREGATED_REPORT") == [
        {"USAGE": [3.5], "DATA_QUALITY": ["ESTIMATED"]},
        {"USAGE": [3.0], "DATA_QUALITY": ["ESTIMATED"]},
    ]


@pytest.mark.asyncio
async def test_a_report_that_the_fleet_has_not_is_answered_so_and_alerted(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        asked = [{"payloadType": "STORAGE_CHARGE_LEVEL"}]
        vtn.event("e1", start=in_sec(-7200), duration="PT1H", reportDescriptors=asked)
        async with service_for(database, vtn.url) as service:
            await service.turn()
        (report,) = vtn.reports("e1")
    answer = payloads(report, "AGGREGATED_REPORT")[0]["x-VENAGENT_ANSWER"]
    assert answer[0].startswith("report_not_supported: ")
    assert await alerts(database) == {"openadr_report_not_supported"}


@pytest.mark.asyncio
async def test_reports_wait_for_a_vtn_that_is_away_and_are_not_sent_twice(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    await set_state(database, "a")
    with vtn3.running() as vtn:
        vtn.event(
            "e1",
            start=in_sec(-3600),
            duration="PT30M",
            reportDescriptors=[{"payloadType": "USAGE"}],
        )
        vtn.lose_answers.add("POST /reports")  # it arrives, but we do not hear so
        async with service_for(database, vtn.url) as service:
            await service.turn()
            (waiting,) = await reports(database)
            assert waiting.state == "waiting"
            assert waiting.attempts == 1
            await let_pass(database, timedelta(minutes=10))
            hurry(service)
            await service.turn()
        assert len(vtn.reports("e1")) == 1
        posts = [request for request in vtn.requests if request == ("POST", "/reports")]
        assert len(posts) == 1
    (report,) = await reports(database)
    assert report.state == "sent"


@pytest.mark.asyncio
async def test_the_operating_state_is_that_of_the_interval_not_of_the_report(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0, "idle": 0.0})
    wire = Answering(database)
    with vtn3.running() as vtn:
        asked = [{"payloadType": "OPERATING_STATE"}]
        start = "0001-01-01T00:00:00Z"
        vtn.event("e1", start=start, duration="PT1H", kws=[-1.0, 0.0], reportDescriptors=asked)
        async with service_for(database, vtn.url) as service:
            async with dispatching(database, wire) as dispatcher:
                await service.turn()
                dispatcher.wake.ring()
                await eventually(lambda: wire.to("a"))
            await let_pass(database, timedelta(hours=3))
            await service.turn()
        (report,) = vtn.reports("e1")
    states = [each["OPERATING_STATE"] for each in payloads(report, "a")]
    assert states == [["RUNNING_CURTAILED"], ["RUNNING_NORMAL"]]
    assert payloads(report, "idle")[0] == {"OPERATING_STATE": ["RUNNING_NORMAL"]}


@pytest.mark.asyncio
async def test_what_the_meter_was_not_read_of_is_estimated_or_missing(database: Database) -> None:
    await add_vens(database, {"a": 1.0, "b": 1.0, "c": 1.0})
    start = in_sec(-3_700)
    await add_telemetry(database, "a", start, [10.0] * 60)
    await add_telemetry(database, "b", start, [10.0] * 30)  # half of the hour
    await add_telemetry(database, "c", start, [10.0] * 4, every_sec=5)  # 20 seconds
    asked = [{"payloadType": kind} for kind in ("USAGE", "DEMAND", "BASELINE")]
    with vtn3.running() as vtn:
        vtn.event("e1", start=start, duration="PT1H", kws=[-1.0], reportDescriptors=asked)
        async with service_for(database, vtn.url) as service:
            await service.turn()
            await service.turn()
        sent = [each for each in vtn.reports("e1") if "answer" not in each["reportName"]]
    assert len(sent) == 3
    for report in sent:
        (kind,) = {each["payloadType"] for each in report["payloadDescriptors"]}
        value = [12.0] if kind == "BASELINE" else [10.0]
        assert payloads(report, "a") == [{kind: value}]
        assert payloads(report, "b") == [{kind: value, "DATA_QUALITY": ["ESTIMATED"]}]
        assert payloads(report, "c") == [{kind: [], "DATA_QUALITY": ["MISSING"]}]


@pytest.mark.asyncio
async def test_a_report_that_we_have_not_does_not_say_that_we_are_out(database: Database) -> None:
    await add_vens(database, {"a": 4.0})
    asked = [{"payloadType": "DEMAND", "readingType": "PEAK"}]
    with vtn3.running() as vtn:
        vtn.event("e1", start=in_sec(-7_300), kws=[-1.0, -2.0], reportDescriptors=asked)
        vtn.event("e2", payloadDescriptors=[], kws=[-1.0])
        vtn.change("e2", intervals=[{"id": 0, "payloads": [{"type": "CURVE", "values": [1]}]}])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            await service.turn()
        answers = [str(vtn.reports(event_id)) for event_id in ("e1", "e2")]
    assert ["RUNNING_OPTED_OUT" in answer for answer in answers] == [False, True]
    assert ["x-VENAGENT_ANSWER" in answer for answer in answers] == [True, True]
