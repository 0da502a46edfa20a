"""OpenADR 3 end to end: what a VTN publishes becomes commands to the fleet, once, and ends."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import pytest

from backend.store.database import Database
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually
from tests.openadr import vtn3
from tests.openadr.stage import (
    alerts,
    events,
    in_sec,
    open_events,
    reports,
    service_for,
    vtn_event,
)

pytestmark = pytest.mark.asyncio
FLEET = {"a": 2.0, "b": 6.0}


@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_a_published_event_is_commanded_to_the_fleet_and_restored_when_deleted(
    database: Database, version: str
) -> None:
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running(version) as vtn:
        async with (
            service_for(database, vtn.url, version) as service,
            dispatching(database, wire) as dispatcher,
        ):
            vtn.event("e1", kws=[-4.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            assert {sent["venId"]: sent["shed_kw"] for sent in wire.sent} == {"a": 1.0, "b": 3.0}
            await service.turn()  # read again, nothing more is done
            vtn.delete("e1")
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
    assert len(wire.sent) == 4
    (event,) = await events(database)
    assert event.status == "cancelled"
    assert event.created_by == "openadr"
    assert (await vtn_event(database, "e1")).status == "cancelled"


@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_the_ven_and_its_resources_are_registered_once(
    database: Database, version: str
) -> None:
    await add_vens(database, FLEET)
    with vtn3.running(version) as vtn:
        for _ in range(2):
            async with service_for(database, vtn.url, version) as service:
                await service.turn()
                await service.turn()
        vens, resources = vtn.objects["vens"], vtn.objects["resources"]
    (ven,) = vens.values()
    assert ven["venName"] == "operator"
    assert sorted(each["resourceName"] for each in resources.values()) == ["a", "b"]
    assert {each["venID"] for each in resources.values()} == set(vens)


async def test_groups_of_the_settings_are_the_resources_and_targets_choose_among_them(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0, "b": 2.0, "c": 2.0})
    groups = {"OPENADR_RESOURCES": "north=a b;south=c"}
    with vtn3.running() as vtn:
        vtn.event("south", start=in_sec(600), kws=[-1.0], targets=["south"])
        vtn.event("all", start=in_sec(900), kws=[-1.0], targets=["some-label"])
        vtn.event("one", start=in_sec(1200), kws=[-1.0], targets=["a"])
        async with service_for(database, vtn.url, **groups) as service:
            await service.turn()
        names = {each["resourceName"] for each in vtn.objects["resources"].values()}
    assert names == {"north", "south"}
    assert [event.ven_ids for event in await events(database)] == [["c"], ["a", "b", "c"], ["a"]]


async def test_in_30_a_target_of_others_is_not_for_this_ven(database: Database) -> None:
    await add_vens(database, FLEET)
    with vtn3.running("3.0") as vtn:
        other = [{"type": "RESOURCE_NAME", "values": ["elsewhere"]}]
        ours = [{"type": "VEN_NAME", "values": ["operator"]}]
        vtn.event("other", kws=[-1.0], targets=other)
        vtn.event("ours", kws=[-1.0], targets=ours)
        async with service_for(database, vtn.url, "3.0") as service:
            await service.turn()
    (event,) = await events(database)
    assert "ours" in event.id
    assert (await vtn_event(database, "other")).opt == "out"
    assert await alerts(database) == set()


async def test_levels_are_shares_of_what_can_be_shed_or_kw(database: Database) -> None:
    await add_vens(database, FLEET)
    with vtn3.running() as vtn:
        vtn.event("e1", start=in_sec(600), levels=[1, 0, 2, 3], duration="PT10M", priority=0)
        async with service_for(database, vtn.url) as service:
            await service.turn()
    made = await events(database)
    assert [event.requested_reduction_kw for event in made] == [2.0, 4.0, 9.0]
    assert [(e.end_time - e.start_time).total_seconds() for e in made] == [600.0] * 3
    assert made[1].start_time - made[0].start_time == timedelta(minutes=20)
    assert {event.priority for event in made} == {0}


async def test_what_the_fleet_cannot_do_is_answered_and_alerted(database: Database) -> None:
    await add_vens(database, FLEET)
    with vtn3.running() as vtn:
        vtn.event("limit", limits=[50.0])
        vtn.event("more", kws=[5.0])
        body = vtn3.event_body(kws=[-1.0])
        body["intervals"][0]["payloads"].append({"type": "DISPATCH_SETPOINT", "values": [7]})
        vtn.add("events", body, object_id="partly")
        async with service_for(database, vtn.url) as service:
            await service.turn()
        answers = {
            event_id: json.dumps(vtn.reports(event_id)) for event_id in ("limit", "more", "partly")
        }
    assert "limit_not_supported" in answers["limit"]
    assert "RUNNING_OPTED_OUT" in answers["limit"]
    assert "load_up_not_supported" in answers["more"]
    assert "payload_not_supported" in answers["partly"]
    assert await alerts(database) == {
        *("openadr_limit_not_supported", "openadr_load_up_not_supported"),
        "openadr_payload_not_supported",
    }
    assert [(await vtn_event(database, e)).opt for e in ("limit", "more", "partly")] == [
        *("out", "out", "in")
    ]
    (event,) = await events(database)  # what it can do of the third, it does
    assert event.requested_reduction_kw == 1.0
    assert {report.state for report in await reports(database)} == {"sent"}


async def test_an_event_that_changes_while_it_runs_is_a_modification_without_a_restore(
    database: Database,
) -> None:
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            start = in_sec(0)
            vtn.event("e1", start=start, kws=[-4.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            vtn.change("e1", start=start, kws=[-2.0], duration="PT30M")
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 4)
    first, second = wire.to("b")
    assert (first["shed_kw"], second["shed_kw"]) == (3.0, 1.5)
    assert (first["modification"], second["modification"]) == (0, 1)
    assert second["event_id"] == first["event_id"]
    assert second["end_ts"] == pytest.approx(start.timestamp() + 1800, abs=1e-2)
    assert wire.to("b", "restore") == []


async def test_an_interval_taken_out_of_an_event_is_ended_the_others_stay(
    database: Database,
) -> None:
    await add_vens(database, FLEET)
    with vtn3.running() as vtn:
        start = in_sec(600)
        vtn.event("e1", start=start, kws=[-1.0, -2.0, -3.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            before = [event.id for event in await events(database)]
            vtn.change("e1", start=start, kws=[-1.0, -2.0])
            await service.turn()
    assert [event.id for event in await open_events(database)] == before[:2]
    assert [event.status for event in await events(database)][2] == "cancelled"


async def test_an_event_until_further_notice_runs_on_in_pieces(database: Database) -> None:
    await add_vens(database, FLEET)
    with vtn3.running() as vtn:
        vtn.event("e1", start="0001-01-01T00:00:00Z", duration="P9999Y", kws=[-3.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            await service.turn()
            made = await open_events(database)
            assert made[-1].end_time - made[0].start_time >= timedelta(hours=36)
            for one, next_one in pairwise(made):
                assert one.end_time == next_one.start_time
            assert max(e.end_time - e.start_time for e in made) <= timedelta(hours=24)
            vtn.delete("e1")
            await service.turn()
    assert await open_events(database) == []


async def test_a_random_start_is_drawn_once(database: Database) -> None:
    await add_vens(database, FLEET)
    with vtn3.running() as vtn:
        start = in_sec(60)
        vtn.event("e1", start=start, kws=[-3.0], period={"randomizeStart": "PT30M"})
        starts = set()
        for _ in range(3):
            async with service_for(database, vtn.url) as service:
                await service.turn()
            starts |= {event.start_time for event in await events(database)}
    (drawn,) = starts
    assert timedelta(0) < drawn - start < timedelta(minutes=30)
    (event,) = await events(database)
    assert event.end_time - event.start_time == timedelta(hours=1)
