"""OpenADR 3: events longer than a VEN takes in one command go on without a restore in between."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from backend.store.database import Database
from backend.store.tables import VEN_STATE
from backend.store.utc_time import utc_now
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually
from tests.openadr import vtn3
from tests.openadr.stage import events, in_sec, let_pass, open_events, service_for, vtn_event
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.contract.commands import CommandFeature, EventCommand, event_command_window

pytestmark = pytest.mark.asyncio
HOUR = timedelta(hours=1)
DAY_SEC = 86_400.0


def read_by_a_ven(sent: dict[str, Any]) -> EventCommand:
    """As a VEN reads it that takes nothing longer than a day. Raises CommandNotRead."""
    limits = CommandLimits(max_shed_kw=100.0, supported=frozenset(CommandFeature))
    payload = json.dumps(sent)
    now = utc_now().timestamp()
    command = read_command(payload, ven_id=sent["venId"], limits=limits, now=now)
    assert isinstance(command, EventCommand)
    start_ts, end_ts = event_command_window(command, now)
    # One that begins later than now is restored until then.
    assert start_ts <= now or sent["modification"] == 0
    assert now < end_ts < now + DAY_SEC
    return command


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "past"])
async def test_an_event_until_further_notice_is_prolonged_without_a_restore(
    database: Database, start: str
) -> None:
    await add_vens(database, {"a": 2.0, "b": 6.0})
    wire = Answering(database)
    with vtn3.running() as vtn:
        begins = in_sec(-60) if start == "past" else start
        vtn.event("e1", start=begins, duration="P9999Y", kws=[-4.0])
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            for number in range(1, 6):
                if start == "past":
                    begins -= 11 * HOUR
                    vtn.objects["events"]["e1"]["intervalPeriod"]["start"] = begins.isoformat()
                await let_pass(database, 11 * HOUR)
                await service.turn()
                await service.turn()  # and no more than once
                dispatcher.wake.ring()
                await eventually(lambda n=number: len(wire.sent) >= 2 * (n + 1))
                latest = wire.to("b")[number]
                assert read_by_a_ven(latest).modification == number
                assert (latest["shed_kw"], latest["event_id"]) == (3.0, wire.sent[0]["event_id"])
            assert {sent["op"] for sent in wire.sent} == {"event"}
            (event,) = await open_events(database)
            assert event.end_time - utc_now() >= 12 * HOUR
            vtn.delete("e1")
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
    assert len(wire.sent) == 14
    assert await open_events(database) == []


async def test_a_vtn_that_is_away_does_not_keep_an_event_from_being_prolonged(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", start="0001-01-01T00:00:00Z", duration="P9999Y", kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            (first,) = await open_events(database)
            await let_pass(database, 12 * HOUR)
            vtn.faults = [503] * 10
            await service.turn()
            (event,) = await open_events(database)
    assert event.id == first.id
    assert event.end_time - event.start_time == 34 * HOUR


async def test_levels_of_days_are_prolonged_and_a_ven_is_told_those_that_are_left(
    database: Database,
) -> None:
    await add_vens(database, {"a": 20.0})
    wire = Answering(database)
    with vtn3.running() as vtn:
        vtn.event("e1", start="0001-01-01T00:00:00Z", duration="PT5H", kws=[-2.0, -4.0] * 5)
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 1)
            for number, hours in ((1, 13), (2, 10), (3, 11)):
                await let_pass(database, hours * HOUR)
                await service.turn()
                dispatcher.wake.ring()
                await eventually(lambda n=number: len(wire.sent) > n)
            for sent in wire.sent[1:]:
                read_by_a_ven(sent)
            assert [sent["op"] for sent in wire.sent] == ["event"] * 4
            (event,) = await open_events(database)
            await let_pass(database, 17 * HOUR)
            await service.turn()
    told = [
        [(level["duration_sec"] / 3600, level["shed_kw"]) for level in sent["intervals"]]
        for sent in wire.sent[:4]
    ]
    assert told[0] == [(5, 2.0), (5, 4.0), (5, 2.0), (5, 4.0), (3, 2.0)]
    # 34, 45 and all 50 hours are said by then, of which a command has the last 23.5
    assert told[1] == [(4.5, 2.0), (5, 4.0), (5, 2.0), (5, 4.0), (4, 2.0)]
    assert told[2] == [(3.5, 2.0), (5, 4.0), (5, 2.0), (5, 4.0), (5, 2.0)]
    assert told[3] == [(3.5, 4.0), (5, 2.0), (5, 4.0), (5, 2.0), (5, 4.0)]
    assert event.end_time - event.start_time == 50 * HOUR
    assert (await vtn_event(database, "e1")).status == "over"


async def test_a_share_is_not_worked_out_anew_when_an_event_is_prolonged(
    database: Database,
) -> None:
    await add_vens(database, {"a": 8.0})
    wire = Answering(database)
    with vtn3.running() as vtn:
        vtn.event("e1", start="0001-01-01T00:00:00Z", duration="P9999Y", levels=[2])
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 1)
            async with database.engine.begin() as connection:
                await connection.execute(update(VEN_STATE).values(shed_available_kw=1.0))
            await let_pass(database, 12 * HOUR)
            await service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
    assert [sent["shed_kw"] for sent in wire.sent] == [4.0, 4.0]
    (event,) = await events(database)
    assert event.requested_reduction_kw == 4.0
