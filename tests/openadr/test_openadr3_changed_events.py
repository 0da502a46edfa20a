"""OpenADR 3: an event that changes while it waits or runs; the sites do what it says then."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from backend.openadr.vtn_link import LINKS
from backend.store.database import Database
from backend.store.utc_time import utc_now
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually, set_state
from tests.openadr import vtn3
from tests.openadr.stage import (
    alerts,
    events,
    in_sec,
    open_events,
    openadr3_stage,
    service_for,
    vtn_event,
)
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.contract.commands import CommandFeature

pytestmark = pytest.mark.asyncio
FLEET = {"a": 2.0, "b": 6.0}
HOUR = timedelta(hours=1)
LIMITS = CommandLimits(max_shed_kw=100.0, supported=frozenset(CommandFeature))


def told_levels(sent: dict[str, Any]) -> list[tuple[float, float]]:
    """(end in seconds of the epoch, kW) of each level, of a command that a VEN can read."""
    now = utc_now().timestamp()
    read_command(json.dumps(sent), ven_id=sent["venId"], limits=LIMITS, now=now)
    ends = [(sent["end_ts"], sent["shed_kw"])]
    if sent.get("intervals"):
        at_ts = sent["start_ts"]
        ends = []
        for level in sent["intervals"]:
            at_ts += level["duration_sec"]
            ends.append((at_ts, level["shed_kw"]))
    return ends


async def test_a_running_event_that_is_moved_ahead_is_restored_and_begins_then(
    database: Database,
) -> None:
    async with openadr3_stage(database, FLEET) as stage:
        stage.vtn.event("e1", start=in_sec(0), kws=[-4.0])
        stage.vtn.event("e2", start=in_sec(0), limits=[5.0])
        await stage.turn()
        await stage.sent(4)
        later = in_sec(3600)
        stage.vtn.change("e1", start=later, kws=[-4.0])
        stage.vtn.change("e2", start=later, limits=[5.0])
        await stage.turn()
        await stage.sent(8)
        waiting = await open_events(database)
        await stage.service.turn()
    assert {sent["op"] for sent in stage.wire.sent[4:]} == {"restore"}
    assert [(each.status, each.start_time) for each in waiting] == [("scheduled", later)] * 2
    assert await open_events(database) == waiting
    assert {each.end_time for each in waiting} == {later + HOUR}
    assert (await vtn_event(database, "e1")).opt == "in"
    assert await alerts(database) == set()


@pytest.mark.parametrize("moved_sec", [-600, 600])
async def test_levels_of_a_running_event_that_is_moved_change_when_the_vtn_says(
    database: Database, moved_sec: float
) -> None:
    async with openadr3_stage(database, {"a": 4.0}) as stage:
        start = in_sec(-3000)
        stage.vtn.event("e1", start=start, kws=[-1.0, -2.0, -1.5])
        await stage.turn()
        await stage.sent(1)
        start += timedelta(seconds=moved_sec)
        stage.vtn.change("e1", start=start, kws=[-1.0, -2.0, -1.5])
        await stage.turn()
        await stage.sent(2)
        (event,) = await events(database)
        await stage.service.turn()  # it is as it is to be
        assert await events(database) == [event]
    told = told_levels(stage.wire.sent[1])
    wanted = [(start + n * HOUR, kw) for n, kw in ((1, 1.0), (2, 2.0), (3, 1.5))]
    assert told == [(pytest.approx(end.timestamp(), abs=0.01), kw) for end, kw in wanted]
    assert event.end_time == start + 3 * HOUR


async def test_levels_that_are_over_when_the_event_is_moved_back_are_left_out(
    database: Database,
) -> None:
    async with openadr3_stage(database, {"a": 8.0}) as stage:
        start = in_sec(-60)
        stage.vtn.event("e1", start=start, kws=[-6.0, -3.0])
        await stage.turn()
        await stage.sent(1)
        start -= timedelta(minutes=90)
        stage.vtn.change("e1", start=start, kws=[-6.0, -3.0])
        await stage.turn()
        await stage.sent(2)
    assert told_levels(stage.wire.sent[1]) == [
        (pytest.approx((start + 2 * HOUR).timestamp(), abs=0.01), 3.0)
    ]


@pytest.mark.parametrize("in_how_many_sec", [0, 3600])
async def test_an_event_whose_targets_and_priority_change_is_for_others_then(
    database: Database, in_how_many_sec: float
) -> None:
    async with openadr3_stage(database, FLEET) as stage:
        start = in_sec(in_how_many_sec)
        stage.vtn.event("e1", start=start, kws=[-1.0], targets=["a"], priority=5)
        await stage.service.turn()
        if not in_how_many_sec:
            stage.dispatcher.wake.ring()
            await eventually(lambda: stage.wire.to("a", "event"))
        stage.vtn.change("e1", start=start, kws=[-1.0], targets=["b"], priority=0)
        await stage.service.turn()
        if not in_how_many_sec:
            stage.dispatcher.wake.ring()
            await eventually(lambda: stage.wire.to("b", "event") and stage.wire.to("a", "restore"))
        (event,) = await open_events(database)
        assert (event.ven_ids, event.priority) == (["b"], 0)
        # of the priority alone no circuit is restored
        stage.vtn.change("e1", start=start, kws=[-1.0], targets=["b"], priority=3)
        await stage.service.turn()
        (same,) = await open_events(database)
        assert (same.id, same.priority) == (event.id, 3)
        await stage.service.turn()
        assert await open_events(database) == [same]
    assert not stage.wire.to("b", "restore")


async def test_an_event_that_no_site_takes_part_in_is_answered_so(database: Database) -> None:
    async with openadr3_stage(database, FLEET) as stage:
        stage.vtn.event("e1", start=in_sec(0), kws=[-4.0], priority=3)
        await stage.turn()
        await stage.sent(2)
        stage.vtn.event("e2", start=in_sec(0), kws=[-4.0], priority=3)
        await stage.turn()

        async def is_begun() -> bool:
            return all(each.status == "active" for each in await open_events(database))

        await eventually(is_begun)
        await stage.service.turn()
        await stage.service.turn()
        answers = [str(report) for report in stage.vtn.reports("e2")]
    row = await vtn_event(database, "e2")
    assert (row.opt, [problem["code"] for problem in row.problems]) == (
        "out",
        ["no_site_takes_part"],
    )
    assert len(answers) == 1
    assert "no_site_takes_part" in answers[0]
    assert await alerts(database) == {"openadr_no_site_takes_part"}
    assert (await vtn_event(database, "e1")).opt == "in"
    assert len(stage.wire.sent) == 2


async def test_an_event_that_is_for_others_alone_then_ends(database: Database) -> None:
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running("3.0") as vtn:
        async with (
            service_for(database, vtn.url, "3.0") as service,
            dispatching(database, wire) as dispatcher,
        ):
            vtn.event("e1", start=in_sec(0), kws=[-4.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            others = [{"type": "RESOURCE_NAME", "values": ["elsewhere"]}]
            vtn.change("e1", start=in_sec(0), kws=[-4.0], targets=others)
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
    assert await open_events(database) == []
    assert (await vtn_event(database, "e1")).opt == "out"


@pytest.mark.parametrize("waits", [5, None])
async def test_an_event_of_a_higher_priority_takes_the_sites_over(
    database: Database, waits: int | None
) -> None:
    """0 is the highest, none the lowest (3, events). The sites go on with the other afterwards."""
    async with openadr3_stage(database, FLEET) as stage:
        stage.vtn.event("e1", start=in_sec(0), kws=[-4.0], priority=waits)
        await stage.turn()
        await stage.sent(2)
        stage.vtn.event("e2", start=in_sec(0), kws=[-4.0], priority=0)
        await stage.turn()
        await stage.sent(4)
        await stage.service.turn()
    assert {(sent["venId"], sent["shed_kw"]) for sent in stage.wire.sent[2:]} == {
        ("a", 1.0),
        ("b", 3.0),
    }
    assert {sent["event_priority"] for sent in stage.wire.sent[2:]} == {0}
    assert [each.status for each in await open_events(database)] == ["active", "active"]
    assert await alerts(database) == set()


@pytest.mark.parametrize("is_long_ago", [False, True])
async def test_an_event_of_a_link_that_is_left_is_changed_and_ended_by_the_one_that_speaks(
    database: Database, is_long_ago: bool
) -> None:
    """The settings name the VEN otherwise while a limit until further notice is kept."""
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with dispatching(database, wire) as dispatcher:
            vtn.event("e1", start=in_sec(0), duration="P9999Y", limits=[5.0])
            async with service_for(database, vtn.url) as service:
                await service.turn()
                dispatcher.wake.ring()
                await eventually(lambda: len(wire.sent) == 2)
            if is_long_ago:
                async with database.engine.begin() as connection:
                    long_ago = utc_now() - HOUR
                    await connection.execute(update(LINKS).values(last_contact_at=long_ago))
            async with service_for(database, vtn.url, OPENADR_VEN_NAME="renamed") as service:
                await service.turn()
                dispatcher.wake.ring()
                (event,) = await open_events(database)
                if is_long_ago:
                    vtn.change("e1", start=in_sec(-60), duration="P9999Y", limits=[4.0])
                    await service.turn()
                    dispatcher.wake.ring()
                    await eventually(lambda: len(wire.sent) == 4)
                    (changed,) = await open_events(database)
                    assert (changed.id, changed.import_kw) == (event.id, 4.0)
                told = len(wire.sent)
                vtn.delete("e1")
                await service.turn()
                dispatcher.wake.ring()
                await eventually(lambda: len(wire.sent) == told + 2)
    assert {sent["op"] for sent in wire.sent[told:]} == {"restore"}
    assert await open_events(database) == []


async def test_a_level_is_a_share_of_what_each_site_was_seen_to_draw(database: Database) -> None:
    await add_vens(database, {"a": 1.0, "b": 3.0, "liar": 900_000.0, "odd": -100.0, "out": 8.0})
    await set_state(database, "liar", highest_power_kw=4.0, panel_max_kw=48.0)
    await set_state(database, "out", availability="opted_out")
    with vtn3.running() as vtn:
        vtn.event("e1", start=in_sec(3600), levels=[1])
        vtn.event("e2", start=in_sec(9000), levels=[2])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            powers = [each.requested_reduction_kw for each in await open_events(database)]
            assert powers == [2.0, 4.0]  # 25 and 50 % of 8 kW
            for ven_id in FLEET:  # they draw more than they would: never a load-up for that
                await set_state(database, ven_id, shed_power_kw=-90.0)
            await set_state(database, "liar", shed_available_kw=0.0)
            await service.turn()
    assert [each.kind for each in await open_events(database)] == ["event", "event"]
    assert all(each.requested_reduction_kw > 0 for each in await open_events(database))


async def test_a_fleet_that_is_not_heard_of_for_a_while_does_not_end_its_event(
    database: Database,
) -> None:
    async with openadr3_stage(database, FLEET) as stage:
        stage.vtn.event("e1", start=in_sec(0), levels=[2])
        await stage.turn()
        await stage.sent(2)
        for ven_id in FLEET:
            await set_state(database, ven_id, shed_available_kw=None, shed_power_kw=None)
        stage.vtn.event("e2", start=in_sec(0), levels=[1])
        await stage.service.turn()
        (event,) = await open_events(database)
        assert (event.status, event.requested_reduction_kw) == ("active", 4.0)
        row = await vtn_event(database, "e2")
        assert (row.opt, row.problems[0]["code"]) == ("out", "no_site_takes_part")
    assert len(stage.wire.sent) == 2
