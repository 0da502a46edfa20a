"""Limits with a failsafe: who tells the sites that the operator is there, and until when."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from backend.dispatch.limit_heartbeats import LimitHeartbeats
from backend.dispatch.new_event import UNTIL_FURTHER_NOTICE, NewEvent, NewEventInvalid
from backend.dispatch.new_event import checked_new_event as checked
from backend.ingest.batch_storage import store_batch_acks
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.message_decoder import decode_message
from backend.ingest.plausible_values import PlausibleTimes
from backend.store.command_tables import CommandAckRow
from backend.store.database import Database
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS
from backend.store.utc_time import utc_now
from VenAgent.contract.acks import AckStatus, build_ack
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.contract.commands import CommandFeature
from VenAgent.contract.op import Op

from .api_client import api
from .dispatching import Wire, add_vens, eventually, quick, rows

SITE = CommandLimits(max_shed_kw=1_000.0, supported=frozenset(CommandFeature))
TOPIC = "ven/cmd/{venId}"
LIMIT = {
    "kind": "limit",
    "importKw": 12,
    "id": "l1",
    "limitPerSite": True,
    "failsafeKw": 4.2,
    "heartbeatSec": 86_400,
    "failsafeMinSec": 7200,
}


async def _values_of_event(database: Database, **values: Any) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(update(EVENTS).where(EVENTS.c.id == "l1").values(**values))


async def _values_of_participant(database: Database, **values: Any) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(update(PARTICIPANTS).values(**values))


@pytest.mark.asyncio
async def test_the_backend_gives_the_signs_that_a_limit_asks_for_until_it_is_withdrawn(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0, "b": 2.0, "gone": 2.0})
    wire = Wire()
    async with api(database, wire) as client:
        made = (await client.post("/api/events/", json=LIMIT)).json()
        await eventually(lambda: wire.to("a", "ping") and wire.to("gone", "ping"))
        (event,) = await rows(database, EVENTS)
    # A third of the time after the first: two may be lost.
    assert event.heartbeat_due - event.activated_at >= timedelta(hours=8)
    beats = LimitHeartbeats(database.engine, wire, quick(), topic=TOPIC)
    async with api(database) as client:  # without a dispatcher
        await client.patch("/api/vens/gone", json={"status": "offline"})
        await _values_of_event(database, heartbeat_due=utc_now())
        assert await beats.send_due_heartbeats() == 2  # the broker would only pile up the third
        await client.post("/api/events/l1/stop")
        await _values_of_event(database, heartbeat_due=utc_now())
        assert await beats.send_due_heartbeats() == 0
        assert await beats.next_due_sec() is None
        shown = (await client.get("/api/events/l1")).json()
    told = {sent["venId"]: sent for sent in wire.sent if sent["op"] == "limit"}
    for sent in wire.sent:  # a VEN takes all of it
        read_command(json.dumps(sent), ven_id=sent["venId"], limits=SITE, now=utc_now().timestamp())
    failsafe = ("failsafe_kw", "heartbeat_sec", "failsafe_min_sec")
    assert {tuple(sent[name] for name in failsafe) for sent in told.values()} == {
        (4.2, 86_400, 7200)
    }
    assert made["failsafeKw"] == shown["failsafeKw"] == 4.2
    assert (shown["heartbeatSec"], shown["failsafeMinSec"]) == (86_400, 7200)
    pings = [sent["correlationId"] for sent in wire.sent if sent["op"] == "ping"]
    assert len(set(pings)) == len(pings) == 5
    # They are in no table: the outbox would grow by a row a site and round.
    assert {row.op for row in await rows(database, COMMANDS)} == {"limit", "restore"}


@pytest.mark.asyncio
async def test_each_round_goes_out_once_though_dispatchers_compete_and_a_broker_was_away(
    database: Database,
) -> None:
    await add_vens(database, dict.fromkeys("abcd", 2.0))
    wire = Wire()
    async with api(database, wire) as client:
        # Together they keep it: what rules at a silent site is its part.
        shared = {**LIMIT, "limitPerSite": False, "failsafeKw": 6}
        await client.post("/api/events/", json=shared)
        await eventually(lambda: wire.to("d", "ping"))
    assert {sent["failsafe_kw"] for sent in wire.sent if sent["op"] == "limit"} == {1.5}
    several = [LimitHeartbeats(database.engine, wire, quick(), topic=TOPIC) for _ in range(4)]
    for _ in range(5):
        wire.sent.clear()
        await _values_of_event(database, heartbeat_due=utc_now())
        assert sum(await asyncio.gather(*(one.send_due_heartbeats() for one in several))) == 4
        assert sorted(sent["venId"] for sent in wire.sent) == list("abcd")
    wire.sent.clear()
    wire.away = "no broker"
    await _values_of_event(database, heartbeat_due=utc_now())
    task = asyncio.create_task(several[0].send_due_heartbeats())
    due_sec = await eventually(lambda: _soon(several[1]))
    wire.away = None
    await task
    assert due_sec < 2  # not a third of the heartbeat's time
    await eventually(lambda: _sent_again(several[1], wire))


async def _soon(beats: LimitHeartbeats) -> float | None:
    due_sec = await beats.next_due_sec()
    return due_sec if due_sec is not None and due_sec < 2 else None


async def _sent_again(beats: LimitHeartbeats, wire: Wire) -> bool:
    await beats.send_due_heartbeats()
    return {sent["venId"] for sent in wire.sent} == set("abcd")


@pytest.mark.asyncio
async def test_a_site_that_went_to_its_failsafe_is_told_the_limit_anew_once(
    database: Database,
) -> None:
    """A heartbeat alone does not end it (LPC-921)."""
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    async with api(database, wire, dispatch=quick(follow_interval_sec=0.1)) as client:
        await client.post("/api/events/", json=LIMIT)
        await eventually(lambda: wire.to("a", "limit"))
        long_ago = utc_now() - timedelta(days=2)
        heard = {"status": "adjusted", "reason_code": "failsafe", "commanded_at": long_ago}
        await _values_of_participant(database, **heard, assigned_at=long_ago)
        await eventually(lambda: len(wire.to("a", "limit")) == 2)
        (part,) = await rows(database, PARTICIPANTS)
        assert (part.modification, part.assigned_limit_kw) == (1, 12)
        # It stays for its least time, and says so again.
        await _values_of_participant(database, **heard)
        turns = await _follow_ups(database)
        await eventually(lambda: _followed_since(database, turns))
    first, anew = wire.to("a", "limit")
    assert first["correlationId"] != anew["correlationId"]
    assert (anew["modification"], anew["import_kw"]) == (1, first["import_kw"])


@pytest.mark.asyncio
async def test_what_a_site_does_under_its_failsafe_does_not_hide_it(database: Database) -> None:
    """It goes under the failsafe limit and says why; by its failsafe it is told the limit anew."""
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    codes = []
    async with api(database, wire) as client:
        await client.post("/api/events/", json=LIMIT)
        await eventually(lambda: wire.to("a", "limit"))
        (correlation_id,) = (command["correlationId"] for command in wire.to("a", "limit"))
        for number, (code, state) in enumerate(
            [
                ("failsafe", "failsafe"),
                ("limit_exceeded", "failsafe"),
                (None, "failsafe"),
                ("failsafe_left", "limited"),
                ("limit_exceeded", "limited"),
                ("failsafe", "failsafe"),
                # It came when the failsafe had ruled for long enough: the new limit's own ack.
                (None, "limited"),
            ]
        ):
            ack = build_ack(
                op=Op.LIMIT,
                status=AckStatus.ADJUSTED,
                ven_id="a",
                ts=utc_now().timestamp() + 0.01 * number,
                correlation_id=correlation_id,
                event_id="l1",
                limit_state=state,
            )
            message = IngestMessage(
                "ven/ack/a", json.dumps({**ack, "reason_code": code}).encode(), ack["ts_ms"] / 1e3
            )
            record = decode_message(message, PlausibleTimes(0.0, 2e10))
            async with database.engine.begin() as connection:
                await store_batch_acks(connection, [record])  # type: ignore[list-item]
            (part,) = await rows(database, PARTICIPANTS)
            codes.append(part.reason_code)
    assert codes == ["failsafe"] * 3 + ["failsafe_left", "limit_exceeded", "failsafe", None]


async def _follow_ups(database: Database) -> Any:
    (event,) = await rows(database, EVENTS)
    return event.claimed_until


async def _followed_since(database: Database, moment: Any) -> bool:
    return bool(await _follow_ups(database) > moment + timedelta(seconds=0.3))


@pytest.mark.asyncio
async def test_acks_of_heartbeats_are_not_kept(database: Database) -> None:
    now = utc_now().timestamp()
    acks = []
    for correlation_id in ("heartbeat-1", "heartbeat-2", "ping-of-a-person"):
        body = build_ack(
            op=Op.PING.value,
            status=AckStatus.SUCCESS,
            ven_id="a",
            ts=now,
            correlation_id=correlation_id,
        )
        message = IngestMessage("ven/ack/a", json.dumps(body).encode(), now)
        acks.append(decode_message(message, PlausibleTimes(0.0, 2 * now)))
    async with database.engine.begin() as connection:
        assert await store_batch_acks(connection, acks) == 3
    kept = await rows(database, CommandAckRow.__table__)
    assert [row.correlation_id for row in kept] == ["ping-of-a-person"]


def test_a_failsafe_and_its_heartbeat_come_together_and_in_bounds() -> None:
    limit = {"kind": Op.LIMIT, "start": utc_now(), "end": UNTIL_FURTHER_NOTICE, "import_kw": 9.0}
    assert checked(NewEvent(**limit, failsafe_kw=4.2, heartbeat_sec=60.0)).failsafe_kw == 4.2
    for bad, field in (
        ({"failsafe_kw": 4.2}, "heartbeat_sec"),
        ({"heartbeat_sec": 60.0}, "failsafe_kw"),
        ({"failsafe_min_sec": 60.0}, "failsafe_min_sec"),
        ({"failsafe_kw": -1.0, "heartbeat_sec": 60.0}, "failsafe_kw"),
        ({"failsafe_kw": 4.2, "heartbeat_sec": 1.0}, "heartbeat_sec"),
        ({"failsafe_kw": 4.2, "heartbeat_sec": 60.0, "failsafe_min_sec": 1e6}, "failsafe_min_sec"),
        ({"kind": Op.EVENT, "import_kw": None, "failsafe_kw": 4.2}, "failsafe_kw"),
    ):
        with pytest.raises(NewEventInvalid) as refused:
            checked(NewEvent(**{**limit, **bad}))
        assert refused.value.field == field, bad
