"""From a body to an event that is to be made, and what would stand behind it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.authentication import AuthenticatedActor
from backend.api.programme_routes import read_programme_or_404
from backend.api.request_bodies import NewEventBody
from backend.api.request_fields import invalid_request_field
from backend.api.ven_availability import ven_availability
from backend.config.api_settings import ApiSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.fleet_capability import (
    FleetCapabilityChoice,
    fleet_capabilities,
    fleet_capability_draws,
)
from backend.dispatch.new_event import (
    NewEvent,
    NewEventInvalid,
    checked_new_event,
    require_known_vens,
)
from backend.dispatch.programme_schedule import new_programme_event, programme_window_problem
from backend.dispatch.site_limits import vens_over_site_limits
from backend.dispatch.ven_selection import (
    VenSelectionUnknown,
    selected_vens,
    with_selected_groups,
)
from backend.store.believed_ven_power import believed_ven_shed_kw
from backend.store.database import database_now
from backend.store.statuses import AVAILABLE, ONLINE
from backend.store.tables import VEN_STATE, VENS
from VenAgent.contract.op import Op

_SHARES_SHOWN = 20


async def make_event_of_body(
    connection: AsyncConnection,
    body: NewEventBody,
    actor: AuthenticatedActor,
    settings: ApiSettings,
) -> NewEvent:
    """Raises 404 for no such programme, 422 with the field that cannot be."""
    now = await database_now(connection)  # the dispatchers' clock
    tolerance = timedelta(seconds=settings.event_start_tolerance_sec)
    if body.start_time is not None and body.start_time < now - tolerance:
        why = "startTime is in the past: leave it out to begin at once"
        raise invalid_request_field("startTime", why, body.start_time.isoformat())
    most_ahead = timedelta(seconds=settings.event_max_ahead_sec)
    if body.start_time is not None and body.start_time > now + most_ahead:
        days = most_ahead / timedelta(days=1)
        why = (
            f"startTime is more than {days:g} days ahead (EVENT_MAX_AHEAD_SEC): is the year right?"
        )
        raise invalid_request_field("startTime", why, body.start_time.isoformat())
    programme = None
    if body.programme_id is not None:
        programme = await read_programme_or_404(connection, body.programme_id)
        body = _after_programme(body, programme, now)
    start, end = body.window(now)
    if programme is not None:
        problem = programme_window_problem(programme, start, end)
        if problem is not None:
            raise invalid_request_field("startTime", problem, start.isoformat())
    chosen = body.selection.given() if body.selection is not None else None
    try:
        selection = None if chosen is None else await with_selected_groups(connection, chosen)
    except VenSelectionUnknown as error:
        raise invalid_request_field("selection", str(error), error.name) from None
    if selection is None and programme is not None and body.ven_ids is None:
        selection = programme.selection
    new = NewEvent(
        requested_reduction_kw=body.requested_reduction_kw,
        **body.kind_fields(),
        limit_per_site=body.limit_per_site,
        start=start,
        end=end,
        until_stopped=body.is_until_stopped(body.duration_sec),
        event_id=body.id,
        ven_ids=body.ven_ids,
        selection=selection,
        notice_sec=body.notice_sec,
        programme_id=body.programme_id,
        baseline_method=None if programme is None else programme.baseline_method,
        priority=body.priority,
        created_by=actor.name,
    )
    try:
        checked_new_event(new)
    except NewEventInvalid as error:
        raise invalid_request_field(to_camel(error.field), error.why) from None
    return new


def _after_programme(body: NewEventBody, programme: Any, now: datetime) -> NewEventBody:
    """With what the programme says where the body says nothing. Raises 422."""
    if not programme.active:
        raise HTTPException(409, f"programme {programme.id!r} is not active")
    given = body.model_fields_set
    start = body.start_time or now
    as_it_has = new_programme_event(
        programme, start, start + timedelta(seconds=programme.duration_sec)
    )
    if "kind" in given and body.kind != programme.kind:
        raise invalid_request_field("kind", f"the programme's events are {programme.kind}")
    values = body.model_dump(exclude_unset=True)
    values["kind"] = programme.kind
    if body.end_time is None and body.duration_sec is None and not body.intervals:
        values["duration_sec"] = programme.duration_sec
    if not body.intervals:
        for name in ("requested_reduction_kw", "raise_kw", "import_kw"):
            if values.get(name) is None and getattr(as_it_has, name) is not None:
                values[name] = getattr(as_it_has, name)
    for name in ("limit_per_site", "test", "notice_sec"):
        if name not in given:
            values[name] = getattr(as_it_has, name)
    try:
        return NewEventBody.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_context=False)) from None


async def preview_event_of_body(
    connection: AsyncConnection, new: NewEvent, settings: DispatchSettings
) -> dict[str, Any]:
    """Who would be asked if the event began now, and why others would not. Raises
    NewEventVensUnknown, as making it would."""
    now = await database_now(connection)
    new = checked_new_event(new)
    await require_known_vens(connection, new.ven_ids or ())
    choice = FleetCapabilityChoice(
        id=new.event_id or "",
        kind=new.kind.value,
        ven_ids=new.ven_ids,
        start_time=new.start,
        end_time=new.end,
        selection=new.selection,
        programme_id=new.programme_id,
        priority=new.priority,
    )
    if new.kind == Op.LIMIT:
        rooms = {
            draw.ven_id: max(draw.used_power_kw or 0.0, 0.0)
            for draw in await fleet_capability_draws(connection, choice, now, settings)
        }
        requested_kw = new.import_kw or 0.0
    else:
        found = await fleet_capabilities(connection, choice, now, settings)
        rooms = {room.ven_id: max(room.room_kw or 0.0, 0.0) for room in found}
        requested_kw = abs(new.requested_reduction_kw or 0.0)
    available_kw = sum(rooms.values())
    left_out = await _left_out(connection, choice, set(rooms), now)
    largest = sorted(rooms.items(), key=lambda item: (-item[1], item[0]))[:_SHARES_SHOWN]
    return {
        "ven_count": len(rooms) + sum(left_out.values()),
        "asked": len(rooms),
        "available_kw": round(available_kw, 3),
        "requested_kw": requested_kw,
        "is_enough": new.kind == Op.LIMIT or available_kw >= requested_kw,
        "left_out": left_out,
        "vens": [{"venId": ven_id, "availableKw": round(kw, 3)} for ven_id, kw in largest],
    }


async def _left_out(
    connection: AsyncConnection, choice: FleetCapabilityChoice, asked: set[str], now: datetime
) -> dict[str, int]:
    statement = select(
        VENS.c.id,
        VENS.c.status,
        *(VEN_STATE.c.last_seen, VEN_STATE.c.timestamp, VEN_STATE.c.quiet_until),
        VEN_STATE.c.availability,
        VEN_STATE.c.availability_until,
        VEN_STATE.c.availability_reason,
        func.coalesce(believed_ven_shed_kw(), 0.0).label("can_kw"),
    ).select_from(VENS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id))
    chosen = [selected_vens(choice.selection, connection.dialect.name)]
    if choice.ven_ids is not None:
        chosen.append(VENS.c.id.in_(list(choice.ven_ids)))
    over = await vens_over_site_limits(connection, choice, now)
    reasons: Counter[str] = Counter()
    for row in await connection.execute(statement.where(and_(*chosen))):
        if row.id in asked:
            continue
        state = ven_availability(row)["state"]
        if row.id in over:
            reasons["over_limits"] += 1
        elif state != AVAILABLE:
            reasons[state] += 1
        elif row.status != ONLINE:
            reasons["offline"] += 1
        elif row.can_kw <= 0:
            reasons["nothing_to_shed"] += 1
        else:
            reasons["busy"] += 1
    return dict(reasons)
