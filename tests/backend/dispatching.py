"""A fleet in the database, events for it, and a broker's side that remembers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.command_publisher import (
    CommandPublisher,
    CommandPublisherMessage,
    CommandPublisherOutcome,
)
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.dispatcher import Dispatcher
from backend.store.database import Database
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.utc_time import utc_now

LIMIT_SEC = 60.0
"""How long is waited for what must come at once: the machine may be busy."""
NEVER_SEC = 3_600.0
"""Longer than any test."""


class Wire:
    """Stands for the broker: keeps what was published, and can be away."""

    at_once = 1_000

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.away: str | None = None

    async def open(self) -> None:
        pass

    async def publish(
        self, messages: Sequence[CommandPublisherMessage]
    ) -> list[CommandPublisherOutcome]:
        if self.away is None:
            for message in messages:
                payload = json.loads(message.payload)
                assert message.topic == f"ven/cmd/{payload['venId']}"
                self.sent.append(payload)
        return [CommandPublisherOutcome(utc_now(), self.away) for _ in messages]

    def problem(self) -> str | None:
        return self.away

    async def close(self) -> None:
        pass

    def to(self, ven_id: str, op: str = "event") -> list[dict[str, Any]]:
        return [sent for sent in self.sent if sent["venId"] == ven_id and sent["op"] == op]


class Answering(Wire):
    """VENs (all if none are named) that answer faster than the dispatcher marks what it sent."""

    def __init__(self, database: Database, *ven_ids: str) -> None:
        super().__init__()
        self._database = database
        self._ven_ids = ven_ids

    async def publish(
        self, messages: Sequence[CommandPublisherMessage]
    ) -> list[CommandPublisherOutcome]:
        outcomes = await super().publish(messages)
        commands = [json.loads(message.payload) for message in messages]
        answered = [c for c in commands if not self._ven_ids or c["venId"] in self._ven_ids]
        await acknowledge(self._database, answered)
        return outcomes


class Clock:
    """Stands for the module `time`."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def quick(**changes: Any) -> DispatchSettings:
    """Settings with a test's patience; what looks again by itself, a test asks for."""
    settings = {
        "fallback_sec": NEVER_SEC,  # only the clock and the bell wake it
        "follow_interval_sec": NEVER_SEC,
        "ack_timeout_sec": NEVER_SEC,
        "settle_sec": 0.0,
        "publish_retry_sec": 0.1,
        "ask_agents_sec": 0.0,
    }
    return DispatchSettings().model_copy(update={**settings, **changes})


@asynccontextmanager
async def dispatching(
    database: Database, publisher: CommandPublisher, settings: DispatchSettings | None = None
) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(database, publisher, settings or quick())
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def eventually(
    condition: Callable[[], Awaitable[Any]] | Callable[[], Any], limit_sec: float = LIMIT_SEC
) -> Any:
    """The condition's value once it is true; fails when it does not become so."""
    deadline = asyncio.get_running_loop().time() + limit_sec
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not within {limit_sec} s"
        await asyncio.sleep(0.02)


async def add_vens(
    database: Database, rooms_kw: dict[str, float | None], *, status: str = "online"
) -> None:
    now = utc_now()
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(VENS),
            [
                {"id": v, "name": v, "status": status, "status_since": now, "created_at": now}
                for v in rooms_kw
            ],
        )
        states = [
            {
                "ven_id": ven_id,
                "last_seen": now,
                "timestamp": now,
                "seq": 1,
                "used_power_kw": 10.0,
                "shed_power_kw": 0.0,
                "shed_available_kw": room_kw,
            }
            for ven_id, room_kw in rooms_kw.items()
            if room_kw is not None
        ]
        if states:
            await connection.execute(insert(VEN_STATE), states)


async def add_event(
    database: Database,
    kw: float,
    *,
    event_id: str = "e1",
    start: datetime | None = None,
    in_sec: float = 0.0,
    for_sec: float = 600.0,
    ven_ids: list[str] | None = None,
    dispatcher: Dispatcher | None = None,
    **fields: Any,
) -> datetime:
    """Its start. A dispatcher in this process is woken, as the API does."""
    start = start or utc_now() + timedelta(seconds=in_sec)
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(EVENTS).values(
                id=event_id,
                status="scheduled",
                start_time=start,
                end_time=start + timedelta(seconds=for_sec),
                requested_reduction_kw=kw,
                ven_ids=ven_ids,
                modification=0,
                created_at=utc_now(),
                **fields,
            )
        )
        await send_dispatch_wake(connection)
    if dispatcher is not None:
        dispatcher.wake.ring()
    return start


async def set_end(
    database: Database, dispatcher: Dispatcher, *, event_id: str = "e1", in_sec: float = 0.0
) -> datetime:
    """Let an event end then, whatever was said at first: the moment."""
    end = utc_now() + timedelta(seconds=in_sec)
    async with database.engine.begin() as connection:
        await connection.execute(update(EVENTS).where(EVENTS.c.id == event_id).values(end_time=end))
    dispatcher.wake.ring()
    return end


async def acknowledge(
    database: Database, commands: Iterable[dict[str, Any]], status: str = "accepted"
) -> None:
    """What ingest writes when a VEN answers, in its order: in another, what dispatch marks at the
    same time would wait for this, and this for that."""
    now, answered = utc_now(), list(commands)
    shed = [command for command in answered if command["op"] in ("event", "shedLoad", "loadUp")]
    async with database.engine.begin() as connection:
        for command in sorted(answered, key=lambda one: str(one["correlationId"])):
            await connection.execute(
                update(COMMANDS)
                .where(COMMANDS.c.correlation_id == command["correlationId"])
                .values(state="acked", acked_at=now, ack_status=status)
            )
        for command in sorted(shed, key=lambda one: (one["event_id"], one["venId"])):
            await connection.execute(
                update(PARTICIPANTS)
                .where(PARTICIPANTS.c.event_id == command["event_id"])
                .where(PARTICIPANTS.c.ven_id == command["venId"])
                .values(status=status, actual_shed_kw=command.get("shed_kw"), first_ack_at=now)
            )


async def set_state(database: Database, ven_id: str, **values: Any) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(
            update(VEN_STATE)
            .where(VEN_STATE.c.ven_id == ven_id)
            .values(**{"last_seen": utc_now(), "timestamp": utc_now(), **values})
        )


async def set_ven(database: Database, ven_id: str, **values: Any) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(update(VENS).where(VENS.c.id == ven_id).values(**values))


async def set_online(database: Database, ven_id: str, status: str = "online") -> None:
    async with database.engine.begin() as connection:
        await connection.execute(
            update(VENS).where(VENS.c.id == ven_id).values(status=status, status_since=utc_now())
        )


async def rows(database: Database, table: Any, *where: Any) -> list[Any]:
    async with database.engine.connect() as connection:
        return list((await connection.execute(select(table).where(*where))).all())


async def status_of(database: Database, event_id: str = "e1") -> str:
    return str((await rows(database, EVENTS, EVENTS.c.id == event_id))[0].status)


async def participants(database: Database, event_id: str = "e1") -> dict[str, str]:
    found = await rows(database, PARTICIPANTS, PARTICIPANTS.c.event_id == event_id)
    return {row.ven_id: row.status for row in found}


def correlation_ids(sent: Iterable[dict[str, Any]]) -> dict[str, set[str]]:
    """Those of each VEN."""
    found: dict[str, set[str]] = defaultdict(set)
    for command in sent:
        found[command["venId"]].add(command["correlationId"])
    return found
