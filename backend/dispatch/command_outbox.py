"""The outbox of commands: claimed, published, confirmed, marked; asked again without an ack.

A claim is a lease in the row (`claimed_until`), by the database's clock. A dispatcher that is
killed between publishing and marking leaves it to run out; another then publishes the same row,
which is the same command: the same correlationId, which a VEN obeys once. A publisher hands
nothing over after its time limit, which is shorter than the lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, and_, case, cast, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.command_marking import (
    CommandToMark,
    Result,
    mark_commands_not_responding,
    mark_commands_published,
    mark_commands_released,
)
from backend.dispatch.command_publisher import (
    CommandPublisher,
    CommandPublisherMessage,
    CommandPublisherOutcome,
)
from backend.store.bulk_copy import bulk_copy_rows
from backend.store.database import database_now
from backend.store.instance_report import ingest_lag_sec
from backend.store.statuses import EXPIRED, NOT_RESPONDING, OPEN, PENDING, PUBLISHED
from backend.store.tables import COMMANDS
from backend.store.transaction import in_transaction
from VenAgent.contract.op import EVENT_OPS


class _PublisherFault(Exception):
    """A publisher raised what it does not foresee."""


class CommandOutbox:
    def __init__(
        self,
        engine: AsyncEngine,
        publisher: CommandPublisher,
        settings: DispatchSettings,
        *,
        instance: str,
        topic: str,
    ) -> None:
        """`topic` is the commands' topic with `{venId}` in it."""
        self._engine = engine
        self._publisher = publisher
        self._settings = settings
        self._instance = instance
        self._topic = topic

    async def publish_all_due(self, goes_on: Callable[[int, int], bool]) -> None:
        """Publish batch after batch, while something is due and `goes_on`, given how many of one
        are confirmed and how many failed, says so. A batch is marked while the next is claimed and
        published."""
        marking: asyncio.Future[None] | None = None
        try:
            while results := await self._publish_batch():
                if marking is not None:
                    await marking
                marking = asyncio.ensure_future(self._mark_batch(results))
                failed = sum(done.error is not None for _, done in results)
                if not goes_on(len(results) - failed, failed):
                    return
        finally:
            if marking is not None:
                await marking

    async def _publish_batch(self) -> list[Result]:
        begun = time.monotonic()
        claimed = await in_transaction(self._engine, self._claim)
        # The lease is at least twice as long as publishing may take. What was claimed so slowly is
        # left to run out: published now, it could come after the restore that another has sent.
        if not claimed or time.monotonic() - begun > self._settings.lease_sec / 2:
            return []
        outcomes = await self._publish([self._message(one) for one in claimed])
        return list(zip(claimed, outcomes, strict=True))

    async def _mark_batch(self, results: Sequence[Result]) -> None:
        confirmed = [one for one in results if one[1].error is None]
        failed = [one for one in results if one[1].error is not None]
        await in_transaction(self._engine, lambda c: self._mark(c, confirmed, failed))

    async def _publish(
        self, messages: list[CommandPublisherMessage]
    ) -> list[CommandPublisherOutcome]:
        try:
            return await self._publisher.publish(messages)
        except Exception as error:  # it answers with outcomes; told apart from the database's
            raise _PublisherFault(f"{type(error).__name__}: {error}") from error

    def _message(self, command: CommandToMark) -> CommandPublisherMessage:
        return CommandPublisherMessage(
            self._topic.replace("{venId}", command.ven_id), command.payload.encode()
        )

    async def _claim(self, connection: AsyncConnection) -> list[CommandToMark]:
        """At most a batch. A command waits for an earlier one of its event that is on its way."""
        now = await database_now(connection)
        c, earlier = COMMANDS.alias("c"), COMMANDS.alias("earlier")
        in_flight = exists().where(
            earlier.c.event_id == c.c.event_id,
            earlier.c.ven_id == c.c.ven_id,
            earlier.c.id < c.c.id,
            earlier.c.claimed_until > now,
        )
        due = (
            select(c.c.id)
            .where(
                or_(
                    c.c.state == PENDING,
                    and_(c.c.state == PUBLISHED, c.c.attempts < self._settings.attempts),
                ),
                c.c.not_before <= now,
                or_(c.c.claimed_until.is_(None), c.c.claimed_until <= now),
                or_(c.c.expires_at.is_(None), c.c.expires_at > now),
                ~in_flight,
            )
            .order_by(c.c.not_before, c.c.id)
            .limit(min(self._settings.batch, self._publisher.at_once))
            .with_for_update(skip_locked=True, of=c)
        ).cte("due")
        claim = (
            update(COMMANDS)
            .where(COMMANDS.c.id.in_(select(due.c.id)))
            .values(
                claimed_by=self._instance,
                claimed_until=now + timedelta(seconds=self._settings.lease_sec),
            )
            .returning(
                COMMANDS.c.id,
                COMMANDS.c.event_id,
                COMMANDS.c.ven_id,
                COMMANDS.c.op,
                cast(COMMANDS.c.payload, Text),
            )
        )
        rows = (await connection.execute(claim)).all()
        return sorted((CommandToMark(*row) for row in rows), key=lambda command: command.id)

    async def _mark(
        self, connection: AsyncConnection, confirmed: Sequence[Result], failed: Sequence[Result]
    ) -> None:
        now = await database_now(connection)
        if confirmed:
            # Acks that came and are not stored yet are no silence: to ask all again would only make
            # an ingest that is behind fall back further.
            wait_sec = self._settings.ack_timeout_sec + await ingest_lag_sec(connection, now)
            again = now + timedelta(seconds=wait_sec)
            await mark_commands_published(connection, confirmed, again)
        if failed:
            await mark_commands_released(connection, failed, now, self._settings.publish_retry_sec)

    async def give_up(self) -> int:
        """Close what expired, and what nobody answered; those VENs count as not responding."""
        return await in_transaction(self._engine, self._close)

    async def _close(self, connection: AsyncConnection) -> int:
        now = await database_now(connection)
        unclaimed = or_(COMMANDS.c.claimed_until.is_(None), COMMANDS.c.claimed_until <= now)
        expired = and_(COMMANDS.c.expires_at.is_not(None), COMMANDS.c.expires_at <= now)
        unanswered = and_(
            COMMANDS.c.state == PUBLISHED, COMMANDS.c.attempts >= self._settings.attempts
        )
        # Whoever holds a row now, answers or marks it: it is looked at again.
        over = (
            select(COMMANDS.c.id)
            .where(
                COMMANDS.c.state.in_(OPEN),
                COMMANDS.c.not_before <= now,
                unclaimed,
                or_(unanswered, expired),
            )
            .with_for_update(skip_locked=True)
        ).cte("over")
        statement = (
            update(COMMANDS)
            .where(COMMANDS.c.id.in_(select(over.c.id)))
            .values(state=case((unanswered, NOT_RESPONDING), else_=EXPIRED))
            .returning(COMMANDS.c.event_id, COMMANDS.c.ven_id, COMMANDS.c.op)
        )
        rows = (await connection.execute(statement)).all()
        silent = [(row.event_id, row.ven_id) for row in rows if row.op in EVENT_OPS]
        await mark_commands_not_responding(connection, silent)
        return len(rows)

    async def next_due_sec(self) -> float | None:
        """Until there is something to publish, or to give up; None when nothing waits."""
        at = case(
            (COMMANDS.c.claimed_until > COMMANDS.c.not_before, COMMANDS.c.claimed_until),
            else_=COMMANDS.c.not_before,
        )
        statement = select(func.min(at)).where(COMMANDS.c.state.in_(OPEN))
        async with self._engine.connect() as connection:
            due: datetime | None = await connection.scalar(statement)
            now = await database_now(connection)
        return None if due is None else (due - now).total_seconds()


async def enqueue_commands(
    connection: AsyncConnection,
    commands: Iterable[dict[str, Any]],
    now: datetime,
    *,
    created_by: str | None = None,
) -> None:
    """Commands into the outbox, due at once."""
    rows = [
        {
            "correlation_id": command["correlationId"],
            "event_id": command.get("event_id"),
            "ven_id": command["venId"],
            "op": command["op"],
            "payload": command,
            "state": PENDING,
            "attempts": 0,
            "not_before": now,
            "expires_at": datetime.fromtimestamp(command["expires_ts"], now.tzinfo),
            "created_at": now,
            "created_by": created_by,
        }
        for command in commands
    ]
    await bulk_copy_rows(connection, COMMANDS, rows)
