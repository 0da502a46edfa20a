"""OpenADR 3: an event that changes while it waits or runs; the sites do what it says then."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from backend.store.database import Database
from backend.store.utc_time import utc_now
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually
from tests.openadr import vtn3
from tests.openadr.stage import alerts, events, in_sec, open_events, service_for, vtn_event
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
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            vtn.event("e1", start=in_sec(0), kws=[-4.0])
            vtn.event("e2", start=in_sec(0), limits=[5.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 4)
            later = in_sec(3600)
            vtn.change("e1", start=later, kws=[-4.0])
            vtn.change("e2", start=later, limits=[5.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 8)
            waiting = await open_events(database)
            await service.turn()
    assert {sent["op"] for sent in wire.sent[4:]} == {"restore"}
    assert [(each.status, each.start_time) for each in waiting] == [("scheduled", later)] * 2
    assert await open_events(database) == waiting
    assert {each.end_time for each in waiting} == {later + HOUR}
    assert (await vtn_event(database, "e1")).opt == "in"
    assert await alerts(database) == set()


@pytest.mark.parametrize("moved_sec", [-600, 600])
async def test_levels_of_a_running_event_that_is_moved_change_when_the_vtn_says(
    database: Database, moved_sec: float
) -> None:
    await add_vens(database, {"a": 4.0})
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            start = in_sec(-3000)
            vtn.event("e1", start=start, kws=[-1.0, -2.0, -1.5])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 1)
            start += timedelta(seconds=moved_sec)
            vtn.change("e1", start=start, kws=[-1.0, -2.0, -1.5])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            (event,) = await events(database)
            await service.turn()  # it is as it is to be
            assert await events(database) == [event]
    told = told_levels(wire.sent[1])
    wanted = [(start + n * HOUR, kw) for n, kw in ((1, 1.0), (2, 2.0), (3, 1.5))]
    assert told == [(pytest.approx(end.timestamp(), abs=0.01), kw) for end, kw in wanted]
    assert event.end_time == start + 3 * HOUR


async def test_levels_that_are_over_when_the_event_is_moved_back_are_left_out(
    database: Database,
) -> None:
    await add_vens(database, {"a": 8.0})
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            start = in_sec(-60)
            vtn.event("e1", start=start, kws=[-6.0, -3.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 1)
            start -= timedelta(minutes=90)
            vtn.change("e1", start=start, kws=[-6.0, -3.0])
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
    assert told_levels(wire.sent[1]) == [
        (pytest.approx((start + 2 * HOUR).timestamp(), abs=0.01), 3.0)
    ]


@pytest.mark.parametrize("in_how_many_sec", [0, 3600])
async def test_an_event_whose_targets_and_priority_change_is_for_others_then(
    database: Database, in_how_many_sec: float
) -> None:
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            start = in_sec(in_how_many_sec)
            vtn.event("e1", start=start, kws=[-1.0], targets=["a"], priority=5)
            await service.turn()
            if not in_how_many_sec:
                dispatcher.wake.ring()
                await eventually(lambda: wire.to("a", "event"))
            vtn.change("e1", start=start, kws=[-1.0], targets=["b"], priority=0)
            await service.turn()
            if not in_how_many_sec:
                dispatcher.wake.ring()
                await eventually(lambda: wire.to("b", "event") and wire.to("a", "restore"))
            (event,) = await open_events(database)
            assert (event.ven_ids, event.priority) == (["b"], 0)
            # of the priority alone no circuit is restored
            vtn.change("e1", start=start, kws=[-1.0], targets=["b"], priority=3)
            await service.turn()
            (same,) = await open_events(database)
            assert (same.id, same.priority) == (event.id, 3)
            await service.turn()
            assert await open_events(database) == [same]
    assert not wire.to("b", "restore")


async def test_an_event_that_no_site_takes_part_in_is_answered_so(database: Database) -> None:
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            vtn.event("e1", start=in_sec(0), kws=[-4.0], priority=3)
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            vtn.event("e2", start=in_sec(0), kws=[-4.0], priority=3)
            await service.turn()
            dispatcher.wake.ring()

            async def is_begun() -> bool:
                return all(each.status == "active" for each in await open_events(database))

            await eventually(is_begun)
            await service.turn()
            await service.turn()
            answers = [str(report) for report in vtn.reports("e2")]
    row = await vtn_event(database, "e2")
    assert (row.opt, [problem["code"] for problem in row.problems]) == (
        "out",
        ["no_site_takes_part"],
    )
    assert len(answers) == 1
    assert "no_site_takes_part" in answers[0]
    assert await alerts(database) == {"openadr_no_site_takes_part"}
    assert (await vtn_event(database, "e1")).opt == "in"
    assert len(wire.sent) == 2


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
    await add_vens(database, FLEET)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            vtn.event("e1", start=in_sec(0), kws=[-4.0], priority=waits)
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            vtn.event("e2", start=in_sec(0), kws=[-4.0], priority=0)
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 4)
            await service.turn()
    assert {(sent["venId"], sent["shed_kw"]) for sent in wire.sent[2:]} == {("a", 1.0), ("b", 3.0)}
    assert {sent["event_priority"] for sent in wire.sent[2:]} == {0}
    assert [each.status for each in await open_events(database)] == ["active", "active"]
    assert await alerts(database) == set()
