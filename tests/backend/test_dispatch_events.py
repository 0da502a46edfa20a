"""The life of an event, as its VENs see it: on PostgreSQL and on SQLite."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from backend.dispatch.dispatch_wake import wait_for_dispatch_wake
from backend.dispatch.event_follow_up import _Level, _part
from backend.dispatch.event_lifecycle import stop_dispatched_event
from backend.store.database import Database
from backend.store.instance_report import InstanceReport, store_instance_end, store_instance_report
from backend.store.statuses import ACTIVE, CANCELLED, COMPLETED
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, VENS
from backend.store.transaction import in_transaction
from backend.store.utc_time import utc_now

from .dispatching import (
    LIMIT_SEC,
    Answering,
    Wire,
    acknowledge,
    add_event,
    add_vens,
    correlation_ids,
    dispatching,
    eventually,
    participants,
    quick,
    rows,
    set_end,
    set_online,
    set_state,
    status_of,
)

pytestmark = pytest.mark.asyncio


async def test_at_its_start_an_event_becomes_active_and_each_ven_is_told(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0, "b": 6.0, "unable": 0.0})
    await add_vens(database, {"away": 9.0}, status="offline")
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        start = await add_event(database, 4.0, in_sec=0.5, dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 2)
        await eventually(lambda: _participant_is(database, "b", "commanded"))
    assert {sent["venId"]: sent["shed_kw"] for sent in wire.sent} == {"a": 1.0, "b": 3.0}
    command = wire.to("a")[0]
    assert command["op"] == "event"
    assert command["event_id"] == "e1"
    assert command["correlationId"].startswith("evt-e1-")
    assert command["start_ts"] == pytest.approx(start.timestamp(), abs=1e-3)
    assert command["end_ts"] == pytest.approx(start.timestamp() + 600, abs=1e-3)
    assert command["end_ts"] == command["expires_ts"]
    assert command["modification"] == 0
    assert command["issued_ts"] >= start.timestamp()
    assert await participants(database) == {"a": "commanded", "b": "commanded"}
    (event,) = await rows(database, EVENTS)
    assert event.status == ACTIVE
    assert event.activated_at >= start


async def test_it_is_woken_by_the_clock_not_by_a_look_now_and_then(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    await add_event(database, 1.0, in_sec=1.0)
    async with dispatching(database, Wire()):  # its next look would be in an hour
        await eventually(lambda: _is(database, ACTIVE))


async def test_at_its_end_those_who_may_be_shedding_are_restored(database: Database) -> None:
    await add_vens(database, {"a": 2.0, "b": 2.0, "done": 2.0})
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 6.0, dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 3)
        await acknowledge(database, wire.to("a"))
        await acknowledge(database, wire.to("done"), "completed")
        await set_end(database, dispatcher, in_sec=0.3)
        await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
        assert await status_of(database) == COMPLETED
        assert not wire.to("done", "restore")
    assert wire.to("a", "restore")[0]["event_id"] == "e1"
    (event,) = await rows(database, EVENTS)
    assert event.end_reason == "end"


async def test_a_stop_restores_at_once_and_nothing_is_asked_again(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    async with dispatching(
        database, wire, quick(ack_timeout_sec=0.3, attempts=1_000)
    ) as dispatcher:
        await add_event(database, 1.0, dispatcher=dispatcher)
        await eventually(lambda: wire.to("a"))
        stopped = await in_transaction(
            database.engine,
            lambda c: stop_dispatched_event(c, "e1", status=COMPLETED, reason="stopped"),
        )
        assert stopped is not None
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.to("a", "restore")) >= 2)  # asked again: no ack came
    ops = [sent["op"] for sent in wire.sent]
    assert "event" not in ops[ops.index("restore") :]
    again = await in_transaction(
        database.engine,
        lambda c: stop_dispatched_event(c, "e1", status=COMPLETED, reason="stopped"),
    )
    assert again is None


async def test_a_scheduled_event_that_is_stopped_tells_nobody(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    await add_event(database, 1.0, in_sec=0.5)
    await in_transaction(
        database.engine,
        lambda c: stop_dispatched_event(c, "e1", status=COMPLETED, reason="stopped"),
    )
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 1.0, event_id="e2", in_sec=1.0, dispatcher=dispatcher)
        await eventually(lambda: wire.sent)
    assert {sent["event_id"] for sent in wire.sent} == {"e2"}
    assert await status_of(database) == CANCELLED


async def test_without_an_ack_the_same_command_comes_again_then_the_ven_counts_as_silent(
    database: Database,
) -> None:
    await add_vens(database, {"silent": 2.0, "answers": 2.0})
    wire = Answering(database, "answers")
    settings = quick(ack_timeout_sec=0.4, attempts=3)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, 4.0, dispatcher=dispatcher)
        await eventually(lambda: _participant_is(database, "silent", "not_responding"))
    assert len(wire.to("silent")) == 3
    assert len(wire.to("answers")) == 1
    assert len(correlation_ids(wire.sent)["silent"]) == 1
    assert (await participants(database))["answers"] == "accepted"


async def test_acks_that_wait_to_be_stored_are_no_silence(database: Database) -> None:
    """An ingest that is two minutes behind: nobody is asked again meanwhile."""
    await add_vens(database, {"a": 2.0})
    async with database.engine.begin() as connection:
        await store_instance_report(connection, InstanceReport("ingest", "one", lag_sec=120.0))
        await store_instance_report(connection, InstanceReport("ingest", "gone", lag_sec=9e9))
        await store_instance_end(connection, "ingest", "gone")
    wire = Wire()
    async with dispatching(database, wire, quick(ack_timeout_sec=10.0)) as dispatcher:
        await add_event(database, 2.0, dispatcher=dispatcher)
        await eventually(lambda: rows(database, COMMANDS, COMMANDS.c.state == "published"))
    (command,) = await rows(database, COMMANDS)
    wait = command.not_before - command.published_at
    assert timedelta(seconds=130) <= wait < timedelta(days=1)


async def test_a_silent_ven_that_comes_back_is_asked_again_with_the_same_id(
    database: Database,
) -> None:
    await add_vens(database, {"v": 2.0})
    wire = Wire()
    settings = quick(ack_timeout_sec=0.2, attempts=1, follow_interval_sec=0.2)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, 2.0, dispatcher=dispatcher)
        await eventually(lambda: _participant_is(database, "v", "not_responding"))
        await set_online(database, "v")
        await eventually(lambda: len(wire.to("v")) == 2)
        await acknowledge(database, wire.to("v"))
    assert len(correlation_ids(wire.sent)["v"]) == 1
    assert await participants(database) == {"v": "accepted"}


async def test_a_ven_that_comes_online_during_an_event_joins_it(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    await add_vens(database, {"late": 6.0}, status="offline")
    wire = Wire()
    async with dispatching(database, wire, quick(follow_interval_sec=0.2)) as dispatcher:
        await add_event(database, 4.0, dispatcher=dispatcher)
        await eventually(lambda: wire.to("a"))
        await set_state(database, "a", event_id="e1", shed_power_kw=2.0, shed_available_kw=0.0)
        await acknowledge(database, wire.sent)
        await set_online(database, "late")
        await eventually(lambda: wire.to("late"))
    assert wire.to("late")[0]["shed_kw"] == 2.0  # what is short
    assert len(wire.to("late")) == 1


async def test_what_falls_short_is_asked_of_others_under_a_higher_modification(
    database: Database,
) -> None:
    await add_vens(database, {"a": 4.0, "b": 8.0})
    wire = Wire()
    # Changed once: else the first change, not obeyed at once, would bring another.
    settings = quick(follow_interval_sec=0.2, settle_sec=1.0, most_modifications=1)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, 6.0, dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 2)
        await acknowledge(database, wire.sent)
        await set_state(database, "b", event_id="e1", shed_power_kw=4.0, shed_available_kw=4.0)
        await set_state(database, "a", event_id="e1", shed_power_kw=0.5, shed_available_kw=0.0)
        await eventually(lambda: len(wire.to("b")) == 2)
        first, second = wire.to("b")
    assert (first["shed_kw"], second["shed_kw"]) == (4.0, 5.5)
    assert (first["modification"], second["modification"]) == (0, 1)
    assert second["correlationId"] != first["correlationId"]
    assert second["end_ts"] == first["end_ts"]
    assert len(wire.to("a")) == 1


async def test_telemetry_of_before_the_command_is_no_answer_to_it() -> None:
    """As an outbox brings it that is emptied after an outage, oldest first."""
    now = utc_now()
    told_at, settings = now - timedelta(seconds=60), quick(settle_sec=6.0)
    event = SimpleNamespace(id="e", modification=0, start_time=told_at)
    row = SimpleNamespace(
        ven_id="v",
        status="accepted",
        modification=0,
        ven_status="online",
        assigned_shed_kw=2.0,
        assigned_at=told_at,
        commanded_at=told_at,
        actual_shed_kw=2.0,
        shed_power_kw=0.0,
        shed_available_kw=6.0,
        reported_event_id=None,
        last_seen=now,
        quiet_until=None,
    )
    level = _Level(1.0, told_at, now + timedelta(hours=1))
    for age_sec, expected_kw in ((90, 2.0), (0, 0.0)):
        row.timestamp = now - timedelta(seconds=age_sec)
        assert _part(row, event, level, settings, now).expected_kw == expected_kw


async def test_named_vens_are_asked_in_full_also_offline(database: Database) -> None:
    await add_vens(database, {"a": 2.0, "other": 9.0})
    await add_vens(database, {"never seen": None}, status="unknown")
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 5.0, ven_ids=["a", "never seen"], dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 2)
    assert {s["venId"]: s["shed_kw"] for s in wire.sent} == {"a": 2.0, "never seen": 3.0}


async def test_who_does_not_take_part_is_not_asked(database: Database) -> None:
    await add_vens(database, {"a": 2.0, "out": 9.0})
    await add_vens(database, {"kept": 9.0}, status="maintenance")
    await set_state(database, "out", availability="opted_out")
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 5.0, dispatcher=dispatcher)
        await eventually(lambda: wire.sent)
    assert {s["venId"]: s["shed_kw"] for s in wire.sent} == {"a": 2.0}


async def test_a_claim_is_bounded_and_the_untrusted_are_asked_last(database: Database) -> None:
    """900 MW of a new id do not take the event from those who can."""
    await add_vens(database, {"a": 2.0, "b": 1.0, "claims": 900_000.0, "small": 50.0})
    await set_state(database, "claims", highest_power_kw=4.0, panel_max_kw=800_000.0)
    await set_state(database, "small", highest_power_kw=900_000.0, panel_max_kw=3.0)
    async with database.engine.begin() as connection:
        of = VENS.c.id.in_(["claims", "small"])
        await connection.execute(update(VENS).where(of).values(trusted=False))
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 3.0, dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 2)
        await add_event(database, 20.0, event_id="e2", dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 4)
    asked = {s["venId"]: s["shed_kw"] for s in wire.sent}
    assert asked == {"a": 2.0, "b": 1.0, "claims": 4.0, "small": 3.0}


async def test_a_ven_is_in_one_event_at_a_time(database: Database) -> None:
    await add_vens(database, {"a": 2.0, "b": 2.0})
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 2.0, ven_ids=["a"], dispatcher=dispatcher)
        await eventually(lambda: wire.to("a"))
        await add_event(database, 3.0, event_id="e2", dispatcher=dispatcher)
        await eventually(lambda: wire.to("b"))
        await acknowledge(database, wire.sent)
    assert await participants(database, "e2") == {"b": "accepted"}


async def test_while_the_broker_is_away_commands_wait(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    wire.away = "the broker is not connected"
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 1.0, dispatcher=dispatcher)
        await eventually(lambda: _an_error(database))
        assert dispatcher.problem() == wire.away
        wire.away = None
        await eventually(lambda: wire.sent)
        await eventually(lambda: _participant_is(database, "a", "commanded"))
    assert len(wire.sent) == 1


async def test_an_event_that_no_dispatcher_saw_is_cancelled(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    await add_event(database, 1.0, in_sec=-20, for_sec=10)
    wire = Wire()
    async with dispatching(database, wire):
        await eventually(lambda: _is(database, CANCELLED))
    assert wire.sent == []


async def test_an_ack_faster_than_its_marking_still_gets_its_answer_time(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    async with dispatching(database, Answering(database)) as dispatcher:
        await add_event(database, 1.0, dispatcher=dispatcher)
        await eventually(lambda: _participant_is(database, "a", "accepted"))
        await eventually(lambda: _has_response_time(database))
    (command,) = await rows(database, COMMANDS)
    assert command.state == "acked"
    assert command.published_at is not None


async def test_events_of_one_moment_all_begin(database: Database) -> None:
    await add_vens(database, {f"v{n}": 2.0 for n in range(5)})
    wire = Wire()
    for n in range(5):
        await add_event(database, 1.0, event_id=f"e{n}", in_sec=0.3, ven_ids=[f"v{n}"])
    async with dispatching(database, wire):
        await eventually(lambda: len(wire.sent) == 5)


async def _is(database: Database, status: str) -> bool:
    return await status_of(database) == status


async def _participant_is(database: Database, ven_id: str, status: str) -> bool:
    return (await participants(database)).get(ven_id) == status


async def _an_error(database: Database) -> bool:
    return any(row.error for row in await rows(database, COMMANDS))


async def _has_response_time(database: Database) -> bool:
    return (await rows(database, PARTICIPANTS))[0].response_ms is not None


async def test_a_cancellation_at_the_moment_of_the_bell_is_not_lost() -> None:
    bell = asyncio.Event()

    async def loop() -> None:
        while True:
            await wait_for_dispatch_wake(bell, 60.0)

    task = asyncio.create_task(loop())
    for _ in range(3):
        await asyncio.sleep(0)  # it waits now
    bell.set()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=LIMIT_SEC)
    assert done
    assert task.cancelled()
