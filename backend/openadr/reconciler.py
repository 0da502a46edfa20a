"""Brings what a VTN asks and what the operator's side does into agreement, each time it is read.

An event is compared with what is stored of it, so reading it twice, by two ways or after a restart
changes nothing; what began is changed, not begun again; what the VTN has no longer is ended.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.openadr import operator_side
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.openadr.schedule import SchedulePiece, make_schedule, schedule_vens
from backend.openadr.vtn_event import VtnEvent, VtnEventProblem, vtn_event_span
from backend.openadr.vtn_link import VtnLink
from backend.store.database import Database
from backend.store.openadr_tables import OpenAdrEventRow, OpenAdrPieceRow

log = structlog.get_logger(__name__)

EVENTS = cast(Table, OpenAdrEventRow.__table__)
PIECES = cast(Table, OpenAdrPieceRow.__table__)
OPEN, OVER, CANCELLED = "open", "over", "cancelled"
OPT_IN, OPT_OUT = "in", "out"
_SAME_KW = 0.05
"""A share of what can be shed that changed by less than this fraction is left as it is."""
_DOCUMENT: TypeAdapter[VtnEvent] = TypeAdapter(VtnEvent)


_BY_ANOTHER_WAY = VtnEventProblem(
    "known_by_another_vtn", "another VTN told of the same event before: it is carried out once"
)
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
            known_vens=await operator_side.operator_known_vens(connection),
        )
        delay = timedelta(seconds=row.delay_sec)
        problems = list(event.problems)
        pieces: tuple[SchedulePiece, ...] = ()
        other = None if event.cancelled else await self._other_way(connection, event, row)
        if other is not None:
            problems = [_BY_ANOTHER_WAY]
            await self._end_pieces(connection, event.id, set(), now)
        elif isinstance(vens, VtnEventProblem):
            problems.append(vens)
        else:
            plan = make_schedule(
                event,
                now=now,
                now_means=row.first_seen_at,
                delay=delay,
                levels=self._settings.levels,
                available_kw=await operator_side.operator_available_kw(connection, vens),
            )
            pieces, problems = plan.pieces, list(plan.problems)
            problems += await self._bring_about(connection, event, pieces, vens, now, is_new=is_new)
        if event.cancelled:
            await self._end_pieces(connection, event.id, set(), now)
        if not is_new and other is None:
            problems += _kept_problems(row.problems, problems)
        status = _status_of(event, now, row.first_seen_at, delay)
        stopped = await self._stopped(connection, event, now)
        if stopped is not None and stopped not in problems:
            problems.append(stopped)
        is_out = stopped or (problems and not await self._pieces(connection, event.id))
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

    async def _other_way(self, connection: AsyncConnection, event: VtnEvent, row: Any) -> Any:
        """The same event as another VTN of the utility (2.0b beside 3.x) told of it before: it is
        carried out as that one has it. None when there is none."""
        was_known = any(each["code"] == _BY_ANOTHER_WAY.code for each in row.problems)
        statement = select(EVENTS).where(EVENTS.c.id == event.id, EVENTS.c.link != self._link.name)
        for other in await connection.execute(statement.order_by(EVENTS.c.first_seen_at)):
            if (other.first_seen_at, other.link) > (row.first_seen_at, self._link.name):
                continue
            if was_known or (other.status == OPEN and _is_at_the_same_time(event, row, other)):
                return other
        return None

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
        await self._end_pieces(connection, event_id, set(), now)
        await connection.execute(update(EVENTS).where(*self._is(event_id)).values(status=status))
        log.info("the VTN has no longer this event", event_id=event_id, status=status)

    # --- its pieces ----------------------------------------------------------------------------

    async def _bring_about(
        self,
        connection: AsyncConnection,
        event: VtnEvent,
        pieces: Sequence[SchedulePiece],
        ven_ids: Sequence[str] | None,
        now: datetime,
        *,
        is_new: bool,
    ) -> list[VtnEventProblem]:
        """Make, change and end events of the operator's side, until they are these pieces."""
        rows = {row.piece: row for row in await self._pieces(connection, event.id)}
        await self._end_pieces(connection, event.id, {piece.key for piece in pieces}, now)
        for piece in pieces:
            row = rows.get(piece.key)
            try:
                if row is None:
                    await self._make(connection, event, piece, ven_ids, revision=0)
                elif self._differs(row, piece):
                    await self._change(connection, event, piece, ven_ids, row, is_new=is_new)
            except operator_side.NewEventVensUnknown as error:
                return [VtnEventProblem("ven_unknown", str(error))]
            except operator_side.NewEventRefused as error:
                return [VtnEventProblem("event_not_possible", str(error))]
        return []

    def _differs(self, row: Any, piece: SchedulePiece) -> bool:
        if row.start_time != piece.start or row.end_time != _end_of(piece):
            return True
        stored = [(sec, power_kw) for sec, power_kw in row.levels or ()]
        if [sec for sec, _ in stored] != [sec for sec, _ in piece.levels]:
            return True
        powers = [(row.shed_kw, piece.power_kw)]
        powers += zip((kw for _, kw in stored), (kw for _, kw in piece.levels), strict=True)
        if piece.is_share:
            return any(abs(one - other) > _SAME_KW * max(one, other) for one, other in powers)
        return any(one != other for one, other in powers)

    async def _make(
        self,
        connection: AsyncConnection,
        event: VtnEvent,
        piece: SchedulePiece,
        ven_ids: Sequence[str] | None,
        *,
        revision: int,
    ) -> None:
        # An earlier one of that name was ended, and the VTN asks for it again.
        while True:
            event_id = _operator_event_id(self._link.name, event.id, piece.key, revision)
            if not await operator_side.operator_event_exists(connection, event_id):
                break
            revision += 1
        await operator_side.create_operator_event(
            connection,
            event_id,
            _ask_of(piece),
            ven_ids=ven_ids,
            priority=event.priority,
            limit_per_site=self._settings.limit_for == "site",
            test=event.test,
        )
        await connection.execute(
            delete(PIECES).where(*self._is_piece(event.id), PIECES.c.piece == piece.key)
        )
        await connection.execute(
            insert(PIECES).values(
                link=self._link.name,
                vtn_event_id=event.id,
                piece=piece.key,
                event_id=event_id,
                revision=revision,
                **_piece_columns(piece),
            )
        )

    async def _change(
        self,
        connection: AsyncConnection,
        event: VtnEvent,
        piece: SchedulePiece,
        ven_ids: Sequence[str] | None,
        row: Any,
        *,
        is_new: bool,
    ) -> None:
        # What can be shed changes by the shedding itself: a share is fixed when it begins.
        is_fixed = piece.is_share and row.start_time == piece.start and not is_new
        if is_fixed and not await operator_side.operator_event_is_scheduled(
            connection, row.event_id
        ):
            if row.end_time == _end_of(piece):
                return
            piece = _with_powers_of(row, piece)
        changed = await operator_side.modify_operator_event(
            connection, row.event_id, _ask_of(piece)
        )
        if changed:
            await connection.execute(
                update(PIECES)
                .where(*self._is_piece(event.id), PIECES.c.piece == piece.key)
                .values(**_piece_columns(piece))
            )
        elif await operator_side.operator_event_ended_by_itself(connection, row.event_id):
            # It was over, and the VTN has made it longer since.
            await self._make(connection, event, piece, ven_ids, revision=row.revision + 1)

    async def _end_pieces(
        self, connection: AsyncConnection, event_id: str, kept: set[str], now: datetime
    ) -> None:
        for row in await self._pieces(connection, event_id):
            if row.piece not in kept and row.end_time > now:
                await operator_side.cancel_operator_event(connection, row.event_id)
                await connection.execute(
                    delete(PIECES).where(*self._is_piece(event_id), PIECES.c.piece == row.piece)
                )

    def _is_piece(self, event_id: str) -> tuple[Any, ...]:
        return PIECES.c.link == self._link.name, PIECES.c.vtn_event_id == event_id

    async def _pieces(self, connection: AsyncConnection, event_id: str) -> Sequence[Any]:
        return (await connection.execute(select(PIECES).where(*self._is_piece(event_id)))).all()

    async def _stopped(
        self, connection: AsyncConnection, event: VtnEvent, now: datetime
    ) -> VtnEventProblem | None:
        """An operator ended all that is left of it."""
        left = [row for row in await self._pieces(connection, event.id) if row.end_time > now]
        ids = [row.event_id for row in left]
        if not ids or await operator_side.operator_event_stopped_by_hand(connection, ids) != set(
            ids
        ):
            return None
        return VtnEventProblem("stopped_by_operator", "an operator of the fleet ended it")


def _operator_event_id(link: str, event_id: str, piece: str, revision: int) -> str:
    """Ours, readable and unique; a VTN's id may hold what a topic may not."""
    digest = hashlib.blake2b(f"{link}\0{event_id}".encode(), digest_size=4).hexdigest()
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", event_id)[:60]
    again = f".r{revision}" if revision else ""
    return f"openadr-{plain}-{digest}-{piece}{again}"


def _end_of(piece: SchedulePiece) -> datetime:
    return operator_side.UNTIL_FURTHER_NOTICE if piece.end is None else piece.end


def _ask_of(piece: SchedulePiece) -> operator_side.OperatorAsk:
    return operator_side.OperatorAsk(
        piece.kind, piece.start, _end_of(piece), piece.power_kw, piece.levels, piece.is_export
    )


def _with_powers_of(row: Any, piece: SchedulePiece) -> SchedulePiece:
    """The piece, whose end was moved on, with the powers that were commanded so far."""
    known = [power_kw for _, power_kw in row.levels or [(0.0, row.shed_kw)]]
    if not piece.levels:
        return replace(piece, power_kw=known[0])
    planned = [power_kw for _, power_kw in piece.levels]
    powers = [*known, *planned[len(known) :]]
    levels = zip((sec for sec, _ in piece.levels), powers, strict=False)
    return replace(piece, levels=tuple(levels), power_kw=max(powers[: len(piece.levels)]))


def _piece_columns(piece: SchedulePiece) -> dict[str, Any]:
    return {
        "start_time": piece.start,
        "end_time": _end_of(piece),
        "shed_kw": piece.power_kw,
        "levels": [list(level) for level in piece.levels] or None,
    }


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
    return [problem for problem in known if problem not in problems]


def _is_older(stamp: str, known: str) -> bool:
    """2.0b numbers modifications: one that was overtaken on its way changes nothing."""
    return stamp.isdigit() and known.isdigit() and int(stamp) < int(known)


def _is_at_the_same_time(event: VtnEvent, row: Any, other: Any) -> bool:
    """As the utility published them, whatever start each drew."""
    spans = [
        vtn_event_span(each, now_means=known.first_seen_at, delay=timedelta(0))
        for each, known in ((event, row), (reconciler_document(other), other))
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
