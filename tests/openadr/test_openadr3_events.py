"""OpenADR 3 end to end: what a VTN publishes becomes commands to the fleet, once, and ends."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import update

from backend.openadr.operator_side import WITHDRAWN_BY_VTN
from backend.store.database import Database
from backend.store.tables import VEN_STATE
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually
from tests.openadr import vtn3
from tests.openadr.stage import (
    alerts,
    events,
    in_sec,
    open_events,
    openadr3_stage,
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
    assert [event.requested_reduction_kw for event in made] == [2.0, 9.0]
    assert [event.intervals for event in made] == [
        None,
        [{"duration_sec": 600.0, "shed_kw": 4.0}, {"duration_sec": 600.0, "shed_kw": 9.0}],
    ]
    assert [(e.end_time - e.start_time).total_seconds() for e in made] == [600.0, 1200.0]
    assert made[1].start_time - made[0].start_time == timedelta(minutes=20)
    assert {event.priority for event in made} == {0}


async def test_what_the_fleet_cannot_do_is_answered_and_alerted(database: Database) -> None:
    await add_vens(database, FLEET)
    cannot = {
        "CHARGE_STATE_SETPOINT": "payload_not_supported",
        "DISPATCH_SETPOINT": "payload_not_supported",
        "CONTROL_SETPOINT": "payload_not_supported",
        "CURVE": "payload_not_supported",
        "IMPORT_CAPACITY_SUBSCRIPTION": "payload_not_supported",
    }
    with vtn3.running() as vtn:
        for kind in cannot:
            body = vtn3.event_body()
            body["intervals"][0]["payloads"] = [{"type": kind, "values": [7]}]
            vtn.add("events", body, object_id=kind)
        body = vtn3.event_body(kws=[-1.0])
        body["intervals"][0]["payloads"].append({"type": "DISPATCH_SETPOINT", "values": [7]})
        vtn.add("events", body, object_id="partly")
        async with service_for(database, vtn.url) as service:
            await service.turn()
        for kind, code in cannot.items():
            answer = json.dumps(vtn.reports(kind))
            assert code in answer, kind
            assert "RUNNING_OPTED_OUT" in answer, kind
            assert (await vtn_event(database, kind)).opt == "out", kind
        assert "payload_not_supported" in json.dumps(vtn.reports("partly"))
    assert await alerts(database) == {f"openadr_{code}" for code in cannot.values()}
    assert (await vtn_event(database, "partly")).opt == "in"
    (event,) = await events(database)  # what it can do of the last, it does
    assert event.requested_reduction_kw == 1.0
    assert {report.state for report in await reports(database)} == {"sent"}


@pytest.mark.parametrize(("limit_for", "shares"), [("site", (8.0, 8.0)), ("fleet", (2.0, 6.0))])
async def test_a_limit_is_kept_by_each_site_or_by_all_together_and_changes_without_a_gap(
    database: Database, limit_for: str, shares: tuple[float, float]
) -> None:
    await add_vens(database, FLEET)
    async with database.engine.begin() as connection:
        for ven_id, used_kw in (("a", 5.0), ("b", 15.0)):
            state = update(VEN_STATE).where(VEN_STATE.c.ven_id == ven_id)
            await connection.execute(state.values(used_power_kw=used_kw, highest_power_kw=used_kw))
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url, OPENADR_LIMIT_FOR=limit_for) as service,
            dispatching(database, wire) as dispatcher,
        ):
            start = in_sec(0)
            vtn.event("e1", start=start, limits=[8.0], duration="P9999Y")
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            assert tuple(wire.to(v, "limit")[0]["import_kw"] for v in "ab") == shares
            assert "end_ts" not in wire.to("a", "limit")[0]  # until further notice
            vtn.change("e1", start=start, limits=[4.0, 2.0], duration="PT30M")
            await service.turn()
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 4)
            second = wire.to("b", "limit")[1]
            part = shares[1] / 8.0
            assert second["intervals"] == [
                {"duration_sec": 1800.0, "import_kw": 4.0 * part},
                {"duration_sec": 1800.0, "import_kw": 2.0 * part},
            ]
            assert second["modification"] == 1
            assert second["end_ts"] == pytest.approx(start.timestamp() + 3600, abs=1e-2)
            vtn.delete("e1")
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
    assert len(wire.sent) == 6
    (event,) = await events(database)
    assert (event.kind, event.status, event.end_reason) == ("limit", "cancelled", WITHDRAWN_BY_VTN)


async def test_limits_of_what_is_drawn_and_fed_in_are_kept_beside_each_other(
    database: Database,
) -> None:
    """User Guide 8.10.1, dynamic operating envelopes: intervals with both."""
    body = vtn3.event_body(start=in_sec(0), limits=[10.0, 8.0], duration="PT30M")
    for interval, power_kw in zip(body["intervals"], (4.0, 6.0), strict=True):
        more = {"type": "EXPORT_CAPACITY_LIMIT", "values": [power_kw]}
        interval["payloads"].append(more)
    async with openadr3_stage(database, {"a": 2.0}) as stage:
        stage.vtn.add("events", body, object_id="e1")
        await stage.turn()
        await stage.sent(2)
        del body["intervals"][0]["payloads"][1]["values"][0]
        body["intervals"][0]["payloads"][1]["values"].append(3.0)
        stage.vtn.objects["events"]["e1"].update(body, modificationDateTime=vtn3.now_text())
        await stage.turn()
        await stage.sent(3)
    first, second, changed = sorted(
        stage.wire.sent, key=lambda sent: (sent["modification"], str(sent))
    )
    assert {first.get("export_kw"), second.get("export_kw")} == {None, 4.0}
    drawn = first if "intervals" in first else second
    assert [level["import_kw"] for level in drawn["intervals"]] == [10.0, 8.0]
    assert (changed["export_kw"], changed["op"], "import_kw" in changed) == (3.0, "limit", False)
    assert [event.export_kw for event in await events(database)] in (
        [None, 3.0, 6.0],
        [3.0, None, 6.0],
    )


async def test_more_consumption_is_a_load_up_in_proportion_to_what_can_be_drawn(
    database: Database,
) -> None:
    async with openadr3_stage(database, FLEET) as stage:
        async with database.engine.begin() as connection:
            for ven_id, highest_kw in (("a", 6.0), ("b", 4.0)):
                state = update(VEN_STATE).where(VEN_STATE.c.ven_id == ven_id)
                await connection.execute(
                    state.values(used_power_kw=3.0, highest_power_kw=highest_kw)
                )
        start = in_sec(0)
        stage.vtn.event("e1", start=start, kws=[2.0])
        await stage.turn()
        await stage.sent(2)
        stage.vtn.change("e1", start=start, kws=[1.0])
        await stage.turn()
        await stage.sent(4)
    assert [stage.wire.to(v, "loadUp")[0]["raise_kw"] for v in "ab"] == [1.5, 0.5]
    assert [stage.wire.to(v, "loadUp")[1]["raise_kw"] for v in "ab"] == [0.75, 0.25]
    assert [event.requested_reduction_kw for event in await events(database)] == [-1.0]
    assert await alerts(database) == set()


async def test_an_event_that_changes_while_it_runs_is_a_modification_without_a_restore(
    database: Database,
) -> None:
    async with openadr3_stage(database, FLEET) as stage:
        start = in_sec(0)
        stage.vtn.event("e1", start=start, kws=[-4.0])
        await stage.turn()
        await stage.sent(2)
        stage.vtn.change("e1", start=start, kws=[-2.0], duration="PT30M")
        await stage.turn()
        await stage.sent(4)
    first, second = stage.wire.to("b")
    assert (first["shed_kw"], second["shed_kw"]) == (3.0, 1.5)
    assert (first["modification"], second["modification"]) == (0, 1)
    assert second["event_id"] == first["event_id"]
    assert second["end_ts"] == pytest.approx(start.timestamp() + 1800, abs=1e-2)
    assert stage.wire.to("b", "restore") == []


async def test_an_interval_taken_out_of_an_event_is_ended_the_others_stay(
    database: Database,
) -> None:
    await add_vens(database, FLEET)
    with vtn3.running() as vtn:
        start = in_sec(600)
        vtn.event("e1", start=start, kws=[-1.0, 0.0, -2.0, 0.0, -3.0, -4.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            before = [event.id for event in await events(database)]
            assert len(before) == 3
            vtn.change("e1", start=start, kws=[-1.0, 0.0, -2.0])
            await service.turn()
            assert [event.id for event in await open_events(database)] == before[:2]
            assert [event.status for event in await events(database)][2] == "cancelled"
            vtn.change("e1", start=start, kws=[-1.0, -5.0])
            await service.turn()
    (left,) = await open_events(database)
    assert left.id == before[0]
    assert left.intervals == [
        {"duration_sec": 3600.0, "shed_kw": 1.0},
        {"duration_sec": 3600.0, "shed_kw": 5.0},
    ]


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
