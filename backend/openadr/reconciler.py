"""Brings what a VTN asks and what the operator's side does into agreement, each time it is read.

An event is compared with what is stored of it, so reading it twice, by two ways or after a restart
changes nothing; what began is changed, not begun again; what the VTN has no longer is ended.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Table, insert, select, update
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.openadr import operator_fleet, operator_side
from backend.openadr.commanded_pieces import ASKS_NOBODY, CommandedPieces, commanded_pieces_of
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.openadr.schedule import SchedulePiece, make_schedule, schedule_vens
from backend.openadr.vtn_event import VtnEvent, VtnEventProblem, vtn_event_span
from backend.openadr.vtn_link import LINKS, VtnLink
from backend.store.database import Database
from backend.store.openadr_tables import OpenAdrEventRow

log = structlog.get_logger(__name__)

EVENTS = cast(Table, OpenAdrEventRow.__table__)
OPEN, OVER, CANCELLED = "open", "over", "cancelled"
OPT_IN, OPT_OUT = "in", "out"
_DOCUMENT: TypeAdapter[VtnEvent] = TypeAdapter(VtnEvent)


_BY_ANOTHER_WAY = VtnEventProblem(
    "known_by_another_vtn", "another VTN told of the same event before: it is carried out once"
)
_ENDED_BY_ANOTHER_WAY = VtnEventProblem(
    "cancelled_by_another_vtn", "another VTN, which has the same event, cancelled it"
)
_LEFT_AFTER = timedelta(minutes=10)
"""Nobody spoke for a link for so long: it is left."""
_SAME_TIME = timedelta(minutes=1)
"""Two VTNs may round the times of one event, and "now" is when each was read."""


@dataclass(frozen=True)
class ReconcilerOutcome:
    """How we answer to an event."""

    event_id: str
    opt: str
    problems: tuple[VtnEventProblem, ...]
    stamp: str = ""
    newly_out: bool = False
    """We opted in, or did not answer yet, and are out now: the VTN is to be told."""


class Reconciler:
    """For one link. Each event is one transaction, which holds the lease."""

    def __init__(self, database: Database, settings: OpenAdrSettings, link: VtnLink) -> None:
        self._database = database
        self._settings = settings
        self._link = link
        self._pieces = CommandedPieces(link.name, limit_per_site=settings.limit_for == "site")

    async def take(self, event: VtnEvent) -> ReconcilerOutcome:
        """Do what the event asks, as it is now. Raises VtnLinkLost, SQLAlchemyError."""
        return await operator_side.in_transaction(
            self._database.engine, lambda connection: self._take(connection, event)
        )

    async def take_each(self, events: Iterable[VtnEvent]) -> list[ReconcilerOutcome]:
        """One that cannot be carried out or stored does not keep the others from it."""
        outcomes: list[ReconcilerOutcome] = []
        for event in events:
            try:
                outcomes.append(await self.take(event))
            except (ArithmeticError, DataError) as error:
                said = type(error).__name__
                log.error("an event of the VTN cannot be taken", event_id=event.id, error=said)
                problem = VtnEventProblem("event_not_possible", f"{said}: it cannot be stored")
                await operator_side.in_transaction(
                    self._database.engine, partial(self._alert, event=event, problems=[problem])
                )
        return outcomes

    async def end(self, event_id: str) -> None:
        """The VTN has it no longer."""
        await operator_side.in_transaction(
            self._database.engine, partial(self._end, event_id=event_id)
        )

    async def carry_on(self) -> list[ReconcilerOutcome]:
        """Without the VTN: pieces that come due of what it asked last, and what is over."""
        return await self.take_each(await self.open_events())

    async def open_ids(self) -> list[str]:
        statement = select(EVENTS.c.id).where(
            EVENTS.c.link == self._link.name, EVENTS.c.status == OPEN
        )
        async with self._database.engine.connect() as connection:
            return list(await connection.scalars(statement))

    async def open_events(self) -> list[VtnEvent]:
        statement = select(EVENTS).where(EVENTS.c.link == self._link.name, EVENTS.c.status == OPEN)
        async with self._database.engine.connect() as connection:
            return [reconciler_document(row) for row in await connection.execute(statement)]

    # --- one event -----------------------------------------------------------------------------

    async def _take(self, connection: AsyncConnection, event: VtnEvent) -> ReconcilerOutcome:
        now = await self._link.hold(connection)
        row = await self._row(connection, event.id)
        if row is None and event.cancelled:
            await self._end_other_way(connection, event, now)
            return ReconcilerOutcome(event.id, OPT_OUT, ())
        if row is None:
            row = await self._insert(connection, event, now)
            log.info("event of the VTN", event_id=event.id, stamp=event.stamp, name=event.name)
        elif _is_older(event.stamp, row.stamp) or (row.status != OPEN and row.stamp == event.stamp):
            stored = tuple(VtnEventProblem(**problem) for problem in row.problems)
            return ReconcilerOutcome(event.id, row.opt, stored, row.stamp)
        was_out = row.opt == OPT_OUT
        is_new = row.stamp != event.stamp
        vens = schedule_vens(
            event.targets,
            ven_name=self._settings.ven_name,
            resources=self._settings.resources or None,
            known_vens=await operator_fleet.operator_known_vens(connection),
        )
        delay = timedelta(seconds=row.delay_sec)
        problems = list(event.problems)
        pieces: tuple[SchedulePiece, ...] = ()
        other = None if event.cancelled else await self._other_way(connection, event, row)
        if other is not None and not await self._is_spoken_for(connection, other.link, now):
            await self._take_over(connection, other)
            other = None
        is_ended = not is_new and _has_problem(row, _ENDED_BY_ANOTHER_WAY)
        if other is not None or is_ended:
            problems, vens = [_ENDED_BY_ANOTHER_WAY if other is None else _BY_ANOTHER_WAY], None
        elif isinstance(vens, VtnEventProblem):
            problems.append(vens)
            vens = None
        else:
            plan = make_schedule(
                event,
                now=now,
                now_means=row.first_seen_at,
                delay=delay,
                levels=self._settings.levels,
                available_kw=await operator_fleet.operator_available_kw(
                    connection,
                    vens,
                    [piece.event_id for piece in await self._pieces.stored(connection, event.id)],
                ),
            )
            pieces, problems = plan.pieces, list(plan.problems)
        problems += await self._pieces.bring_about(
            connection, event, pieces, vens, now, is_new=is_new
        )
        if event.cancelled:
            await self._end_other_way(connection, event, now, row)
        if not is_new and other is None:
            problems += _kept_problems(row.problems, problems)
        status = _status_of(event, now, row.first_seen_at, delay)
        stopped = await self._pieces.stopped(connection, event.id, now)
        if stopped is not None and stopped not in problems:
            problems.append(stopped)
        is_out = stopped or (problems and not await self._pieces.stored(connection, event.id))
        is_out = is_out or is_ended or ASKS_NOBODY in problems
        if other is not None:
            is_out = other.opt == OPT_OUT
        opt = OPT_OUT if is_out else OPT_IN
        await self._alert(connection, event, problems)
        values: dict[str, Any] = {"status": status, "opt": opt}
        values["problems"] = [asdict(problem) for problem in problems]
        if is_new:
            values |= {"stamp": event.stamp, "changed_at": now, **_columns(event)}
            log.info("the VTN changed an event", event_id=event.id, stamp=event.stamp)
        if any(getattr(row, name) != value for name, value in values.items()):
            await connection.execute(update(EVENTS).where(*self._is(event.id)).values(**values))
        newly_out = opt == OPT_OUT and not was_out and not event.cancelled
        return ReconcilerOutcome(event.id, opt, tuple(problems), event.stamp, newly_out)

    async def _other_way(
        self, connection: AsyncConnection, event: VtnEvent, row: Any, now: datetime | None = None
    ) -> Any:
        """The same event as another VTN of the utility (2.0b beside 3.x) told of it before: it is
        carried out as that one has it. None when there is none. Without a row we see it `now`."""
        was_known = row is not None and _has_problem(row, _BY_ANOTHER_WAY)
        seen_at = now if row is None else row.first_seen_at
        statement = select(EVENTS).where(EVENTS.c.id == event.id, EVENTS.c.link != self._link.name)
        for other in await connection.execute(statement.order_by(EVENTS.c.first_seen_at)):
            if (other.first_seen_at, other.link) > (seen_at, self._link.name):
                continue
            if was_known or (other.status == OPEN and _is_at_the_same_time(event, seen_at, other)):
                return other
        return None

    async def _is_spoken_for(self, connection: AsyncConnection, link: str, now: datetime) -> bool:
        """A process speaks for that link, or did until a moment ago."""
        found = select(LINKS.c.lease_until, LINKS.c.last_contact_at).where(LINKS.c.link == link)
        row = (await connection.execute(found)).one_or_none()
        if row is None:
            return False
        return any(at is not None and at >= now - _LEFT_AFTER for at in row)

    async def _take_over(self, connection: AsyncConnection, other: Any) -> None:
        """What a link did for which nobody speaks any more, as after a change of the settings: it
        is changed and ended as this VTN says."""
        log.info("an event is taken over from a link that is left", event_id=other.id)
        await self._pieces.take_over(connection, other.id, other.link)
        await connection.execute(
            update(EVENTS)
            .where(EVENTS.c.link == other.link, EVENTS.c.id == other.id)
            .values(status=OVER)
        )

    async def _end_other_way(
        self, connection: AsyncConnection, event: VtnEvent, now: datetime, row: Any = None
    ) -> None:
        """This VTN cancels what is carried out as another one has it: nothing of it runs on. The
        process that speaks to that one answers there at its next turn; a later modification there
        asks for it anew."""
        other = await self._other_way(connection, event, row, now)
        if other is None or other.status != OPEN or _has_problem(other, _ENDED_BY_ANOTHER_WAY):
            return
        for piece in await commanded_pieces_of(connection, other.link, event.id):
            if piece.end_time > now:
                await operator_side.cancel_operator_event(connection, piece.event_id)
        problems = [*other.problems, asdict(_ENDED_BY_ANOTHER_WAY)]
        await connection.execute(
            update(EVENTS)
            .where(EVENTS.c.link == other.link, EVENTS.c.id == other.id)
            .values(problems=problems)
        )
        log.info("an event that another VTN has too is cancelled", event_id=event.id)

    async def _row(self, connection: AsyncConnection, event_id: str) -> Any:
        statement = select(EVENTS).where(*self._is(event_id)).with_for_update()
        return (await connection.execute(statement)).one_or_none()

    def _is(self, event_id: str) -> tuple[Any, ...]:
        return EVENTS.c.link == self._link.name, EVENTS.c.id == event_id

    async def _insert(self, connection: AsyncConnection, event: VtnEvent, now: datetime) -> Any:
        delay_sec = random.uniform(0.0, event.randomize_start.total_seconds())
        statement = insert(EVENTS).values(
            link=self._link.name,
            id=event.id,
            stamp=event.stamp,
            status=OPEN,
            opt=OPT_IN,
            problems=[],
            delay_sec=round(delay_sec, 3),
            first_seen_at=now,
            changed_at=now,
            **_columns(event),
        )
        return (await connection.execute(statement.returning(*EVENTS.c))).one()

    async def _alert(
        self, connection: AsyncConnection, event: VtnEvent, problems: Sequence[VtnEventProblem]
    ) -> None:
        for problem in problems:
            if problem.code in ("not_for_this_ven", _BY_ANOTHER_WAY.code):
                continue
            await operator_side.raise_operator_alert(
                connection,
                code=f"openadr_{problem.code}",
                text=problem.text,
                subject=f"{self._link.name}/{event.id}",
                context={"eventId": event.id, "programId": event.program_id},
            )

    async def _end(self, connection: AsyncConnection, *, event_id: str) -> None:
        now = await self._link.hold(connection)
        row = await self._row(connection, event_id)
        if row is None or row.status != OPEN:
            return
        event = reconciler_document(row)
        # A VTN may forget an event that is over at the moment of its end.
        delay = timedelta(seconds=row.delay_sec)
        status = _status_of(event, now, row.first_seen_at, delay)
        status = CANCELLED if status == OPEN else status
        await self._pieces.end(connection, event_id, now)
        if status == CANCELLED:
            await self._end_other_way(connection, event, now, row)
        await connection.execute(update(EVENTS).where(*self._is(event_id)).values(status=status))
        log.info("the VTN has no longer this event", event_id=event_id, status=status)


def reconciler_document(row: Any) -> VtnEvent:
    """The event as it was understood when it was stored."""
    return _DOCUMENT.validate_python(row.document)


def _columns(event: VtnEvent) -> dict[str, Any]:
    return {
        "program_id": event.program_id,
        "name": event.name,
        "priority": event.priority,
        "document": _DOCUMENT.dump_python(event, mode="json"),
    }


def _kept_problems(
    stored: Iterable[dict[str, str]], problems: Sequence[VtnEventProblem]
) -> list[VtnEventProblem]:
    """Those known that the plan of what is left no longer meets: they were answered, and stay."""
    known = (VtnEventProblem(**problem) for problem in stored)
    passing = (ASKS_NOBODY, _BY_ANOTHER_WAY)
    return [problem for problem in known if problem not in (*problems, *passing)]


def _is_older(stamp: str, known: str) -> bool:
    """2.0b numbers modifications: one that was overtaken on its way changes nothing."""
    return stamp.isdigit() and known.isdigit() and int(stamp) < int(known)


def _has_problem(row: Any, problem: VtnEventProblem) -> bool:
    return any(each["code"] == problem.code for each in row.problems)


def _is_at_the_same_time(event: VtnEvent, seen_at: datetime | None, other: Any) -> bool:
    """As the utility published them, whatever start each drew."""
    spans = [
        vtn_event_span(each, now_means=means, delay=timedelta(0))
        for each, means in (
            (event, seen_at or other.first_seen_at),
            (reconciler_document(other), other.first_seen_at),
        )
    ]
    if spans[0] is None or spans[1] is None:
        return False
    for one, two in zip(*spans, strict=True):
        if (one is None) != (two is None):
            return False
        if one is not None and two is not None and abs(one - two) > _SAME_TIME:
            return False
    return True


def _status_of(event: VtnEvent, now: datetime, now_means: datetime, delay: timedelta) -> str:
    if event.cancelled:
        return CANCELLED
    whole = vtn_event_span(event, now_means=now_means, delay=delay)
    return OVER if whole is not None and whole[1] is not None and whole[1] <= now else OPEN
