"""What agents are (version, health, certificate), asked without a person's asking: when a site is
new, when it came back, and once a day. By `get` of their status; their acks are read by the ingest.
"""

from __future__ import annotations

import secrets
import time
from datetime import timedelta

from sqlalchemy import Table, and_, or_, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.dispatch.command_outbox import enqueue_commands
from backend.store.database import database_now
from backend.store.fleet_tables import VenAgentRow
from backend.store.statuses import ONLINE
from backend.store.tables import VENS
from backend.store.transaction import in_transaction
from VenAgent.contract.command_builder import build_get_command

ROUND_SEC = 60.0
ASKED_AT_ONCE = 200
"""A fleet is asked little by little: 10,000 sites in 50 minutes."""
KNOWN_FOR = timedelta(seconds=60)
"""A site that has only just appeared is left to settle."""
NOT_SOONER = timedelta(hours=1)
"""One that comes and goes all the time is not asked each time."""
VALID = timedelta(minutes=5)
_AGENTS: Table = VenAgentRow.__table__  # type: ignore[assignment]


class AgentSurvey:
    """One dispatcher's part in it; several do not ask a site twice."""

    def __init__(self, engine: AsyncEngine, every_sec: float) -> None:
        self._engine = engine
        self._every = timedelta(seconds=every_sec)
        self._next = time.monotonic()

    async def ask_due_agents(self) -> int:
        """Ask some whose time has come, at most one round a minute; how many."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + ROUND_SEC
        return await in_transaction(self._engine, self._ask)

    async def next_due_sec(self) -> float | None:
        return self._next - time.monotonic()

    async def _ask(self, connection: AsyncConnection) -> int:
        now = await database_now(connection)
        asked_at = _AGENTS.c.asked_at
        is_due = or_(
            asked_at.is_(None),
            asked_at <= now - self._every,
            and_(VENS.c.status_since > asked_at, asked_at <= now - NOT_SOONER),
        )
        found = await connection.scalars(
            select(VENS.c.id)
            .select_from(VENS.outerjoin(_AGENTS, _AGENTS.c.ven_id == VENS.c.id))
            .where(VENS.c.status == ONLINE, VENS.c.created_at <= now - KNOWN_FOR, is_due)
            .order_by(asked_at.asc().nulls_first(), VENS.c.id)
            .limit(ASKED_AT_ONCE)
        )
        rows = [{"ven_id": ven_id, "asked_at": now} for ven_id in sorted(found)]
        if not rows:
            return 0
        kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
        new = kind(_AGENTS)
        # Another dispatcher may have asked some of them meanwhile.
        claim = new.on_conflict_do_update(
            index_elements=["ven_id"],
            set_={"asked_at": new.excluded.asked_at},
            where=or_(asked_at.is_(None), asked_at <= now - min(self._every, NOT_SOONER)),
        ).returning(_AGENTS.c.ven_id)
        claimed = sorted(await connection.scalars(claim, rows))
        commands = [
            build_get_command(
                ven_id=ven_id,
                correlation_id=f"get-{secrets.token_hex(8)}",
                what="status",
                issued_ts=now.timestamp(),
                expires_ts=(now + VALID).timestamp(),
            )
            for ven_id in claimed
        ]
        await enqueue_commands(connection, commands, now)
        return len(commands)
