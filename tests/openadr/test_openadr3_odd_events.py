"""OpenADR 3: events that are met less often, each to its end."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from backend.store.database import Database
from tests.backend.dispatching import add_vens
from tests.openadr import vtn3
from tests.openadr.stage import alerts, events, in_sec, let_pass, open_events, service_for

pytestmark = pytest.mark.asyncio


async def test_an_event_that_began_before_we_were_there_is_done_for_what_is_left_of_it(
    database: Database,
) -> None:
    await add_vens(database, {"a": 4.0})
    with vtn3.running() as vtn:
        vtn.add("programs", {"programName": "without events"}, object_id="p2")
        start = in_sec(-5_400)
        vtn.event("e1", start=start, duration="PT1H", kws=[-1.0, -2.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            (event,) = await open_events(database)
            assert event.end_time - event.start_time == timedelta(hours=2)
            assert [level["shed_kw"] for level in event.intervals] == [1.0, 2.0]
            # its start is moved back: what is left of it ends sooner, what is over is ended
            vtn.change("e1", start=start - timedelta(minutes=15), duration="PT1H", kws=[-1.0, -2.0])
            await service.turn()
            (moved,) = await open_events(database)
            assert moved.id == event.id
            assert event.end_time - moved.end_time == timedelta(minutes=15)
            vtn.change("e1", start=start - timedelta(hours=3), duration="PT1H", kws=[-1.0, -2.0])
            await service.turn()
    assert await open_events(database) == []
    assert await alerts(database) == set()


async def test_an_event_under_another_id_takes_the_place_of_the_one_that_is_gone(
    database: Database,
) -> None:
    await add_vens(database, {"a": 4.0})
    with vtn3.running() as vtn:
        start = in_sec(0)
        vtn.event("e1", start=start, kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            vtn.delete("e1")
            vtn.event("e1-again", start=start, kws=[-1.0])
            await service.turn()
            await service.turn()
    (event,) = await open_events(database)
    assert "e1-again" in event.id
    assert len(await events(database)) == 2


async def test_an_event_until_further_notice_that_gets_an_end_ends_then(
    database: Database,
) -> None:
    await add_vens(database, {"a": 4.0})
    with vtn3.running() as vtn:
        vtn.event("e1", start="0001-01-01T00:00:00Z", duration="P9999Y", kws=[-1.0], priority=1)
        vtn.event("e2", start="0001-01-01T00:00:00Z", kws=[-1.0], priority=1)
        async with service_for(database, vtn.url) as service:
            await service.turn()
            await let_pass(database, timedelta(hours=12))
            await service.turn()
            vtn.change("e1", start="0001-01-01T00:00:00Z", duration="PT13H", kws=[-1.0])
            await service.turn()
            (event,) = [each for each in await open_events(database) if "-e1-" in each.id]
            assert event.end_time - event.start_time == timedelta(hours=13)
            await let_pass(database, timedelta(hours=2))
            await service.turn()
            vtn.delete("e1")  # over: nothing is left to be ended
            await service.turn()
    assert [each.end_reason for each in await events(database)].count("withdrawn_by_vtn") == 0


async def test_readings_that_ours_are_not_are_answered_so(database: Database) -> None:
    await add_vens(database, {"a": 4.0})
    asked = [
        {"payloadType": "DEMAND", "readingType": "MEAN", "frequency": -1, "historical": True},
        {"payloadType": "DEMAND", "readingType": "PEAK"},
        {"payloadType": "USAGE", "readingType": "SUMMED"},
        {"payloadType": "USAGE", "readingType": "FORECAST", "historical": False},
        {"payloadType": "x-VOLTAGE-OF-NEUTRAL"},
        {"payloadType": "OPERATING_STATE", "readingType": "DIRECT_READ"},
        {"payloadType": "DEMAND", "units": "KWH"},
    ]
    with vtn3.running() as vtn:
        vtn.event("e1", start=in_sec(-7200), duration="PT1H", kws=[-1.0], reportDescriptors=asked)
        async with service_for(database, vtn.url) as service:
            await service.turn()
            await service.turn()
        sent = {each["reportName"]: json.dumps(each) for each in vtn.reports("e1")}
    answered = [
        "report_not_supported" in sent[f"operator-e1-{position}-0"] for position in range(7)
    ]
    assert answered == [False, True, False, True, True, False, True]
    assert await alerts(database) == {"openadr_report_not_supported"}
