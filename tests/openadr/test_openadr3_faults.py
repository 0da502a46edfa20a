"""What may go wrong between us and a VTN of OpenADR 3: nothing begins twice, nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from backend.openadr.vtn_link import LINKS, VtnLinkLost
from backend.store.database import Database
from tests.backend.dispatching import add_vens, rows
from tests.openadr import vtn3
from tests.openadr.stage import (
    events,
    hurry,
    in_sec,
    open_events,
    service_for,
    vtn_event,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio


async def problem(database: Database) -> str | None:
    (link,) = await rows(database, LINKS)
    return link.problem


@pytest.mark.parametrize("fault", [500, 503, 429, "no JSON", {"not": "a list"}, [None, 7, {}]])
async def test_a_vtn_that_answers_nonsense_ends_nothing_and_is_asked_again(
    database: Database, fault: object
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            vtn.faults = [fault]
            vtn_is_listed = fault == [None, 7, {}]
            wait_sec = await service.turn()
            assert wait_sec > 0
            assert bool(await problem(database)) != vtn_is_listed
            assert len(await open_events(database)) == 1
            hurry(service)
            await service.turn()
            assert await problem(database) is None
    assert len(await events(database)) == 1


async def test_a_vtn_that_is_away_is_asked_ever_more_rarely_and_its_events_go_on(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    port = free_port()
    with vtn3.running(port=port) as vtn:
        vtn.event("e1", kws=[-1.0])
        url = vtn.url
        async with service_for(database, url) as service:
            await service.turn()
    more = {"OPENADR_POLL_SEC": "0.1", "OPENADR_MOST_BACKOFF_SEC": "1"}
    async with service_for(database, url, **more) as service:
        waits = []
        for _ in range(8):
            hurry(service)
            waits.append(await service.turn())
        assert waits[0] <= 0.2
        assert max(waits) <= 1.0
        assert max(waits[4:]) > waits[0]
        assert "cannot be reached" in str(await problem(database))
        (event,) = await open_events(database)
        with vtn3.running(port=port) as vtn:
            vtn.event("e1", kws=[-1.0])  # the same event, of a VTN that has lost its tokens
            hurry(service)
            await service.turn()
            assert await problem(database) is None
    assert [each.id for each in await open_events(database)] == [event.id]


@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_a_token_that_expires_is_fetched_anew(database: Database, version: str) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running(version) as vtn:
        async with service_for(database, vtn.url, version) as service:
            await service.turn()
            vtn.expire_tokens()
            vtn.event("e1", kws=[-1.0])
            await service.turn()
        assert vtn.tokens_given == 2
    assert len(await events(database)) == 1


async def test_wrong_credentials_are_told_and_tried_again(database: Database) -> None:
    with vtn3.running() as vtn:
        wrong = {"OPENADR_CLIENT_SECRET": "wrong"}
        async with service_for(database, vtn.url, **wrong) as service:
            assert await service.turn() > 0
    assert "401" in str(await problem(database))


async def test_a_restart_in_mid_event_begins_nothing_twice(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", start="0001-01-01T00:00:00Z", duration="PT2H", kws=[-1.0])
        for _ in range(3):
            async with service_for(database, vtn.url) as service:
                await service.turn()
    (event,) = await events(database)
    assert (
        event.end_time - event.start_time
        == (await events(database))[0].end_time - (await vtn_event(database, "e1")).first_seen_at
    )


async def test_two_instances_do_not_double_and_one_takes_over_from_the_other(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        async with service_for(database, vtn.url) as one, service_for(database, vtn.url) as other:
            await asyncio.gather(one.turn(), other.turn())
            speakers = [s for s in (one, other) if s._ven_id]
            assert len(speakers) == 1
            (silent,) = {one, other} - set(speakers)
            await speakers[0].link.give_up()
            await silent.turn()
            assert silent._ven_id
            vtn.delete("e1")
            await speakers[0].turn()  # not its turn any more
            assert len(await open_events(database)) == 1
            await silent.turn()
    assert await open_events(database) == []
    assert len(await events(database)) == 1


async def test_an_event_missing_from_a_list_is_asked_for_before_it_is_ended(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            vtn.faults = [[]]  # a page that moved while it was read
            await service.turn()
            assert len(await open_events(database)) == 1
        assert ("GET", "/events/e1") in vtn.requests


async def test_more_events_than_a_page_holds_are_all_read(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        for number in range(103):
            vtn.event(f"e{number}", start=in_sec(3600 + 60 * number), duration="PT1M", kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
    assert len(await events(database)) == 103


async def test_a_clock_that_is_apart_is_noticed(database: Database) -> None:
    with vtn3.running() as vtn:
        vtn.clock_offset_sec = 90.0
        async with service_for(database, vtn.url) as service:
            await service.turn()
    (link,) = await rows(database, LINKS)
    assert link.clock_offset_sec == pytest.approx(90.0, abs=30.0)


async def test_an_event_stopped_by_the_operator_is_not_begun_again(database: Database) -> None:
    from backend.openadr import operator_side

    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            await service.turn()
            (event,) = await events(database)
            async with database.engine.begin() as connection:
                await operator_side.cancel_operator_event(
                    connection, event.id, "withdrawn"
                )  # as the API says it
            await service.turn()
            await service.turn()
        (answer,) = vtn.reports("e1")
    assert "stopped_by_operator" in str(answer)
    assert await open_events(database) == []
    assert len(await events(database)) == 1


async def test_an_instance_that_lost_its_lease_in_mid_turn_writes_nothing(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        async with service_for(database, vtn.url) as slow, service_for(database, vtn.url) as quick:
            assert await slow.link.take()
            assert not await quick.link.take()
            await slow.link.give_up()  # as when its time runs out while the VTN does not answer
            assert await quick.link.take()
            with pytest.raises(VtnLinkLost):
                await slow._read()
    assert await events(database) == []
