"""Events over REST: made, followed, stopped, and what they brought."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import insert, update

from backend.store.database import Database
from backend.store.event_tables import WHOLE_EVENT, EventPerformanceRow
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE
from backend.store.utc_time import utc_now

from .api_client import add_ack, add_house, api
from .dispatching import Wire, acknowledge, add_vens, eventually, participants, set_state

pytestmark = pytest.mark.asyncio


def tomorrow(hours: float = 0.0) -> str:
    return (utc_now() + timedelta(days=1, hours=hours)).isoformat()


async def test_an_event_is_made_followed_and_stopped(database: Database) -> None:
    await add_vens(database, {"a": 3.0, "b": 1.0})
    wire = Wire()
    async with api(database, wire) as client:
        assert (await client.get("/api/events/current")).json() is None
        made = await client.post(
            "/api/events/", json={"requestedReductionKw": 2.0, "durationSec": 600}
        )
        event_id = made.json()["id"]
        assert (made.status_code, made.json()["status"]) == (201, "scheduled")
        await eventually(lambda: _all_commanded(database, event_id))
        await acknowledge(database, wire.sent)
        await set_state(database, "a", event_id=event_id, shed_power_kw=1.4)
        async with database.engine.begin() as connection:
            await connection.execute(
                update(PARTICIPANTS).where(PARTICIPANTS.c.ven_id == "a").values(response_ms=80.0)
            )
        current = (await client.get("/api/events/current")).json()
        metrics = (await client.get(f"/api/events/{event_id}/metrics")).json()
        stopped = await client.post(f"/api/events/{event_id}/stop")
        await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
        again = await client.post(f"/api/events/{event_id}/stop")
        withdrawn = await client.delete(f"/api/events/{event_id}")
        history = (await client.get("/api/events/history")).json()
    assert current["id"] == event_id
    assert current["status"] == "active"
    assert current["vensAsked"] == current["vensResponding"] == 2
    assert current["currentReductionKw"] == pytest.approx(1.4 + 0.5)
    assert current["vens"][0] == {
        "venId": "a",
        "venName": "a",
        "shedKw": 1.4,
        "status": "accepted",
        "assignedShedKw": 1.5,
        "assignedLimitKw": None,
        "achievedShedKw": None,
        "responseMs": 80.0,
        "reason": None,
        "reasonCode": None,
    }
    assert metrics == {
        "currentReductionKw": pytest.approx(1.9),
        "vensResponding": 2,
        "avgResponseMs": 80,
    }
    assert (stopped.json()["status"], stopped.json()["endReason"]) == ("completed", "stopped")
    assert (again.status_code, withdrawn.status_code) == (409, 409)
    assert [event["id"] for event in history] == [event_id]


async def _all_commanded(database: Database, event_id: str) -> bool:
    return set((await participants(database, event_id)).values()) == {"commanded"}


async def test_a_scheduled_event_is_withdrawn(database: Database) -> None:
    async with api(database) as client:
        body = {
            "startTime": tomorrow(),
            "endTime": tomorrow(1),
            "requestedReductionKw": 5,
            "id": "later",
            "status": "scheduled",
        }
        assert (await client.post("/api/events/", json=body)).status_code == 201
        assert (await client.post("/api/events/", json=body)).status_code == 409
        assert (await client.delete("/api/events/later")).status_code == 204
        event = (await client.get("/api/events/later")).json()
        missing = await client.get("/api/events/none")
    assert (event["status"], event["endReason"]) == ("cancelled", "withdrawn")
    assert event["startTime"].endswith("Z")
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"requestedReductionKw": 0}, "requestedReductionKw"),
        ({"requestedReductionKw": None}, "requestedReductionKw"),
        ({"startTime": "2030-01-01T00:00:00"}, "startTime"),
        ({"endTime": "soon"}, "endTime"),
        ({"endTime": "2020-01-01T00:00:00Z"}, "body"),
        ({"endTime": tomorrow(30)}, "body"),
        ({"durationSec": 60}, "body"),
        ({"venIds": ["unknown"]}, "venIds"),
        ({"venIds": []}, "venIds"),
    ],
)
async def test_an_event_that_cannot_be_is_refused_with_its_field(
    sqlite_url: str, change: dict[str, Any], field: str
) -> None:
    database = Database(sqlite_url)
    body = {"startTime": tomorrow(), "endTime": tomorrow(1), "requestedReductionKw": 5}
    async with api(database) as client:
        answer = await client.post("/api/events/", json={**body, **change})
    await database.close()
    assert answer.status_code == 422
    assert field in answer.json()["detail"][0]["loc"]


async def test_a_start_that_has_just_passed_means_now(database: Database) -> None:
    async with api(database) as client:
        begun = utc_now()
        just = (begun - timedelta(seconds=20)).isoformat()
        long_ago = (begun - timedelta(minutes=5)).isoformat()
        body = {"requestedReductionKw": 1, "durationSec": 600}
        made = await client.post("/api/events/", json={**body, "startTime": just})
        refused = await client.post("/api/events/", json={**body, "startTime": long_ago})
    assert datetime.fromisoformat(made.json()["startTime"]) >= begun
    assert refused.status_code == 422
    assert "startTime is in the past" in refused.json()["detail"][0]["msg"]


async def test_of_a_large_event_the_largest_parts_are_told(database: Database) -> None:
    await add_vens(database, {f"v{n}": 1.0 + n for n in range(5)})
    wire = Wire()
    async with api(database, wire) as client:
        made = await client.post(
            "/api/events/", json={"requestedReductionKw": 15, "durationSec": 600, "id": "big"}
        )
        await eventually(lambda: _all_commanded(database, "big"))
        await acknowledge(database, wire.to("v4"), "opted_out")
        await acknowledge(database, wire.to("v3"))
        first = (await client.get("/api/events/big", params={"limit": 2})).json()
        out = (await client.get("/api/events/big", params={"status": "opted_out"})).json()
        none = (await client.get("/api/events/big", params={"limit": 0})).json()
    assert (made.json()["status"], made.json()["vensByStatus"]) == ("scheduled", {})
    assert [part["venId"] for part in first["vens"]] == ["v4", "v3"]
    assert first["vensAsked"] == 5
    assert first["vensByStatus"]["opted_out"] == 1
    assert [part["venId"] for part in out["vens"]] == ["v4"]
    assert none["vens"] == []


async def test_what_is_old_is_not_told_as_delivered_now(database: Database) -> None:
    """A VEN that went silent, one that has forgotten its event, and one that sheds."""
    await add_vens(database, {"sheds": 2.0, "silent": 2.0, "forgot": 2.0})
    wire = Wire()
    async with api(database, wire) as client:
        await client.post(
            "/api/events/", json={"requestedReductionKw": 6, "durationSec": 600, "id": "e"}
        )
        await eventually(lambda: _all_commanded(database, "e"))
        await acknowledge(database, wire.sent)
        for ven_id in ("sheds", "silent"):
            await set_state(database, ven_id, event_id="e", shed_power_kw=1.5)
        await set_state(database, "forgot", event_id=None, shed_power_kw=0.0)
        long_ago = utc_now() - timedelta(minutes=5)
        async with database.engine.begin() as connection:
            await connection.execute(update(PARTICIPANTS).values(first_ack_at=long_ago))
            await connection.execute(
                update(VEN_STATE).where(VEN_STATE.c.ven_id == "silent").values(last_seen=long_ago)
            )
        event = (await client.get("/api/events/e")).json()
    parts = {part["venId"]: part["shedKw"] for part in event["vens"]}
    assert parts == {"sheds": 1.5, "silent": None, "forgot": 0.0}
    assert event["currentReductionKw"] == 1.5


async def test_two_that_send_an_event_at_once_do_not_both_succeed(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    await add_vens(database, {"v": 2.0, "w": 2.0})
    async with api(database, Wire()) as client:
        same_ven = await asyncio.gather(
            *(client.post("/api/vens/v/send-event", json={"shedKw": 1}) for _ in range(4))
        )
        same_name = await asyncio.gather(
            *(
                client.post("/api/vens/w/send-event", json={"shedKw": 1, "eventId": "one"})
                for _ in range(4)
            )
        )
    await database.close()
    assert sorted(answer.status_code for answer in same_ven) == [200, 409, 409, 409]
    assert sorted(answer.status_code for answer in same_name) == [200, 409, 409, 409]


async def test_acks_and_performance_are_told(database: Database) -> None:
    await add_vens(database, {"a": 3.0})
    for number in range(3):
        await add_ack(database, "a", "e1", correlation_id=f"c{number}")
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    common = {
        "samples": 10,
        "expected_samples": 12,
        "window_start": start,
        "window_end": start,
        "shed_percentage": 95.0,
        "delivered_kwh": 1.25,
        "computed_at": start,
    }
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(EVENTS).values(
                id="e1",
                status="completed",
                start_time=start,
                end_time=start + timedelta(hours=1),
                requested_reduction_kw=3.0,
                modification=0,
                created_at=start,
                measured_at=start,
                actual_reduction_kw=2.9,
            )
        )
        await connection.execute(
            insert(EventPerformanceRow),
            [
                {"event_id": "e1", "ven_id": "a", "vens": 1, **common},
                {"event_id": "e1", "ven_id": WHOLE_EVENT, "vens": 1, **common},
            ],
        )
    async with api(database) as client:
        first = (await client.get("/api/events/e1/acks", params={"limit": 2})).json()
        rest = (
            await client.get("/api/events/e1/acks", params={"cursor": first["nextCursor"]})
        ).json()
        performance = (await client.get("/api/events/e1/performance")).json()
        total = (await client.get("/api/events/e1/performance", params={"limit": 0})).json()
        event = (await client.get("/api/events/e1")).json()
    assert len(first["acks"]) == 2
    (last,) = rest["acks"]
    assert datetime.fromisoformat(last.pop("timestamp")).tzinfo is not None
    assert last == {"op": "event", "status": "accepted", "venId": "a"}
    assert performance["total"]["delivered_kwh"] == 1.25
    assert performance["total"]["venId"] is None
    assert [row["venId"] for row in performance["vens"]] == ["a"]
    assert performance["vens"][0]["shed_percentage"] == 95.0
    assert (total["total"], total["vens"]) == (performance["total"], [])
    assert event["actualReductionKw"] == 2.9


async def test_an_event_that_was_stopped_delivers_nothing_that_no_site_tells(
    database: Database,
) -> None:
    """Its acks said what was shed; a peer's acks may not say whose they are."""
    await add_house(database)
    wire = Wire()
    async with api(database, wire) as client:
        body = {"requestedReductionKw": 2, "durationSec": 600, "id": "e1"}
        await client.post("/api/events/", json=body)
        await eventually(lambda: wire.to("house"))
        await acknowledge(database, wire.sent)
        await set_state(database, "house", event_id="e1", shed_power_kw=1.75)
        await client.post("/api/events/e1/stop")
        restoring = (await client.get("/api/events/e1")).json()
        shadow = (await client.get("/api/vens/house/shadow")).json()["state"]["reported"]
        ends = datetime.fromisoformat(restoring["endTime"]).timestamp()
        told = {"event_id": "e1", "shed_kw": 2.0, "end_ts": int(ends)}
        assert shadow["active_event"] == told
        await set_state(database, "house", event_id=None, shed_power_kw=0.0)
        over = (await client.get("/api/events/e1")).json()
        await add_ack(database, "house", "e1", raw_payload={"op": "event", "status": "accepted"})
        acks = (await client.get("/api/events/e1/acks")).json()["acks"]
    assert (restoring["currentReductionKw"], restoring["vens"][0]["shedKw"]) == (1.75, 1.75)
    assert (over["currentReductionKw"], over["vens"][0]["shedKw"]) == (0.0, 0.0)
    assert [(ack["venId"], ack["status"]) for ack in acks] == [("house", "accepted")]
    assert datetime.fromisoformat(acks[0]["timestamp"]) <= utc_now()


async def test_an_event_that_another_goes_before_delivers_nothing_meanwhile(
    database: Database,
) -> None:
    """And the preview of the other tells that it would have the site."""
    await add_house(database)
    wire = Wire()
    body = {"requestedReductionKw": 2, "durationSec": 600}
    async with api(database, wire) as client:
        await client.post("/api/events/", json={**body, "id": "low", "priority": 5})
        await eventually(lambda: wire.to("house"))
        await acknowledge(database, wire.sent)
        preview = (await client.post("/api/events/preview", json={**body, "priority": 0})).json()
        await client.post("/api/events/", json={**body, "id": "high", "priority": 0})
        await eventually(lambda: len(wire.to("house")) == 2)
        await acknowledge(database, wire.sent[1:])
        await set_state(database, "house", event_id="high", shed_power_kw=2.0)
        found = {
            event_id: (await client.get(f"/api/events/{event_id}")).json()["currentReductionKw"]
            for event_id in ("low", "high")
        }
    assert (preview["asked"], found) == (1, {"low": 0.0, "high": 2.0})


async def test_the_console_streams_the_fleet_and_its_events(database: Database) -> None:
    await add_house(database)
    async with api(database, Wire()) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        await client.post("/api/events/", json={"requestedReductionKw": 2, "durationSec": 600})
        feed = app.state.feed.subscribe()
        texts = [await asyncio.wait_for(anext(feed), 60)]
        while '"status":"active"' not in texts[-1]:
            texts.append(await asyncio.wait_for(anext(feed), 60))
        second = app.state.feed.subscribe()
        later = [await asyncio.wait_for(anext(second), 60) for _ in range(2)]
        await feed.aclose()
        await second.aclose()
    assert texts[0].startswith("retry:")
    assert '"onlineVens":1' in texts[-1]
    assert later[1].startswith("event: curve")  # drawn from the event's beginning


async def test_a_stream_ends_when_its_key_is_revoked(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.console.console_feed.ALLOWED_FOR_SEC", 0.0)
    database = Database(sqlite_url)
    allowed = True

    async def may_go_on() -> bool:
        return allowed

    async with api(database) as client:
        feed = client._transport.app.state.feed.subscribe(may_go_on)  # type: ignore[attr-defined]
        texts = [await asyncio.wait_for(anext(feed), 60) for _ in range(2)]
        allowed = False
        more = [text async for text in feed]
    await database.close()
    assert texts[1].startswith("event: fleet")
    assert len(more) < 2


async def test_the_page_and_its_files_are_served_with_a_policy(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    async with api(database) as client:
        root = await client.get("/")
        page = await client.get("/console/")
        docs = await client.get("/docs")
        script = await client.get("/console/static/uPlot.iife.min.js")
        secret = await client.get("/console/static/..%2fpage.py")
    await database.close()
    assert (root.status_code, root.headers["location"]) == (307, "console/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in docs.headers["Content-Security-Policy"]
    assert script.status_code == 200
    assert secret.status_code == 404
