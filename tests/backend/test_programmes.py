"""Who takes part: choices of VENs, groups, limits of sites, invitations ahead, programmes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update

from backend.store.database import Database
from backend.store.programme_tables import ProgrammeRow
from backend.store.tables import EVENTS, PARTICIPANTS, VENS
from backend.store.utc_time import utc_now

from .api_client import api
from .dispatching import (
    Wire,
    acknowledge,
    add_event,
    add_vens,
    dispatching,
    eventually,
    participants,
    quick,
    rows,
    set_state,
    status_of,
)

asynchronous = pytest.mark.asyncio


async def set_ven(database: Database, ven_id: str, **values: Any) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(update(VENS).where(VENS.c.id == ven_id).values(**values))


async def a_fleet(database: Database) -> None:
    await add_vens(database, {"north": 2.0, "south": 3.0, "none": 0.0, "shop": 4.0})
    await add_vens(database, {"away": 5.0}, status="offline")
    await set_ven(database, "north", feeder="F1", zone="Z", tags=["home", "solar"])
    await set_ven(database, "south", feeder="F2", zone="Z", tags=["home"])
    await set_ven(database, "away", feeder="F1", zone="Z", tags=["home"])


@asynchronous
async def test_an_event_is_for_a_choice_and_what_stands_behind_it_is_told_before(
    database: Database,
) -> None:
    await a_fleet(database)
    await set_state(database, "south", availability="opted_out")
    wire = Wire()
    async with api(database, wire) as client:
        body = {
            "requestedReductionKw": 4,
            "durationSec": 600,
            "selection": {"tags": ["home", "solar"], "zones": ["Z"]},
        }
        preview = (await client.post("/api/events/preview", json=body)).json()
        assert await rows(database, EVENTS) == []
        assert wire.sent == []
        made = await client.post("/api/events/", json={**body, "id": "e1"})
        assert made.status_code == 201, made.text
        await eventually(lambda: wire.sent)
        unknown = await client.post(
            "/api/events/preview", json={**body, "selection": {"groups": ["nobody"]}}
        )
    assert preview == {
        "venCount": 3,
        "asked": 1,
        "availableKw": 2.0,
        "requestedKw": 4.0,
        "isEnough": False,
        "leftOut": {"opted_out": 1, "offline": 1},
        "vens": [{"venId": "north", "availableKw": 2.0}],
    }
    assert await participants(database, "e1") == {"north": "commanded"}
    assert made.json()["selection"] == {"tags": ["home", "solar"], "zones": ["Z"]}
    assert (unknown.status_code, unknown.json()["detail"][0]["loc"][-1]) == (422, "selection")


@asynchronous
async def test_a_group_is_a_choice_under_a_name(database: Database) -> None:
    await a_fleet(database)
    async with api(database) as client:
        made = await client.post("/api/groups/", json={"name": "Feeder 1", "feeders": ["F1"]})
        assert made.status_code == 201, made.text
        assert (made.json()["venCount"], made.json()["shedAvailabilityKw"]) == (2, 2.0)
        await client.post("/api/groups/", json={"name": "By name", "venIds": ["shop"]})
        body = {"requestedReductionKw": 9, "durationSec": 600}
        chosen = {"selection": {"groups": ["Feeder 1", "By name"]}}
        preview = (await client.post("/api/events/preview", json={**body, **chosen})).json()
        patched = await client.patch("/api/vens/shop", json={"feeder": "F1", "tags": ["b", "a"]})
        groups = (await client.get("/api/groups/")).json()
        gone = await client.delete("/api/groups/Feeder 1")
        again = await client.delete("/api/groups/Feeder 1")
        empty = await client.post("/api/groups/", json={"name": "Nothing"})
    assert (preview["asked"], preview["availableKw"]) == (2, 6.0)
    assert patched.json()["tags"] == ["a", "b"]
    assert {group["name"]: group["venCount"] for group in groups} == {"Feeder 1": 3, "By name": 1}
    assert (gone.status_code, again.status_code, empty.status_code) == (204, 404, 422)


@asynchronous
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


@asynchronous
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


@asynchronous
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


@asynchronous
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


@asynchronous
async def test_sites_are_invited_ahead_and_the_event_begins_with_them(database: Database) -> None:
    await add_vens(database, {"a": 2.0, "wants-notice": 2.0})
    await set_ven(database, "wants-notice", notice_sec=1_800.0)
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 3.0, in_sec=7_200.0)
        start = await add_event(database, 3.0, event_id="e2", in_sec=3_600.0)
        async with database.engine.begin() as connection:
            soon = EVENTS.c.id == "e2"
            await connection.execute(update(EVENTS).where(soon).values(notice_sec=3_600.0))
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.sent) == 2)
        assert await status_of(database, "e2") == "scheduled"
        assert wire.to("a")[0]["start_ts"] == pytest.approx(start.timestamp(), abs=0.001)
        await acknowledge(database, wire.sent, "scheduled")
        now = utc_now()
        async with database.engine.begin() as connection:
            await connection.execute(update(EVENTS).where(soon).values(start_time=now))
        dispatcher.wake.ring()
        await eventually(lambda: _is(database, "e2", "active"))
    assert len(wire.to("a")) == 1, "it was told ahead, and is not told again"
    assert await participants(database, "e2") == {"a": "scheduled", "wants-notice": "scheduled"}


@asynchronous
async def test_an_event_that_sites_were_told_of_ahead_is_had_without_a_dispatcher_too(
    database: Database,
) -> None:
    """No dispatcher ran from its start to its end: they carried it out by themselves."""
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        await add_event(database, 1.0, in_sec=600.0)
        async with database.engine.begin() as connection:
            await connection.execute(update(EVENTS).values(notice_sec=3_600.0))
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.sent) == 1)
        await acknowledge(database, wire.sent, "completed")
    past = utc_now() - timedelta(minutes=30)
    async with database.engine.begin() as connection:
        times = {"start_time": past, "end_time": past + timedelta(minutes=10)}
        await connection.execute(update(EVENTS).values(**times))
    async with dispatching(database, Wire()):
        await eventually(lambda: _is(database, "e1", "completed"))
    (event,) = await rows(database, EVENTS)
    assert (event.activated_at, event.end_reason) == (past, "end"), "so it is measured, and settled"


async def _is(database: Database, event_id: str, status: str) -> bool:
    return await status_of(database, event_id) == status


@asynchronous
async def test_an_invitation_is_withdrawn_with_its_event(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    wire = Wire()
    async with api(database, wire, dispatch=quick()) as client:
        start = (utc_now() + timedelta(minutes=10)).isoformat()
        body = {"requestedReductionKw": 1, "durationSec": 600, "startTime": start, "id": "e1"}
        await client.post("/api/events/", json={**body, "noticeSec": 1_200})
        await eventually(lambda: wire.to("a"))
        shown = (await client.get("/api/events/e1")).json()
        await client.delete("/api/events/e1")
        await eventually(lambda: wire.to("a", "cancel"))
    assert (shown["status"], shown["noticeSec"]) == ("scheduled", 1_200)
    assert shown["invitedAt"] is not None
    assert wire.to("a", "cancel")[0]["event_id"] == "e1"


@asynchronous
async def test_an_event_of_a_programme_is_as_the_programme_has_it(database: Database) -> None:
    await a_fleet(database)
    wire = Wire()
    programme = {
        "id": "evening",
        "name": "Evenings",
        "powerKw": 3,
        "durationSec": 900,
        "selection": {"tags": ["home"]},
        "baselineMethod": "meter_before",
        "mostEventsPerDay": 1,
        "test": True,
    }
    async with api(database, wire) as client:
        made = await client.post("/api/programmes/", json=programme)
        assert made.status_code == 201, made.text
        twice = await client.post("/api/programmes/", json=programme)
        event = await client.post("/api/events/", json={"programmeId": "evening", "id": "e1"})
        assert event.status_code == 201, event.text
        await eventually(lambda: len(wire.sent) == 2)
        await client.post("/api/events/e1/stop")
        preview = await client.post("/api/events/preview", json={"programmeId": "evening"})
        other = {"programmeId": "evening", "kind": "limit", "importKw": 3}
        refused = await client.post("/api/events/", json=other)
        missing = await client.post("/api/events/", json={"programmeId": "none"})
        put = await client.put("/api/programmes/evening", json={**programme, "active": False})
        inactive = await client.post("/api/events/", json={"programmeId": "evening"})
        listed = (await client.get("/api/programmes/")).json()
        deleted = await client.delete("/api/programmes/evening")
    assert twice.status_code == 409
    assert event.json()["requestedReductionKw"] == 3
    assert event.json()["test"] is True
    (row,) = await rows(database, EVENTS)
    assert (row.end_time - row.start_time, row.baseline_method) == (
        timedelta(seconds=900),
        "meter_before",
    )
    assert set(await participants(database, "e1")) == {"north", "south"}
    assert preview.json()["leftOut"] == {"over_limits": 2, "offline": 1}
    assert (refused.status_code, missing.status_code, inactive.status_code) == (422, 404, 409)
    assert (put.json()["active"], [one["id"] for one in listed]) == (False, ["evening"])
    assert deleted.status_code == 204
    assert len(await rows(database, EVENTS)) == 1


@asynchronous
async def test_a_recurring_programme_makes_its_events_by_itself_each_once(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    now = utc_now()
    first = (now + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(ProgrammeRow).values(
                id="p",
                name="Daily",
                kind="limit",
                power_kw=4.2,
                limit_per_site=True,
                duration_sec=600.0,
                window_start=f"{first:%H:%M}",
                timezone="UTC",
                recurring=True,
                next_start=first,
                test=False,
                active=True,
                created_at=now,
            )
        )
    async with dispatching(database, Wire()), dispatching(database, Wire()):
        await eventually(lambda: _planned(database, 2))
    found = await rows(database, EVENTS)
    days = [first + timedelta(days=n) for n in range(len(found))]
    assert sorted(row.start_time for row in found) == days
    assert {row.id for row in found} == {f"p-{day:%Y%m%dT%H%M}" for day in days}
    assert {(row.kind, row.import_kw, row.programme_id) for row in found} == {("limit", 4.2, "p")}
    (programme,) = await rows(database, ProgrammeRow.__table__)
    assert programme.next_start == days[-1] + timedelta(days=1)


@asynchronous
async def test_what_a_programme_has_planned_follows_it(database: Database) -> None:
    await add_vens(database, {"a": 9.0})
    soon = utc_now() + timedelta(hours=2)
    body = {"name": "Daily", "kind": "event", "powerKw": 2, "durationSec": 600, "recurring": True}
    body |= {"windowStart": f"{soon:%H:%M}", "timezone": "UTC"}
    url = "/api/programmes/daily"

    async def planned() -> dict[str, float]:
        """By id, the kW of what is to come."""
        found = await rows(database, EVENTS, EVENTS.c.status == "scheduled")
        return {row.id: row.requested_reduction_kw for row in found}

    async with api(database, Wire()) as client:
        await client.post("/api/programmes/", json={**body, "id": "daily"})
        await eventually(lambda: _planned(database, 2))
        first = await planned()
        await client.put(url, json=body)  # the same: nothing is made anew
        assert await planned() == first
        (gone, *_), by_hand = sorted(first), {"programmeId": "daily", "id": "by-hand"}
        await client.delete(f"/api/events/{gone}")  # a person does not want that one
        await client.post("/api/events/", json={**by_hand, "startTime": soon.isoformat()})
        await client.put(url, json={**body, "powerKw": 5})
        await eventually(lambda: _planned(database, 2))
        stronger = await planned()
        await client.put(url, json={**body, "powerKw": 5, "active": False})
        idle = await planned()
        await client.put(url, json={**body, "powerKw": 7})
        await eventually(lambda: _planned(database, 2))
        assert len(await planned()) == len(stronger)
        assert (await client.delete(url)).status_code == 204
    assert not set(stronger) & set(first), "what was planned before is withdrawn"
    assert sorted(stronger.values()) == [2.0, *[5.0] * (len(first) - 1)]
    assert not {gone, f"{gone}-1"} & set(stronger)
    assert set(idle) == set(await planned()) == {"by-hand"}


async def _planned(database: Database, least: int) -> bool:
    (programme,) = await rows(database, ProgrammeRow.__table__)
    ahead = programme.next_start - utc_now() > timedelta(hours=36)
    return ahead and len(await rows(database, EVENTS)) >= least - 1
