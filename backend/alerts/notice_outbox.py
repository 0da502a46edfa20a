"""The outbox of notices: claimed, sent, marked; sent again, later and later, when it failed.

A claim is a lease by the database's clock: of several instances one sends. Killed between sending
and marking, another sends it again after the lease, under the same id.
"""

from __future__ import annotations

import random
import traceback
import uuid
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Table, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.alerts.notice_channels import TIMEOUT_SEC, NoticeChannelError, NoticeChannels
from backend.config.alert_targets import AlertTarget
from backend.store.alert_tables import AlertNoticeRow
from backend.store.database import database_now
from backend.store.transaction import in_transaction

log = structlog.get_logger(__name__)

NOTICES: Table = AlertNoticeRow.__table__  # type: ignore[assignment]
PENDING_NOTICE, SENT_NOTICE, GIVEN_UP_NOTICE = "pending", "sent", "given_up"
LEASE_SEC = 6 * TIMEOUT_SEC
FIRST_PAUSE_SEC, LONGEST_PAUSE_SEC = 5.0, 900.0
GIVEN_UP_AFTER = timedelta(days=1)


async def put_into_notice_outbox(
    connection: AsyncConnection,
    target: str,
    key: str,
    payload: dict[str, Any],
    now: datetime,
) -> None:
    """Into the outbox, due at once; one of the same target and key is there once."""
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    new = kind(AlertNoticeRow).values(
        target=target,
        key=key,
        message_id=f"msg_{uuid.uuid4().hex}",
        kind=payload["type"],
        payload=payload,
        state=PENDING_NOTICE,
        attempts=0,
        not_before=now,
        created_at=now,
    )
    await connection.execute(new.on_conflict_do_nothing(index_elements=["target", "key"]))


class NoticeOutbox:
    """Sends what is due to `targets`; run any number of them on one database."""

    def __init__(
        self,
        engine: AsyncEngine,
        channels: NoticeChannels,
        targets: tuple[AlertTarget, ...],
        instance: str,
    ) -> None:
        self._engine = engine
        self._channels = channels
        self._targets = {target.name: target for target in targets}
        self._instance = instance

    async def send_due(self) -> int:
        """How many were tried: each by itself, the oldest first."""
        tried = 0
        behind: set[str] = set()
        """Targets that do not answer: the next of theirs would wait as long."""
        while await self._send_one(behind):
            tried += 1
        return tried

    async def _send_one(self, behind: set[str]) -> bool:
        notice = await in_transaction(self._engine, lambda c: self._claim(c, behind))
        if notice is None:
            return False
        error = await self._try(notice)
        if error is not None:
            behind.add(notice.target)
        await in_transaction(self._engine, lambda c: self._mark(c, notice, error))
        return True

    async def _try(self, notice: Any) -> str | None:
        """What went wrong, if anything."""
        target = self._targets[notice.target]
        try:
            await self._channels.send(target, notice.message_id, notice.payload)
        except NoticeChannelError as failure:
            return target.without_secrets(str(failure))
        except Exception as failure:  # noqa: BLE001  a library's own mistake keeps no other notice waiting
            why = target.without_secrets(f"{type(failure).__name__}: {failure}")
            where = "".join(traceback.format_tb(failure.__traceback__))  # without its words
            log.error("a notice could not be sent", target=notice.target, why=why, where=where)
            return why
        return None

    async def _claim(self, connection: AsyncConnection, behind: set[str]) -> Any:
        """One that is due; a target's notices go in their order."""
        if not self._targets:
            return None
        now = await database_now(connection)
        earlier = NOTICES.alias("earlier")
        is_first = ~(
            select(earlier.c.id)
            .where(
                earlier.c.target == NOTICES.c.target,
                earlier.c.id < NOTICES.c.id,
                earlier.c.state == PENDING_NOTICE,
            )
            .exists()
        )
        due = (
            select(NOTICES.c.id)
            .where(
                NOTICES.c.state == PENDING_NOTICE,
                NOTICES.c.not_before <= now,
                or_(NOTICES.c.claimed_until.is_(None), NOTICES.c.claimed_until <= now),
                NOTICES.c.target.in_(set(self._targets) - behind),
                is_first,
            )
            .order_by(NOTICES.c.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=NOTICES)
        )
        claim = (
            update(NOTICES)
            .where(NOTICES.c.id == due.scalar_subquery(), NOTICES.c.state == PENDING_NOTICE)
            .values(
                claimed_by=self._instance,
                claimed_until=now + timedelta(seconds=LEASE_SEC),
                attempts=NOTICES.c.attempts + 1,
            )
            .returning(*NOTICES.c)
        )
        return (await connection.execute(claim)).one_or_none()

    async def _mark(self, connection: AsyncConnection, notice: Any, error: str | None) -> None:
        now = await database_now(connection)
        values: dict[str, Any] = {"claimed_until": None, "error": error and error[:500]}
        if error is None:
            values |= {"state": SENT_NOTICE, "sent_at": now}
        elif now - notice.created_at > GIVEN_UP_AFTER:
            values |= {"state": GIVEN_UP_NOTICE}
            log.error("a notice is given up", target=notice.target, key=notice.key, why=error)
        else:
            pause_sec = min(FIRST_PAUSE_SEC * 2 ** (notice.attempts - 1), LONGEST_PAUSE_SEC)
            pause_sec *= random.uniform(0.8, 1.2)  # not all targets' at one moment
            values |= {"not_before": now + timedelta(seconds=pause_sec)}
            log.warning("a notice was not sent", target=notice.target, why=error)
        is_ours = (NOTICES.c.id == notice.id) & (NOTICES.c.claimed_by == self._instance)
        await connection.execute(update(NOTICES).where(is_ours).values(**values))


async def notice_outbox_failing_targets(
    connection: AsyncConnection, since: datetime
) -> dict[str, str]:
    """By target, why its oldest notice could not be sent since then."""
    rows = await connection.execute(
        select(NOTICES.c.target, func.max(NOTICES.c.error).label("error"))
        .where(NOTICES.c.state == PENDING_NOTICE, NOTICES.c.error.is_not(None))
        .where(NOTICES.c.created_at < since)
        .group_by(NOTICES.c.target)
    )
    return {row.target: row.error for row in rows}
