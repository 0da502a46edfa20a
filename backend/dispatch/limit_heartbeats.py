"""Signs of life for limits with a failsafe: a `ping` to each site, three in the time it waits.

They are published as they are, not through the outbox: one that is lost is made up for by the next,
and ten thousand rows a minute would serve nobody. An event's next round is claimed in its row, so
two dispatchers do not both send it; after a kill another sends the following one, in time.

Nothing is sent for an event that is over or withdrawn, nor while no dispatcher runs or the broker
is away: the sites then go to their failsafe limit, which is what they are asked to do.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch import dispatch_metrics
from backend.dispatch.command_publisher import CommandPublisher, CommandPublisherMessage
from backend.store.command_tables import HEARTBEAT_CORRELATION_PREFIX
from backend.store.database import database_now
from backend.store.statuses import ACTIVE, CONCLUDED, OFFLINE
from backend.store.tables import EVENTS, PARTICIPANTS, VENS, StoredEvent
from backend.store.transaction import in_transaction
from VenAgent.contract.command_builder import build_command
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.op import Op

log = structlog.get_logger(__name__)

HEARTBEATS_IN_TIME = 3
"""So many are sent in `heartbeat_sec`: two may be lost."""


class LimitHeartbeats:
    """What one dispatcher does for the heartbeats of all limits."""

    def __init__(
        self,
        engine: AsyncEngine,
        publisher: CommandPublisher,
        settings: DispatchSettings,
        *,
        topic: str,
    ) -> None:
        """`topic` is the commands' topic with `{venId}` in it."""
        self._engine = engine
        self._publisher = publisher
        self._settings = settings
        self._topic = topic

    async def send_due_heartbeats(self) -> int:
        """One round of each limit that is due; how many the broker has."""
        confirmed = 0
        while (event := await in_transaction(self._engine, self._claim)) is not None:
            ven_ids, now = await in_transaction(self._engine, partial(self._ven_ids, event))
            sent = await self._send(event, ven_ids, now)
            confirmed += sent
            if sent < len(ven_ids):
                await in_transaction(self._engine, partial(self._again, event))
        return confirmed

    async def next_due_sec(self) -> float | None:
        """Until a limit's next round; None when there is no limit with heartbeats."""
        statement = select(func.min(func.coalesce(EVENTS.c.heartbeat_due, EVENTS.c.start_time)))
        async with self._engine.connect() as connection:
            due: datetime | None = await connection.scalar(statement.where(_has_heartbeats()))
            now = await database_now(connection)
        return None if due is None else (due - now).total_seconds()

    async def _claim(self, connection: AsyncConnection) -> StoredEvent | None:
        """The next limit that is due; its row says when it is the next time."""
        now = await database_now(connection)
        is_due = or_(EVENTS.c.heartbeat_due.is_(None), EVENTS.c.heartbeat_due <= now)
        found: StoredEvent | None = (
            await connection.execute(
                select(EVENTS)
                .where(_has_heartbeats(), EVENTS.c.end_time > now, is_due)
                .order_by(EVENTS.c.heartbeat_due)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
        ).one_or_none()
        if found is None:
            return None
        following = now + timedelta(seconds=found.heartbeat_sec / HEARTBEATS_IN_TIME)
        claimed = await connection.execute(
            update(EVENTS)
            .where(EVENTS.c.id == found.id, EVENTS.c.status == ACTIVE, is_due)
            .values(heartbeat_due=following)
        )
        return found if claimed.rowcount else None

    async def _ven_ids(
        self, event: StoredEvent, connection: AsyncConnection
    ) -> tuple[Sequence[str], datetime]:
        """Those that keep it. One that is offline hears nothing: its broker would only pile up."""
        found = await connection.scalars(
            select(PARTICIPANTS.c.ven_id)
            .join(VENS, VENS.c.id == PARTICIPANTS.c.ven_id)
            .where(
                PARTICIPANTS.c.event_id == event.id,
                PARTICIPANTS.c.status.not_in(CONCLUDED),
                VENS.c.status != OFFLINE,
            )
            .order_by(PARTICIPANTS.c.ven_id)
        )
        return found.all(), await database_now(connection)

    async def _send(self, event: StoredEvent, ven_ids: Sequence[str], now: datetime) -> int:
        confirmed = 0
        for at in range(0, len(ven_ids), self._publisher.at_once):
            some = ven_ids[at : at + self._publisher.at_once]
            outcomes = await self._publisher.publish(
                [self._message(event, ven_id, now) for ven_id in some]
            )
            confirmed += sum(outcome.error is None for outcome in outcomes)
        dispatch_metrics.HEARTBEATS.labels("published").inc(confirmed)
        dispatch_metrics.HEARTBEATS.labels("failed").inc(len(ven_ids) - confirmed)
        if confirmed < len(ven_ids):
            log.warning(
                "heartbeats not published",
                event_id=event.id,
                count=len(ven_ids) - confirmed,
                why=self._publisher.problem(),
            )
        return confirmed

    def _message(self, event: StoredEvent, ven_id: str, now: datetime) -> CommandPublisherMessage:
        ping = build_command(
            Op.PING,
            ven_id=ven_id,
            correlation_id=f"{HEARTBEAT_CORRELATION_PREFIX}{secrets.token_hex(8)}",
            issued_ts=now.timestamp(),
            # An older one is no sign of life any more.
            expires_ts=now.timestamp() + event.heartbeat_sec,
        )
        return CommandPublisherMessage(self._topic.replace("{venId}", ven_id), encode_json(ping))

    async def _again(self, event: StoredEvent, connection: AsyncConnection) -> None:
        """The broker does not have all of them: the round is made again shortly."""
        again = await database_now(connection) + timedelta(seconds=self._settings.publish_retry_sec)
        await connection.execute(
            update(EVENTS)
            .where(EVENTS.c.id == event.id, EVENTS.c.heartbeat_due > again)
            .values(heartbeat_due=again)
        )


def _has_heartbeats() -> ColumnElement[bool]:
    return (EVENTS.c.status == ACTIVE) & EVENTS.c.heartbeat_sec.is_not(None) & ~EVENTS.c.dry_run
