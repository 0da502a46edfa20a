"""What of a VTN's event the operator's side does: its pieces, each an event of the operator's side
with a row that says which.

What began is changed, not begun again; one that ended by itself and was made longer since is made
anew under another id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.openadr import operator_side
from backend.openadr.schedule import LEAST_KW, SchedulePiece
from backend.openadr.vtn_event import VtnEvent, VtnEventProblem
from backend.store.openadr_tables import OpenAdrPieceRow
from backend.store.statuses import ACTIVE, SCHEDULED

COMMANDED_PIECES = cast(Table, OpenAdrPieceRow.__table__)
_SAME_KW = 0.05
"""A share of what can be shed that changed by less than this fraction is left as it is."""


async def commanded_pieces_of(
    connection: AsyncConnection, link_name: str, event_id: str
) -> Sequence[Any]:
    """Rows of an event of the VTN's, also of pieces that are over."""
    statement = select(COMMANDED_PIECES).where(
        COMMANDED_PIECES.c.link == link_name, COMMANDED_PIECES.c.vtn_event_id == event_id
    )
    return (await connection.execute(statement)).all()


ASKS_NOBODY = VtnEventProblem(
    "no_site_takes_part", "no site is free for it, or none of those it is for can do it"
)
"""It may be over at the next look: a site that comes, or becomes free, is asked then."""


class CommandedPieces:
    """Those of one link. All of it within a transaction of the caller's."""

    def __init__(self, link_name: str, *, limit_per_site: bool) -> None:
        self._link_name = link_name
        self._limit_per_site = limit_per_site

    async def bring_about(
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
        rows = {row.piece: row for row in await self.stored(connection, event.id)}
        states = await operator_side.operator_event_states(
            connection, [row.event_id for row in rows.values()]
        )
        await self.end(connection, event.id, now, kept={piece.key for piece in pieces})
        is_nobody = False
        for piece in pieces:
            row = rows.get(piece.key)
            state = None if row is None else states.get(row.event_id)
            try:
                if piece.is_share and piece.power_kw <= LEAST_KW:
                    # Of nothing that is known now. What was commanded by what was known stays.
                    is_nobody = is_nobody or (row is None and piece.start <= now)
                    if row is None:
                        continue
                    piece = _with_powers_of(row, piece)
                if row is None:
                    await self._make(connection, event, piece, ven_ids, revision=0)
                elif state is not None and _begins_anew(state, piece, ven_ids, now):
                    await operator_side.cancel_operator_event(connection, row.event_id)
                    await self._make(connection, event, piece, ven_ids, revision=row.revision + 1)
                elif self._differs(row, piece) or _has_other_priority(state, event):
                    await self._change(connection, event, piece, ven_ids, row, state, is_new=is_new)
            except operator_side.NewEventVensUnknown as error:
                return [VtnEventProblem("ven_unknown", str(error))]
            except operator_side.NewEventRefused as error:
                return [VtnEventProblem("event_not_possible", str(error))]
        is_nobody = is_nobody or any(state.asks_nobody for state in states.values())
        return [ASKS_NOBODY] if is_nobody else []

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
            event_id = _operator_event_id(self._link_name, event.id, piece.key, revision)
            if not await operator_side.operator_event_exists(connection, event_id):
                break
            revision += 1
        await operator_side.create_operator_event(
            connection,
            event_id,
            _ask_of(piece),
            ven_ids=ven_ids,
            priority=event.priority,
            limit_per_site=self._limit_per_site,
            test=event.test,
        )
        await connection.execute(
            delete(COMMANDED_PIECES).where(*self._is_piece(event.id, piece.key))
        )
        await connection.execute(
            insert(COMMANDED_PIECES).values(
                link=self._link_name,
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
        state: operator_side.OperatorEventState | None,
        *,
        is_new: bool,
    ) -> None:
        # What can be shed changes by the shedding itself: a share is fixed when it begins.
        is_fixed = piece.is_share and row.start_time == piece.start and not is_new
        if is_fixed and (state is None or state.status != SCHEDULED):
            if row.end_time == _end_of(piece):
                return
            piece = _with_powers_of(row, piece)
        changed = await operator_side.modify_operator_event(
            connection, row.event_id, _ask_of(piece), event.priority
        )
        if changed:
            await connection.execute(
                update(COMMANDED_PIECES)
                .where(*self._is_piece(event.id, piece.key))
                .values(**_piece_columns(piece))
            )
        elif await operator_side.operator_event_ended_by_itself(connection, row.event_id):
            # It was over, and the VTN has made it longer since.
            await self._make(connection, event, piece, ven_ids, revision=row.revision + 1)

    async def end(
        self,
        connection: AsyncConnection,
        event_id: str,
        now: datetime,
        *,
        kept: Collection[str] = (),
    ) -> None:
        """All of an event that are not over, but those whose keys are `kept`."""
        for row in await self.stored(connection, event_id):
            if row.piece not in kept and row.end_time > now:
                await operator_side.cancel_operator_event(connection, row.event_id)
                await connection.execute(
                    delete(COMMANDED_PIECES).where(*self._is_piece(event_id, row.piece))
                )

    def _is_piece(self, event_id: str, key: str) -> tuple[Any, ...]:
        return (
            COMMANDED_PIECES.c.link == self._link_name,
            COMMANDED_PIECES.c.vtn_event_id == event_id,
            COMMANDED_PIECES.c.piece == key,
        )

    async def stored(self, connection: AsyncConnection, event_id: str) -> Sequence[Any]:
        return await commanded_pieces_of(connection, self._link_name, event_id)

    async def take_over(self, connection: AsyncConnection, event_id: str, link_name: str) -> None:
        """The pieces of the same event under another link are this link's from now on."""
        pieces = COMMANDED_PIECES.c
        mine = delete(COMMANDED_PIECES).where(
            pieces.link == self._link_name, pieces.vtn_event_id == event_id
        )
        await connection.execute(mine)
        await connection.execute(
            update(COMMANDED_PIECES)
            .where(
                COMMANDED_PIECES.c.link == link_name, COMMANDED_PIECES.c.vtn_event_id == event_id
            )
            .values(link=self._link_name)
        )

    async def stopped(
        self, connection: AsyncConnection, event_id: str, now: datetime
    ) -> VtnEventProblem | None:
        """An operator ended all that is left of it."""
        left = [row for row in await self.stored(connection, event_id) if row.end_time > now]
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


def _begins_anew(
    state: operator_side.OperatorEventState,
    piece: SchedulePiece,
    ven_ids: Sequence[str] | None,
    now: datetime,
) -> bool:
    """It is for others now, or what runs is not to begin yet: what was commanded is ended first."""
    if not state.is_open:
        return False
    known = None if state.ven_ids is None else sorted(state.ven_ids)
    is_for_others = known != (None if ven_ids is None else sorted(ven_ids))
    return is_for_others or (state.status == ACTIVE and piece.start > now)


def _has_other_priority(state: operator_side.OperatorEventState | None, event: VtnEvent) -> bool:
    if state is None or not state.is_open:
        return False
    return state.priority != operator_side.operator_priority(event.priority)


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
