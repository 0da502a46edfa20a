"""What the rows say after a command was handed to the broker, or was not.

An ack may be faster than the marking: what it wrote stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Double, Text, and_, case, cast, func, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.command_publisher import CommandPublisherOutcome
from backend.store.bulk_update import Given, bulk_update_rows
from backend.store.statuses import ASSIGNED, COMMANDED, NOT_RESPONDING, PENDING, PUBLISHED
from backend.store.tables import COMMANDS, PARTICIPANTS
from backend.store.utc_time import UtcDateTime
from VenAgent.contract.op import EVENT_OPS

LOCK_ORDER = ("correlation_id",)
"""In which commands are locked: the ingest's, when it stores acks."""


@dataclass(frozen=True)
class CommandToMark:
    """A command that this instance, and no other, publishes now."""

    id: int
    event_id: str | None
    ven_id: str
    op: str
    payload: str
    """JSON."""


Result = tuple[CommandToMark, CommandPublisherOutcome]


async def mark_commands_published(
    connection: AsyncConnection, confirmed: Sequence[Result], ask_again: datetime
) -> None:
    """The broker has them; without an ack they are due again at `ask_again`."""

    def of_command(given: Given) -> dict[str, Any]:
        return {
            "published_at": func.coalesce(COMMANDS.c.published_at, given("at")),
            "attempts": COMMANDS.c.attempts + 1,
            "state": case((COMMANDS.c.state == PENDING, PUBLISHED), else_=COMMANDS.c.state),
            "not_before": ask_again,
            "claimed_by": None,
            "claimed_until": None,
            "error": None,
        }

    await bulk_update_rows(
        connection,
        COMMANDS,
        ("id",),
        [{"id": command.id, "at": done.sent_at} for command, done in confirmed],
        of_command,
        also={"at": UtcDateTime()},
        lock_order=LOCK_ORDER,
    )
    dialect = connection.dialect.name
    await bulk_update_rows(
        connection,
        PARTICIPANTS,
        ("event_id", "ven_id"),
        [
            {"event_id": command.event_id, "ven_id": command.ven_id, "at": done.sent_at}
            for command, done in sorted(confirmed, key=lambda one: _participant(one[0]))
            if command.op in EVENT_OPS and command.event_id is not None
        ],
        lambda given: _told(given("at"), dialect),
        also={"at": UtcDateTime()},
    )


def _participant(command: CommandToMark) -> tuple[str, str]:
    return (command.event_id or "", command.ven_id)


def _told(at: ColumnElement[datetime], dialect: str) -> dict[str, Any]:
    part = PARTICIPANTS.c
    told_at = func.coalesce(part.commanded_at, at)
    waited = and_(part.first_ack_at.is_not(None), part.response_ms.is_(None))
    return {
        "commanded_at": told_at,
        "status": case(
            (or_(part.status == ASSIGNED, part.status == NOT_RESPONDING), COMMANDED),
            else_=part.status,
        ),
        # An ack that came before this had no moment to count from.
        "response_ms": case(
            (waited, _milliseconds(part.first_ack_at, told_at, dialect)), else_=part.response_ms
        ),
    }


def _milliseconds(later: Any, earlier: Any, dialect: str) -> ColumnElement[float]:
    """Between two moments, never negative."""
    if dialect == "postgresql":
        passed = func.extract("epoch", later - earlier) * 1000.0
        return cast(func.greatest(passed, 0.0), Double)
    return func.max((func.julianday(later) - func.julianday(earlier)) * 86_400_000.0, 0.0)


async def mark_commands_released(
    connection: AsyncConnection, failed: Sequence[Result], now: datetime, retry_sec: float
) -> None:
    """The broker does not have them: due again shortly."""
    again = now + timedelta(seconds=retry_sec)

    def of_command(given: Given) -> dict[str, Any]:
        return {
            "error": given("why"),
            "not_before": again,
            "claimed_by": None,
            "claimed_until": None,
        }

    await bulk_update_rows(
        connection,
        COMMANDS,
        ("id",),
        [{"id": command.id, "why": (done.error or "")[:500]} for command, done in failed],
        of_command,
        also={"why": Text()},
        lock_order=LOCK_ORDER,
    )


async def mark_commands_not_responding(
    connection: AsyncConnection, asked: Sequence[tuple[str, str]]
) -> None:
    """Participants, by event and VEN, that were asked in vain."""
    part = PARTICIPANTS.c
    waits = or_(part.status == ASSIGNED, part.status == COMMANDED)
    await bulk_update_rows(
        connection,
        PARTICIPANTS,
        ("event_id", "ven_id"),
        [{"event_id": event_id, "ven_id": ven_id} for event_id, ven_id in sorted(asked)],
        lambda _given: {"status": case((waits, NOT_RESPONDING), else_=part.status)},
    )
