"""The outbox of commands: claimed, published, confirmed, marked; asked again without an ack.

A claim is a lease in the row (`claimed_until`). A dispatcher that is killed between publishing and
marking leaves it to run out; another then publishes the same row, which is the same command: the
same correlationId, which a VEN obeys once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.dispatch.publisher import Message, Outcome, Publisher
from backend.dispatch.settings import DispatchSettings
from backend.dispatch.tables import (
    ASSIGNED,
    COMMANDED,
    COMMANDS,
    EXPIRED,
    NOT_RESPONDING,
    PARTICIPANTS,
    PENDING,
    PUBLISHED,
    SHED_OPS,
)
from backend.dispatch.transaction import in_transaction
from backend.store.base import utc_now

OPEN = (PENDING, PUBLISHED)


@dataclass(frozen=True)
class Claimed:
    """A command that this instance, and no other, publishes now."""

    id: int
    event_id: str | None
    ven_id: str
    op: str
    payload: dict[str, Any]


class Outbox:
    def __init__(
        self,
        engine: AsyncEngine,
        publisher: Publisher,
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

    async def publish_due(self) -> tuple[int, int]:
        """Publish one batch of what is due: (confirmed, failed). (0, 0) when nothing is."""
        claimed = await self._claim()
        if not claimed:
            return 0, 0
        messages = [self._message(command) for command in claimed]
        outcomes = await self._publisher.publish(messages)
        results = list(zip(claimed, outcomes, strict=True))
        confirmed = [(command, done) for command, done in results if done.error is None]
        failed = [(command, done) for command, done in results if done.error is not None]

        async def mark(connection: AsyncConnection) -> None:
            if confirmed:
                await self._mark_published(connection, confirmed)
            if failed:
                await self._release(connection, failed)

        await in_transaction(self._engine, mark)
        return len(confirmed), len(failed)

    def _message(self, command: Claimed) -> Message:
        payload = json.dumps(command.payload, separators=(",", ":"), allow_nan=False)
        return Message(self._topic.replace("{venId}", command.ven_id), payload.encode())

    async def _claim(self) -> list[Claimed]:
        """At most a batch. A command waits for an earlier one of its event that is on its way."""
        now = utc_now()
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
            .limit(self._settings.batch)
            .with_for_update(skip_locked=True, of=c)
        ).cte("due")
        statement = (
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
                COMMANDS.c.payload,
            )
        )

        async def take(connection: AsyncConnection) -> list[Any]:
            return list((await connection.execute(statement)).all())

        rows = await in_transaction(self._engine, take)
        return sorted((Claimed(*row) for row in rows), key=lambda command: command.id)

    async def _mark_published(
        self, connection: AsyncConnection, confirmed: Sequence[tuple[Claimed, Outcome]]
    ) -> None:
        """An ack may have been faster than this: what it wrote stays."""
        ack_timeout = timedelta(seconds=self._settings.ack_timeout_sec)
        statement = (
            update(COMMANDS)
            .where(COMMANDS.c.id == bindparam("command"))
            .values(
                published_at=func.coalesce(COMMANDS.c.published_at, bindparam("at")),
                attempts=COMMANDS.c.attempts + 1,
                state=case((COMMANDS.c.state == PENDING, PUBLISHED), else_=COMMANDS.c.state),
                not_before=bindparam("ask_again"),
                claimed_by=None,
                claimed_until=None,
                error=None,
            )
        )
        await connection.execute(
            statement,
            [
                {"command": command.id, "at": done.sent_at, "ask_again": utc_now() + ack_timeout}
                for command, done in confirmed
            ],
        )
        told = [
            {"event": command.event_id, "ven": command.ven_id, "at": done.sent_at}
            for command, done in confirmed
            if command.op in SHED_OPS and command.event_id is not None
        ]
        if told:
            await connection.execute(_TOLD, told)
            await _correct_response_times(connection, confirmed)

    async def _release(
        self, connection: AsyncConnection, failed: Sequence[tuple[Claimed, Outcome]]
    ) -> None:
        again = utc_now() + timedelta(seconds=self._settings.publish_retry_sec)
        statement = (
            update(COMMANDS)
            .where(COMMANDS.c.id == bindparam("command"))
            .values(error=bindparam("why"), not_before=again, claimed_by=None, claimed_until=None)
        )
        rows = [
            {"command": command.id, "why": (done.error or "")[:500]} for command, done in failed
        ]
        await connection.execute(statement, rows)

    async def give_up(self) -> int:
        """Close what expired, and what nobody answered; those VENs count as not responding."""
        now = utc_now()
        unclaimed = or_(COMMANDS.c.claimed_until.is_(None), COMMANDS.c.claimed_until <= now)
        expired = and_(COMMANDS.c.expires_at.is_not(None), COMMANDS.c.expires_at <= now)
        unanswered = and_(
            COMMANDS.c.state == PUBLISHED, COMMANDS.c.attempts >= self._settings.attempts
        )
        statement = (
            update(COMMANDS)
            .where(
                COMMANDS.c.state.in_(OPEN),
                COMMANDS.c.not_before <= now,
                unclaimed,
                or_(unanswered, expired),
            )
            .values(state=case((unanswered, NOT_RESPONDING), else_=EXPIRED))
            .returning(COMMANDS.c.event_id, COMMANDS.c.ven_id, COMMANDS.c.op)
        )

        async def close(connection: AsyncConnection) -> int:
            rows = (await connection.execute(statement)).all()
            silent = [
                {"event": row.event_id, "ven": row.ven_id} for row in rows if row.op in SHED_OPS
            ]
            if silent:
                await connection.execute(_SILENT, silent)
            return len(rows)

        return await in_transaction(self._engine, close)

    async def next_due(self) -> datetime | None:
        """When there is something to publish, or to give up; None when nothing waits."""
        waiting = COMMANDS.c.state.in_(OPEN)
        at = case(
            (COMMANDS.c.claimed_until > COMMANDS.c.not_before, COMMANDS.c.claimed_until),
            else_=COMMANDS.c.not_before,
        )
        statement = select(at).where(waiting).order_by(COMMANDS.c.not_before).limit(1)
        async with self._engine.connect() as connection:
            due: datetime | None = await connection.scalar(statement)
        return due


def _is_one_of(*statuses: str) -> ColumnElement[bool]:
    """As alternatives: a list cannot be bound for many rows at once."""
    return or_(*(PARTICIPANTS.c.status == status for status in statuses))


_TOLD = (
    update(PARTICIPANTS)
    .where(PARTICIPANTS.c.event_id == bindparam("event"), PARTICIPANTS.c.ven_id == bindparam("ven"))
    .values(
        commanded_at=func.coalesce(PARTICIPANTS.c.commanded_at, bindparam("at")),
        status=case(
            (_is_one_of(ASSIGNED, NOT_RESPONDING), COMMANDED),
            else_=PARTICIPANTS.c.status,
        ),
    )
)
_SILENT = (
    update(PARTICIPANTS)
    .where(
        PARTICIPANTS.c.event_id == bindparam("event"),
        PARTICIPANTS.c.ven_id == bindparam("ven"),
        _is_one_of(ASSIGNED, COMMANDED),
    )
    .values(status=NOT_RESPONDING)
)


async def _correct_response_times(
    connection: AsyncConnection, confirmed: Sequence[tuple[Claimed, Outcome]]
) -> None:
    """Acks that came before their command was marked had no moment to count from."""
    events = {command.event_id for command, _ in confirmed}
    rows = await connection.execute(
        select(
            PARTICIPANTS.c.event_id,
            PARTICIPANTS.c.ven_id,
            PARTICIPANTS.c.first_ack_at,
            PARTICIPANTS.c.commanded_at,
        ).where(
            PARTICIPANTS.c.event_id.in_(events),
            PARTICIPANTS.c.ven_id.in_([command.ven_id for command, _ in confirmed]),
            PARTICIPANTS.c.first_ack_at.is_not(None),
            PARTICIPANTS.c.commanded_at.is_not(None),
            PARTICIPANTS.c.response_ms.is_(None),
        )
    )
    late = [
        {
            "event": row.event_id,
            "ven": row.ven_id,
            "ms": max((row.first_ack_at - row.commanded_at).total_seconds() * 1000, 0.0),
        }
        for row in rows
    ]
    if late:
        await connection.execute(
            update(PARTICIPANTS)
            .where(
                PARTICIPANTS.c.event_id == bindparam("event"),
                PARTICIPANTS.c.ven_id == bindparam("ven"),
            )
            .values(response_ms=bindparam("ms")),
            late,
        )
