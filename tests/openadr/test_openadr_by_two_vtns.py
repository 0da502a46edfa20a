"""The same event of a utility by OpenADR 3 and by 2.0b at once: nothing begins twice."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from backend.store.database import Database
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually
from tests.openadr import vtn3
from tests.openadr.stage import alerts, events, open_events, openadr20b_service, service_for
from tests.openadr.vtn20b import running_vtn20b
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio


async def test_an_event_by_both_ways_begins_once_changes_once_and_ends_once(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0, "b": 16.0, "c": 16.0})
    wire = Answering(database)
    port = free_port()
    start = datetime.now(timezone.utc)
    with vtn3.running() as vtn:
        async with (
            running_vtn20b(port) as vtn_20b,
            service_for(database, vtn.url) as service,
            openadr20b_service(database, port) as service_20b,
            dispatching(database, wire) as dispatcher,
        ):
            vtn.event("e1", start=start, levels=[3])
            vtn_20b.event([3], start=start, event_id="e1")
            vtn_20b.event([3], start=start + timedelta(days=2), event_id="e2")
            vtn.event("e2", start=start + timedelta(days=3), levels=[3])  # has only the same id
            for _ in range(3):
                await service.turn()
                await service_20b.turn()
            dispatcher.wake.ring()
            await eventually(lambda: wire.sent)
            begun, *later = await open_events(database)
            assert (begun.status, len(later)) == ("active", 2)
            await eventually(lambda: ("e1", "optIn") in vtn_20b.opts)
            told = len(wire.sent)
            assert {sent["event_id"] for sent in wire.sent} == {begun.id}
            # it changes by the way that is carried out; the other goes on to know it as the same
            vtn.change("e1", start=start, levels=[3], duration="PT30M")
            await service.turn()
            await service_20b.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2 * told)
            vtn.delete("e1")
            await service.turn()
            await service_20b.turn()
            await service_20b.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 3 * told)
            assert [each.id for each in await open_events(database)] == [e.id for e in later]
    assert {sent["op"] for sent in wire.sent[2 * told :]} == {"restore"}
    assert [each.status for each in await events(database)].count("cancelled") == 1
    assert await alerts(database) == set()


@pytest.mark.parametrize("first", ["3.1", "2.0b"])
async def test_an_event_by_both_ways_ends_when_either_vtn_cancels_it(
    database: Database, first: str
) -> None:
    """Nothing runs on after its cancellation is known, also at the VTN that told of it later."""
    await add_vens(database, {"a": 2.0, "b": 16.0})
    wire = Answering(database)
    port = free_port()
    start = datetime.now(timezone.utc)
    with vtn3.running() as vtn:
        async with (
            running_vtn20b(port) as vtn_20b,
            service_for(database, vtn.url) as service,
            openadr20b_service(database, port) as service_20b,
            dispatching(database, wire) as dispatcher,
        ):
            first_service, second_service = service, service_20b
            if first == "2.0b":
                first_service, second_service = service_20b, service
            await service_20b.turn()
            vtn.event("e1", start=start, levels=[3])
            vtn_20b.event([3], start=start, event_id="e1")
            for each in (first_service, second_service):
                await each.turn()
                await each.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 2)
            if first == "2.0b":
                vtn.delete("e1")
            else:
                vtn_20b.cancel("e1")
            await second_service.turn()
            await second_service.turn()
            dispatcher.wake.ring()
            await eventually(lambda: len(wire.sent) == 4)
            assert {sent["op"] for sent in wire.sent[2:]} == {"restore"}
            for _ in range(3):  # the first VTN has it still: it begins no more, and is told so
                await first_service.turn()
                await second_service.turn()
            assert await open_events(database) == []
            if first == "3.1":
                assert "cancelled_by_another_vtn" in str(vtn.reports("e1"))
                # what that VTN asks afterwards is asked anew
                vtn.change("e1", start=start, levels=[3], duration="PT2H")
                await service.turn()
                (again,) = await open_events(database)
                assert again.end_time - again.start_time == timedelta(hours=2)
    assert len(await events(database)) == (2 if first == "3.1" else 1)
    assert await alerts(database) == {"openadr_cancelled_by_another_vtn"}
