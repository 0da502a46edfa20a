"""Events that meet: at one moment, back to back, and commands that must not overtake each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config.dispatch_settings import DispatchSettings
from backend.config.settings_block import SettingsBlockError
from backend.dispatch.command_marking import CommandToMark, mark_commands_published
from backend.dispatch.command_outbox import CommandOutbox
from backend.dispatch.command_publisher import CommandPublisherMessage, CommandPublisherOutcome
from backend.dispatch.event_lifecycle import activate_dispatched_event, stop_dispatched_event
from backend.store.bulk_copy import bulk_copy_rows
from backend.store.database import Database
from backend.store.statuses import COMPLETED
from backend.store.tables import COMMANDS, EVENTS, VENS
from backend.store.transaction import in_transaction
from backend.store.utc_time import utc_now

from .dispatching import (
    NEVER_SEC,
    Clock,
    Wire,
    acknowledge,
    add_event,
    add_vens,
    dispatching,
    eventually,
    participants,
    quick,
    rows,
    set_end,
    set_online,
    set_state,
)

pytestmark = pytest.mark.asyncio


async def test_a_ven_of_two_events_that_begin_at_one_moment_is_in_one(
    postgresql_url: str,
) -> None:
    """On two instances: neither sees what the other has not committed."""
    first, second = Database(postgresql_url), Database(postgresql_url)
    await add_vens(first, {f"v{n}": 2.0 for n in range(3)})
    for name in ("e1", "e2"):
        await add_event(first, 6.0, event_id=name)
    settings = quick()
    async with first.engine.begin() as one:
        assert await activate_dispatched_event(one, settings) is not None
        other = asyncio.create_task(
            in_transaction(second.engine, lambda c: activate_dispatched_event(c, settings))
        )
        await eventually(lambda: _somebody_waits(first))
    assert await asyncio.wait_for(other, 60) is not None
    asked = [row.ven_id for row in await rows(first, COMMANDS)]
    assert sorted(asked) == ["v0", "v1", "v2"]
    await first.close()
    await second.close()


async def _somebody_waits(database: Database) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with database.engine.connect() as connection:
        return bool(await connection.scalar(text(query)))


async def test_an_event_takes_over_the_vens_of_one_that_ends_as_it_begins(
    database: Database,
) -> None:
    """Its VENs shed all they have, so their telemetry says that there is no room."""
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 2.0, dispatcher=dispatcher)
        await eventually(lambda: wire.to("a"))
        await acknowledge(database, wire.sent)
        await set_state(database, "a", event_id="e1", shed_power_kw=2.0, shed_available_kw=0.0)
        end = await set_end(database, dispatcher, in_sec=1.0)
        await add_event(database, 2.0, event_id="e2", start=end, dispatcher=dispatcher)
        await eventually(lambda: len(wire.to("a")) == 2)
    assert wire.to("a")[1]["event_id"] == "e2"
    assert wire.to("a")[1]["shed_kw"] == 2.0


async def test_an_old_share_is_not_asked_for_after_a_new_one(database: Database) -> None:
    """The VEN would refuse it as older, and count as one that refuses."""
    await add_vens(database, {"a": 4.0, "b": 8.0})
    wire = Wire()
    settings = quick(ack_timeout_sec=0.5, follow_interval_sec=0.2, most_modifications=2)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, 6.0, dispatcher=dispatcher)
        await eventually(lambda: wire.to("a") and wire.to("b"))
        await acknowledge(database, wire.sent)
        await set_state(database, "a", event_id="e1", shed_power_kw=0.0, shed_available_kw=0.0)
        await set_state(database, "b", event_id="e1", shed_power_kw=4.0, shed_available_kw=4.0)
        # The second is not acknowledged, and still short: a third follows, and comes again, after
        # the second would have.
        await eventually(lambda: [c["modification"] for c in wire.to("b")].count(2) >= 2)
    sent = [command["modification"] for command in wire.to("b")]
    assert sent == sorted(sent)
    states = {row.payload["modification"]: row.state for row in await rows(database, COMMANDS)}
    assert states[1] == "withdrawn"


async def test_a_ven_that_was_away_when_its_event_was_stopped_is_restored_when_it_returns(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    settings = quick(ack_timeout_sec=0.1, attempts=1, fallback_sec=0.2)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, 1.0, dispatcher=dispatcher)
        await eventually(lambda: wire.to("a"))
        await acknowledge(database, wire.to("a"))
        await set_online(database, "a", "offline")
        await in_transaction(
            database.engine,
            lambda c: stop_dispatched_event(c, "e1", status=COMPLETED, reason="stopped"),
        )
        await eventually(lambda: _has(database, "not_responding"))
        assert len(wire.to("a", "restore")) == 1
        await set_online(database, "a")
        await eventually(lambda: len(wire.to("a", "restore")) == 2)
    first, second = wire.to("a", "restore")
    assert first["correlationId"] == second["correlationId"]


async def test_in_its_last_moments_nothing_more_is_asked(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    await add_vens(database, {"late": 6.0}, status="offline")
    wire = Wire()
    settings = quick(settle_sec=NEVER_SEC, follow_interval_sec=0.2)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, 6.0, dispatcher=dispatcher)
        await eventually(lambda: wire.to("a"))
        await set_online(database, "late")
        online = utc_now()
        await eventually(lambda: _followed_after(database, online, settings))
    assert await participants(database) == {"a": "commanded"}


async def _followed_after(database: Database, moment: datetime, settings: DispatchSettings) -> bool:
    (event,) = await rows(database, EVENTS)
    begun: datetime = event.claimed_until - timedelta(seconds=settings.follow_interval_sec)
    return begun > moment


async def _has(database: Database, state: str) -> bool:
    return any(row.state == state for row in await rows(database, COMMANDS))


async def published(outbox: CommandOutbox) -> list[tuple[int, int]]:
    """(confirmed, failed) of each batch until nothing is due."""
    batches: list[tuple[int, int]] = []

    def goes_on(confirmed: int, failed: int) -> bool:
        batches.append((confirmed, failed))
        return confirmed > 0

    await outbox.publish_all_due(goes_on)
    return batches


async def test_batch_after_batch_is_published_and_all_are_marked(database: Database) -> None:
    await add_vens(database, dict.fromkeys("abcde", 2.0))
    await add_event(database, 10.0)
    wire, settings = Wire(), quick(batch=2)
    await in_transaction(database.engine, lambda c: activate_dispatched_event(c, settings))
    outbox = CommandOutbox(database.engine, wire, settings, instance="one", topic="ven/cmd/{venId}")
    assert await published(outbox) == [(2, 0), (2, 0), (1, 0)]
    found = await rows(database, COMMANDS)
    assert [(row.state, row.attempts, row.claimed_until) for row in found] == [
        ("published", 1, None)
    ] * 5
    assert set((await participants(database)).values()) == {"commanded"}
    assert {message["venId"] for message in wire.sent} == set("abcde")


async def test_leases_go_by_the_databases_clock(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance whose clock is an hour ahead does not take what another has claimed."""
    database = Database(postgresql_url)
    await add_vens(database, {"a": 2.0})
    await add_event(database, 1.0)
    settings = quick()
    await in_transaction(database.engine, lambda c: activate_dispatched_event(c, settings))
    async with database.engine.begin() as connection:
        await connection.execute(
            update(COMMANDS).values(claimed_until=utc_now() + timedelta(seconds=60))
        )
    ahead = utc_now() + timedelta(hours=1)
    monkeypatch.setattr("backend.store.database.utc_now", lambda: ahead)
    wire = Wire()
    outbox = CommandOutbox(
        database.engine, wire, settings, instance="ahead", topic="ven/cmd/{venId}"
    )
    assert await published(outbox) == []
    due_sec = await outbox.next_due_sec()
    assert due_sec is not None
    assert 30 < due_sec < 61
    assert wire.sent == []
    await database.close()


async def test_what_was_claimed_too_slowly_is_not_published(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may have claimed it meanwhile, or sent a restore instead."""
    await add_vens(database, {"a": 2.0})
    await add_event(database, 1.0)
    wire, settings = Wire(), quick(lease_sec=20.0)
    await in_transaction(database.engine, lambda c: activate_dispatched_event(c, settings))
    clock = Clock()
    monkeypatch.setattr("backend.dispatch.command_outbox.time", clock)

    async def slowly(engine: AsyncEngine, work: Any) -> Any:
        clock.now += 11.0
        return await in_transaction(engine, work)

    outbox = CommandOutbox(database.engine, wire, settings, instance="one", topic="ven/cmd/{venId}")
    monkeypatch.setattr("backend.dispatch.command_outbox.in_transaction", slowly)
    assert await published(outbox) == []
    assert wire.sent == []
    monkeypatch.setattr("backend.dispatch.command_outbox.in_transaction", in_transaction)
    async with database.engine.begin() as connection:
        await connection.execute(update(COMMANDS).values(claimed_until=utc_now()))
    assert await published(outbox) == [(1, 0)]


async def test_a_lease_must_outlast_the_publishing() -> None:
    variables = {"DISPATCH_LEASE_SEC": "5", "DISPATCH_PUBLISH_TIMEOUT_SEC": "6"}
    with pytest.raises(SettingsBlockError, match="at least twice"):
        DispatchSettings.from_environment(variables)


async def test_marking_waits_for_the_ingest_in_its_own_order(postgresql_url: str) -> None:
    """Acks are stored in the order of their correlationIds: any other order can end in a ring."""
    database = Database(postgresql_url)
    await add_vens(database, {"a": 2.0, "b": 2.0})
    await add_event(database, 4.0)
    await in_transaction(database.engine, lambda c: activate_dispatched_event(c, quick()))
    # The row that was made first comes last in the order of ids.
    early, late = sorted(await rows(database, COMMANDS), key=lambda row: row.id)
    async with database.engine.begin() as connection:
        for row, name in ((early, "z"), (late, "a")):
            await connection.execute(
                update(COMMANDS).where(COMMANDS.c.id == row.id).values(correlation_id=name)
            )
    done = [
        (
            CommandToMark(row.id, row.event_id, row.ven_id, row.op, "{}"),
            CommandPublisherOutcome(utc_now()),
        )
        for row in (early, late)
    ]

    async def mark() -> None:  # without the second try of `in_transaction`
        async with database.engine.begin() as connection:
            await mark_commands_published(connection, done, utc_now())

    async with database.engine.begin() as ingest:
        await ingest.execute(_acked("a"))
        marking = asyncio.create_task(mark())
        await eventually(lambda: _somebody_waits(database))
        # It holds nothing that the ingest wants next.
        await asyncio.wait_for(ingest.execute(_acked("z")), 60)
    await asyncio.wait_for(marking, 60)
    assert {row.state for row in await rows(database, COMMANDS)} == {"acked"}
    await database.close()


def _acked(correlation_id: str):  # type: ignore[no-untyped-def]
    return update(COMMANDS).where(COMMANDS.c.correlation_id == correlation_id).values(state="acked")


async def test_what_copy_refuses_is_the_databases_error(postgresql_url: str) -> None:
    """As what an INSERT refuses: the driver's own kind would end the dispatcher."""
    database = Database(postgresql_url)
    now = utc_now()
    many = [
        {"id": "same", "name": "v", "status": "online", "status_since": now, "created_at": now}
        for _ in range(200)
    ]

    async def insert_twice() -> None:
        async with database.engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
            await bulk_copy_rows(connection, VENS, many)

    with pytest.raises(SQLAlchemyError):
        await insert_twice()
    await database.close()


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), TimeoutError()])
async def test_what_dispatch_does_not_foresee_does_not_end_it(
    database: Database, error: Exception
) -> None:
    await add_vens(database, {"a": 2.0})

    class Confused(Wire):
        confused = True

        async def publish(
            self, messages: Sequence[CommandPublisherMessage]
        ) -> list[CommandPublisherOutcome]:
            if self.confused:
                raise error
            return await super().publish(messages)

    wire = Confused()
    async with dispatching(database, wire, quick(lease_sec=0.5)) as dispatcher:
        await add_event(database, 1.0, dispatcher=dispatcher)
        await eventually(dispatcher.problem)
        wire.confused = False
        await eventually(lambda: wire.sent)
        await eventually(lambda: dispatcher.problem() is None)
    assert await participants(database) == {"a": "commanded"}
