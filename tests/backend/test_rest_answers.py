"""Each answer of the REST API passes the models of a client written for another backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from backend.store.database import Database
from backend.store.schema_migration import upgrade_schema
from backend.store.utc_time import utc_now
from tests.backend.api_client import add_ack, add_house, api
from tests.backend.dispatching import Wire, acknowledge, add_vens, eventually, set_state
from tests.contract.reference import peer_models as peer
from tests.support.each_case import each_case

Calls = Callable[[Database, httpx.AsyncClient, Wire], Awaitable[Any]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("migrated") / "backend.sqlite"
    upgrade_schema(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def run(tmp_path: Path, template: bytes) -> Callable[[Calls], Any]:
    """Runs calls against an application with a house, a VEN that never reported, and a wire."""
    path = tmp_path / "backend.sqlite"
    path.write_bytes(template)

    async def with_application(calls: Calls) -> Any:
        database, wire = Database(f"sqlite:///{path}"), Wire()
        await add_house(database)
        await add_vens(database, {"silent": None}, status="unknown")
        try:
            async with api(database, wire) as client:
                return await calls(database, client, wire)
        finally:
            await database.close()

    return lambda calls: asyncio.run(with_application(calls))


GETS: list[tuple[str, Any]] = [
    ("/api/vens/", list[peer.PeerVen]),
    ("/api/vens/house", peer.PeerVen),
    ("/api/vens/silent", peer.PeerVen),
    ("/api/vens/summary", list[peer.PeerSummaryRow]),
    ("/api/vens/house/loads", list[peer.PeerLoad]),
    ("/api/vens/house/loads/heater1", peer.PeerLoad),
    ("/api/vens/house/telemetry", peer.PeerTelemetryPage),
    ("/api/vens/house/circuits/history?limit=5000", peer.PeerSnapshots),
    ("/api/vens/house/history", peer.PeerHistory),
    ("/api/vens/house/loads/hvac1/history", peer.PeerHistory),
    ("/api/vens/house/loads/fridge1/history", peer.PeerHistory),
    ("/api/vens/house/events", list[peer.PeerVenAck]),
    ("/api/vens/house/shadow", peer.PeerShadow),
    ("/api/vens/silent/shadow", peer.PeerShadow),
    ("/api/events/", list[peer.PeerEvent]),
    ("/api/events/history", list[peer.PeerEvent]),
    ("/api/events/current", peer.PeerEventDetail | None),
    ("/api/stats/network", peer.PeerNetwork),
    ("/api/stats/loads", list[peer.PeerLoadType]),
    ("/api/stats/network/history", peer.PeerHistory),
    ("/api/stats/network/history?granularity=15m", peer.PeerHistory),
]


def test_every_answer_passes_the_peers_model(run: Callable[[Calls], Any]) -> None:
    async def calls(database: Database, client: httpx.AsyncClient, _wire: Wire) -> Any:
        await add_ack(database, "house", "e1")
        return {path: await client.get(path) for path, _ in GETS}

    answers = run(calls)

    @each_case(("path", "model"), GETS)
    def check(path: str, model: Any) -> None:
        answer = answers[path]
        assert answer.status_code == 200, answer.text
        TypeAdapter(model).validate_python(answer.json())

    check()


def test_an_event_passes_it_before_during_and_after(run: Callable[[Calls], Any]) -> None:
    async def calls(database: Database, client: httpx.AsyncClient, wire: Wire) -> Any:
        now = utc_now()
        made = await client.post(
            "/api/events/",
            json={
                "startTime": now.isoformat(),
                "endTime": (now + timedelta(hours=1)).isoformat(),
                "requestedReductionKw": 2.0,
            },
        )
        url = f"/api/events/{made.json()['id']}"
        await eventually(lambda: wire.to("house"))
        before = await client.get(f"{url}/metrics")
        await acknowledge(database, wire.sent)
        event_id = made.json()["id"]
        await set_state(database, "house", event_id=event_id, shed_power_kw=1.75)
        during = await client.get(url)
        listed = await client.get("/api/events/")
        current = await client.get("/api/events/current")
        after = await client.post(f"{url}/stop")
        return made, before, during, listed, current, after

    made, before, during, listed, current, after = run(calls)
    for answer in (made, during, current, after):
        peer.PeerEventDetail.model_validate(answer.json())
    peer.PeerEventMetrics.model_validate(before.json())
    assert before.json()["avgResponseMs"] == 0
    assert during.json()["actualReductionKw"] == 1.75
    assert listed.json()[0]["actualReductionKw"] == 1.75


def test_what_is_not_known_is_told_as_nought_and_marked(run: Callable[[Calls], Any]) -> None:
    async def calls(_database: Database, client: httpx.AsyncClient, _wire: Wire) -> Any:
        return (await client.get("/api/vens/silent")).json()

    ven = run(calls)
    assert (ven["location"], ven["locationKnown"]) == ({"lat": 0.0, "lon": 0.0}, False)
    assert ven["metrics"]["currentPowerKnown"] is ven["metrics"]["shedAvailabilityKnown"] is False
    assert ven["availability"]["state"] == "unknown"


def test_histories_are_oldest_first_unless_asked_otherwise(run: Callable[[Calls], Any]) -> None:
    async def calls(_database: Database, client: httpx.AsyncClient, _wire: Wire) -> Any:
        url = "/api/vens/house/circuits/history"
        found = []
        for query in ("load_id=hvac1&limit=3", "load_id=hvac1&limit=3&order=desc"):
            snapshots = (await client.get(f"{url}?{query}")).json()["snapshots"]
            found.append([snapshot["currentPowerKw"] for snapshot in snapshots])
        start = (utc_now() - timedelta(days=1)).isoformat().replace("+", "%2B")
        forward: list[float] = []
        cursor = ""
        while True:
            query = f"load_id=hvac1&limit=6&start={start}{cursor}"
            page = (await client.get(f"{url}?{query}")).json()
            forward += [snapshot["currentPowerKw"] for snapshot in page["snapshots"]]
            if page["nextCursor"] is None:
                return *found, forward
            cursor = f"&cursor={page['nextCursor']}"

    latest, newest_first, forward = run(calls)
    assert latest == [1.017, 1.018, 1.019]
    assert newest_first == [1.019, 1.018, 1.017]
    assert forward == [round(1.0 + n / 1_000, 3) for n in range(20)]


def test_an_active_event_with_a_start_ahead_waits_for_it(run: Callable[[Calls], Any]) -> None:
    async def calls(_database: Database, client: httpx.AsyncClient, wire: Wire) -> Any:
        now = utc_now()
        ahead = {
            "status": "active",
            "startTime": (now + timedelta(hours=1)).isoformat(),
            "endTime": (now + timedelta(hours=2)).isoformat(),
            "requestedReductionKw": 2.0,
        }
        late = {**ahead, "startTime": (now - timedelta(seconds=20)).isoformat()}
        too_late = {**ahead, "startTime": (now - timedelta(minutes=10)).isoformat()}
        answers = [await client.post("/api/events/", json=body) for body in (ahead, late, too_late)]
        await eventually(lambda: wire.to("house"))
        return answers, wire.to("house")

    (waits, begins, refused), sent = run(calls)
    assert [answer.status_code for answer in (waits, begins, refused)] == [201, 201, 422]
    assert waits.json()["status"] == "scheduled"
    assert {command["event_id"] for command in sent} == {begins.json()["id"]}
    assert refused.json()["detail"][0]["loc"] == ["body", "startTime"]


def test_maintenance_and_a_loads_capacity_are_set(run: Callable[[Calls], Any]) -> None:
    async def calls(_database: Database, client: httpx.AsyncClient, wire: Wire) -> Any:
        load = await client.patch("/api/vens/house/loads/heater1", json={"capacityKw": 2.5})
        ven = await client.patch("/api/vens/house", json={"status": "maintenance"})
        again = await client.get("/api/vens/house")
        back = await client.patch("/api/vens/house", json={"status": "active"})
        kinds = (await client.get("/api/stats/loads")).json()
        capacities = {kind["type"]: kind["totalCapacityKw"] for kind in kinds}
        assert (back.json()["status"], capacities["heater"]) == ("online", 2.5)
        return load.json(), ven.json(), again.json(), list(wire.sent)

    load, ven, again, sent = run(calls)
    assert (load["capacityKw"], load["command"], sent) == (2.5, None, [])
    assert (ven["status"], ven["availability"]["state"]) == ("maintenance", "maintenance")
    assert ven["metrics"]["shedAvailabilityKw"] == 0.0
    assert [one["capacityKw"] for one in again["loads"]] == [5.0, 2.5, 0.5]


def test_the_demo_says_whether_there_is_something_to_show(run: Callable[[Calls], Any]) -> None:
    async def calls(_database: Database, client: httpx.AsyncClient, _wire: Wire) -> Any:
        return (await client.get("/health/demo-status")).json()

    assert run(calls) == {"status": "ok", "venCount": 2, "onlineVens": 1, "activeEventIds": []}
