"""Who takes part: choices of VENs, groups, limits of sites, invitations ahead, programmes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from backend.store.database import Database
from backend.store.programme_tables import ProgrammeRow
from backend.store.tables import EVENTS
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
    set_ven,
    status_of,
)

asynchronous = pytest.mark.asyncio


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
async def test_what_cannot_be_made_is_not_previewed(database: Database) -> None:
    await a_fleet(database)
    body = {"requestedReductionKw": 1, "durationSec": 60, "venIds": ["north", "nobody"]}
    async with api(database) as client:
        for path in ("/api/events/preview", "/api/events/"):
            answer = await client.post(path, json=body)
            assert answer.status_code == 422, path
            assert "there is no VEN nobody" in answer.text


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
