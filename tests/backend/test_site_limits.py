"""How often, how long and by whose day a site is asked: its own limits and its programme's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update

from backend.store.database import Database
from backend.store.tables import EVENTS, PARTICIPANTS
from backend.store.utc_time import utc_now

from .api_client import api
from .dispatching import (
    Wire,
    acknowledge,
    add_event,
    add_vens,
    eventually,
    participants,
    set_ven,
    status_of,
)

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_a_site_is_not_asked_beyond_its_limits(database: Database, withdrawn: bool) -> None:
    """Whether the first was stopped or withdrawn after it had begun is one."""
    await add_vens(database, {"once": 2.0, "short": 2.0, "notice": 2.0, "free": 2.0})
    await set_ven(database, "once", most_events_per_day=1)
    await set_ven(database, "short", most_event_hours_per_day=0.5)
    await set_ven(database, "notice", notice_sec=3_600.0)
    wire = Wire()
    async with api(database, wire) as client:
        body = {"requestedReductionKw": 8, "durationSec": 600}
        await client.post("/api/events/", json={**body, "id": "first"})
        await eventually(lambda: len(wire.sent) == 3)
        assert set(await participants(database, "first")) == {"once", "short", "free"}
        if withdrawn:
            await client.delete("/api/events/first")
        else:
            await client.post("/api/events/first/stop")
        assert await status_of(database, "first") == ("cancelled" if withdrawn else "completed")
        longer = {**body, "durationSec": 3_000}
        preview = (await client.post("/api/events/preview", json=longer)).json()
        await client.post("/api/events/", json={**longer, "id": "second"})
        await eventually(lambda: wire.to("free")[1:])
    assert preview["leftOut"] == {"over_limits": 3}
    assert set(await participants(database, "second")) == {"free"}


async def test_an_event_that_a_site_left_is_one_that_it_had(database: Database) -> None:
    """One that it refused is not."""
    await add_vens(database, {"left": 2.0, "refused": 2.0})
    for ven_id in ("left", "refused"):
        await set_ven(database, ven_id, most_events_per_day=1)
    wire = Wire()
    async with api(database, wire) as client:
        body = {"requestedReductionKw": 4, "durationSec": 600}
        await client.post("/api/events/", json={**body, "id": "first"})
        await eventually(lambda: len(wire.sent) == 2)
        await acknowledge(database, wire.to("left"))
        async with database.engine.begin() as connection:
            await connection.execute(update(PARTICIPANTS).values(status="opted_out"))
        await client.post("/api/events/first/stop")
        preview = (await client.post("/api/events/preview", json=body)).json()
    assert [one["venId"] for one in preview["vens"]] == ["refused"]


async def test_a_programme_counts_its_own_events_and_a_site_all_of_them(
    database: Database,
) -> None:
    await add_vens(database, {"site": 2.0, "once": 2.0})
    await set_ven(database, "once", most_events_per_day=1)
    noon = datetime(2030, 7, 1, 12, tzinfo=timezone.utc)
    bounds = {"number": {"mostEventsPerDay": 1}, "hours": {"mostEventHoursPerDay": 0.25}}
    asked: list[list[str]] = []
    async with api(database, EVENT_MAX_AHEAD_SEC="1e9") as client:
        for name, bound in bounds.items():
            programme = {"id": name, "name": name, "powerKw": 4, "durationSec": 600}
            made = await client.post("/api/programmes/", json={**programme, **bound})
            assert made.status_code == 201, made.text
        for number, has_been_in in enumerate(("nothing", None, "number", "hours")):
            if number:
                event_id, start = f"e{number}", noon - timedelta(hours=3)
                await add_event(database, 2.0, event_id=event_id, start=start)
                await _took_part(database, event_id, ("site", "once"), programme_id=has_been_in)
            for name in bounds:
                body = {"startTime": noon.isoformat(), "durationSec": 600, "programmeId": name}
                preview = (await client.post("/api/events/preview", json=body)).json()
                asked.append([one["venId"] for one in preview["vens"]])
    both, one = ["once", "site"], ["site"]
    # The site's own limit is reached by an event of no programme, a programme's by its own alone.
    assert asked == [both, both, one, one, [], one, [], []]


async def _took_part(
    database: Database, event_id: str, ven_ids: Sequence[str], **values: Any
) -> None:
    part = {"assigned_shed_kw": 1.0, "modification": 0, "assigned_at": utc_now()}
    part |= {"event_id": event_id, "status": "accepted"}
    async with database.engine.begin() as connection:
        await connection.execute(insert(PARTICIPANTS), [{**part, "ven_id": one} for one in ven_ids])
        await connection.execute(update(EVENTS).where(EVENTS.c.id == event_id).values(**values))


async def test_a_day_is_that_of_the_site_else_of_the_programme_else_utc(
    database: Database,
) -> None:
    """23:00 and 01:00 in Berlin are two days there, and one day in UTC."""
    in_berlin = ZoneInfo("Europe/Berlin")
    evening = datetime(2030, 7, 1, 23, tzinfo=in_berlin)
    night = datetime(2030, 7, 2, 1, tzinfo=in_berlin)
    assert evening.astimezone(timezone.utc).date() == night.astimezone(timezone.utc).date()
    await add_vens(database, {"berlin": 2.0, "unsaid": 2.0})
    await set_ven(database, "unsaid", most_events_per_day=1)
    await add_event(database, 2.0, event_id="before", start=evening)
    await _took_part(database, "before", FIRST_TWO, programme_id=None)
    programme = {"name": "Night", "powerKw": 2, "timezone": "Europe/Berlin", "id": "night"}
    async with api(database, EVENT_MAX_AHEAD_SEC="1e9") as client:
        changed = await client.patch(
            "/api/vens/berlin", json={"timezone": "Europe/Berlin", "mostEventsPerDay": 1}
        )
        assert changed.json()["timezone"] == "Europe/Berlin", changed.text
        no_zone = await client.patch("/api/vens/berlin", json={"timezone": "Berlin"})
        await client.post("/api/programmes/", json=programme)
        body = {"startTime": night.isoformat(), "durationSec": 600, "requestedReductionKw": 2}
        plain = (await client.post("/api/events/preview", json=body)).json()
        body |= {"programmeId": "night"}
        of_programme = (await client.post("/api/events/preview", json=body)).json()
        months = []
        for query in ("", "&programme_id=night", "&timezone=Asia/Kolkata", "&timezone=Mars"):
            answer = await client.get(f"/api/settlement?month=2030-07{query}")
            months.append((answer.status_code, answer.json().get("start")))
    assert no_zone.status_code == 422
    assert [one["venId"] for one in plain["vens"]] == ["berlin"]
    assert sorted(one["venId"] for one in of_programme["vens"]) == ["berlin", "unsaid"]
    # So are the months of a settlement: an event of half past midnight is not the month before's.
    assert months == [
        (200, "2030-07-01T00:00:00Z"),
        (200, "2030-06-30T22:00:00Z"),
        (200, "2030-06-30T18:30:00Z"),
        (422, None),
    ]


FIRST_TWO = ("berlin", "unsaid")
