"""VENs, loads and histories over REST: on PostgreSQL and on SQLite."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, update

from backend.config.backend_settings import BackendSettings
from backend.store.database import Database
from backend.store.database_upkeep import upkeep_network_samples
from backend.store.tables import EVENTS
from backend.store.telemetry_tables import (
    NetworkSampleRow,
    TelemetryQuarterHourRow,
    VenTelemetryRow,
)
from backend.store.utc_time import utc_now

from .api_client import add_ack, add_house, api
from .dispatching import Wire, add_event, add_vens, eventually, participants, set_online, set_state

pytestmark = pytest.mark.asyncio


async def test_a_ven_is_registered_changed_and_forgotten(database: Database) -> None:
    async with api(database) as client:
        body = {"name": "Maple", "registrationId": "maple-12", "location": {"lat": 1, "lon": 2}}
        made = await client.post("/api/vens/", json=body)
        assert made.status_code == 201
        ven = made.json()
        assert ven["id"] == ven["registrationId"] == "maple-12"
        assert ven["location"] == {"lat": 1.0, "lon": 2.0}
        assert (ven["status"], ven["availability"]["state"]) == ("offline", "unknown")
        listed = (await client.get("/api/vens/?status=offline")).json()
        assert [one["id"] for one in listed] == ["maple-12"]
        assert ven["createdAt"].endswith("Z")
        assert ven["metrics"]["currentPowerKw"] == 0.0
        assert ven["metrics"]["currentPowerKnown"] is False
        again = await client.post("/api/vens/", json={**body, "name": "Maple 12"})
        assert (again.status_code, again.json()["name"]) == (200, "Maple 12")
        changed = await client.patch("/api/vens/maple-12", json={"location": None, "name": "M"})
        assert changed.json()["location"] == {"lat": 0.0, "lon": 0.0}
        assert changed.json()["locationKnown"] is False
        assert (await client.get("/api/vens/maple-12")).json()["name"] == "M"
        assert (await client.delete("/api/vens/maple-12")).status_code == 204
        assert (await client.get("/api/vens/maple-12")).status_code == 404
        audit = (await client.get("/api/audit/")).json()["entries"]
    assert [entry["action"] for entry in audit] == [
        "ven.delete",
        "ven.change",
        "ven.register",
        "ven.register",
    ]
    assert audit[0]["actor"] == "local"


async def test_a_ven_that_its_telemetry_registered_is_reached_by_any_name(
    database: Database,
) -> None:
    await add_vens(database, {"v\u00fc": 1.0, "\u5bb6": 1.0})
    async with api(database) as client:
        for path in ("/api/vens/v%C3%BC", "/api/vens/%E5%AE%B6"):
            paused = await client.patch(path, json={"status": "maintenance"})
            assert (paused.status_code, paused.json()["status"]) == (200, "maintenance")
            assert (await client.get(path)).status_code == 200
            assert (await client.delete(path)).status_code == 204
        for wrong in ("a%20b", "a%00b", "a%23b", "v" * 129):
            assert (await client.get(f"/api/vens/{wrong}")).status_code == 422, wrong


async def test_a_ven_without_a_registration_id_gets_one_of_its_name(database: Database) -> None:
    async with api(database) as client:
        ven = (await client.post("/api/vens/", json={"name": "Café Ö, 2nd floor"})).json()
    assert ven["id"].startswith("caf-2nd-floor-")
    assert ven["registrationId"] == ven["id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x", "registrationId": "a/b"}, "registrationId"),
        ({"name": "x", "location": {"lat": 91, "lon": 0}}, "lat"),
        ({"name": "x", "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_field_is_named(sqlite_url: str, body: dict[str, object], field: str) -> None:
    database = Database(sqlite_url)
    async with api(database) as client:
        answer = await client.post("/api/vens/", json=body)
    await database.close()
    assert answer.status_code == 422
    assert field in answer.json()["detail"][0]["loc"]


async def test_a_ven_shows_its_loads_and_metrics(database: Database) -> None:
    await add_house(database)
    await set_state(database, "house", event_id="e1", used_power_kw=5.2)
    await add_ack(database, "house", "e1")
    async with api(database) as client:
        ven = (await client.get("/api/vens/house")).json()
        loads = (await client.get("/api/vens/house/loads")).json()
        heater = (await client.get("/api/vens/house/loads/heater1")).json()
        missing = await client.get("/api/vens/house/loads/none")
        shadow = (await client.get("/api/vens/house/shadow")).json()
    assert ven["metrics"] == {
        "currentPowerKw": 5.2,
        "currentPowerKnown": True,
        "shedAvailabilityKw": 4.0,
        "shedAvailabilityKnown": True,
        "shedInAnHourKw": 4.0,
        "activeEventId": "e1",
        "shedLoadIds": ["heater1"],
    }
    assert ven["loads"] == loads
    assert [load["enabled"] for load in loads] == [True, False, None]
    assert [load["currentPowerKw"] for load in loads] == [3.0, 2.0, 0.0]
    assert [load["currentPowerKnown"] for load in loads] == [True, True, False]
    assert heater == {
        "id": "heater1",
        "loadId": "heater1",
        "name": "Heater1",
        "type": "heater",
        "capacityKw": 2.0,
        "currentPowerKw": 2.0,
        "currentPowerKnown": True,
        "shedCapabilityKw": 2.0,
        "enabled": False,
        "priority": 5,
    }
    assert missing.status_code == 404
    assert shadow["reported"]["power_kw"] == 5.2
    assert shadow["state"] == {"reported": shadow["reported"], "desired": None}
    told = {"event_id": "e1", "shed_kw": None, "end_ts": None}  # an event that nobody here knows
    assert shadow["reported"]["active_event"] == told
    assert isinstance(shadow["reported"]["timestamp"], int)
    assert [circuit["critical"] for circuit in shadow["reported"]["circuits"]] == [0, 0, 1]


async def test_the_fleet_comes_in_pages(database: Database) -> None:
    await add_vens(database, {f"v{n}": 1.0 for n in range(5)})
    await add_vens(database, {"away": 1.0}, status="offline")
    async with api(database) as client:
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": 2, "status": "online", **({"cursor": cursor} if cursor else {})}
            page = await client.get("/api/vens/", params=params)
            seen += [ven["id"] for ven in page.json()]
            cursor = page.headers.get("X-Next-Cursor")
            if cursor is None:
                break
        summary = (await client.get("/api/vens/summary")).json()
        bad = await client.get("/api/vens/", params={"cursor": "nonsense"})
    assert seen == [f"v{n}" for n in range(5)]
    assert len(summary) == 6
    assert summary[-1]["shedAvailabilityKw"] == 1.0
    assert (bad.status_code, bad.json()["detail"][0]["loc"]) == (422, ["query", "cursor"])


async def test_telemetry_comes_newest_first_in_pages(database: Database) -> None:
    latest = await add_house(database, samples=7)
    async with api(database) as client:
        first = (
            await client.get("/api/vens/house/telemetry", params={"limit": 5, "order": "desc"})
        ).json()
        rest = (
            await client.get(
                "/api/vens/house/telemetry",
                params={"limit": 5, "order": "desc", "cursor": first["nextCursor"]},
            )
        ).json()
        since = latest - timedelta(seconds=10)
        some = (
            await client.get("/api/vens/house/telemetry", params={"start": since.isoformat()})
        ).json()
    assert first["totalCount"] == 7
    powers = [point["usedPowerKw"] for point in first["telemetry"] + rest["telemetry"]]
    assert powers == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert rest["nextCursor"] is None
    assert first["telemetry"][0]["loads"][0]["currentPowerKw"] == 1.006
    assert "batterySOC" in first["telemetry"][0]
    assert some["totalCount"] == 3


async def test_a_circuits_history_follows_it_newest_first(database: Database) -> None:
    latest = await add_house(database, samples=6)
    async with api(database) as client:
        url = "/api/vens/house/circuits/history"
        one = (
            await client.get(url, params={"load_id": "hvac1", "limit": 4, "order": "desc"})
        ).json()
        everything: list[tuple[str, str]] = []
        cursor = None
        while True:
            params = {"limit": 4, "order": "desc", **({"cursor": cursor} if cursor else {})}
            page = (await client.get(url, params=params)).json()
            everything += [(s["timestamp"], s["loadId"]) for s in page["snapshots"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        none = (await client.get(url, params={"load_id": "unknown"})).json()
    assert one["totalCount"] == 6
    assert [s["currentPowerKw"] for s in one["snapshots"]] == [1.005, 1.004, 1.003, 1.002]
    assert one["snapshots"][0]["timestamp"] == latest.isoformat().replace("+00:00", "Z")
    assert one["snapshots"][0]["type"] == "hvac"
    assert page["totalCount"] == len(everything) == len(set(everything)) == 18
    assert none["snapshots"] == []


async def test_plots_are_means_over_steps(database: Database) -> None:
    await add_house(database, samples=24, step_sec=5)
    async with api(database) as client:
        day = (await client.get("/api/vens/house/history")).json()
        minute = (await client.get("/api/vens/house/history", params={"granularity": "1m"})).json()
        load = (
            await client.get("/api/vens/house/loads/hvac1/history", params={"granularity": "hour"})
        ).json()
        unread = (await client.get("/api/vens/house/loads/fridge1/history")).json()
        missing = await client.get("/api/vens/house/loads/none/history")
        wrong = await client.get("/api/vens/house/history", params={"granularity": "1 parsec"})
    assert day["granularitySec"] == 300
    assert 2 <= len(minute["points"]) <= 3
    assert {point["timestamp"][-4:] for point in minute["points"]} == {":00Z"} or all(
        point["timestamp"].endswith("00Z") for point in minute["points"]
    )
    powers = [point["usedPowerKw"] for point in load["points"]]
    assert all(1.0 <= power <= 1.023 for power in powers)
    assert {point["usedPowerKnown"] for point in unread["points"]} == {False}
    assert missing.status_code == 404
    assert wrong.status_code == 422


async def test_times_need_a_zone(database: Database) -> None:
    await add_house(database, samples=2)
    async with api(database) as client:
        url = "/api/vens/house/telemetry"
        naive = await client.get(url, params={"start": "2026-01-01T00:00:00"})
        plus = await client.get(f"{url}?start=2026-01-01T00:00:00+00:00")
        reversed_ = await client.get(
            "/api/vens/house/history",
            params={"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        )
    assert (naive.status_code, naive.json()["detail"][0]["loc"]) == (422, ["query", "start"])
    assert plus.status_code == 200
    assert reversed_.status_code == 422


async def test_the_summary_is_searched_and_paged(database: Database) -> None:
    await add_vens(database, {f"maple-{n}": 1.0 for n in range(5)})
    await add_vens(database, {"100%_oak": 1.0}, status="offline")
    url = "/api/vens/summary"
    async with api(database) as client:
        page = await client.get(url, params={"search": "APLE", "limit": 2})
        cursor = page.headers["X-Next-Cursor"]
        rest = await client.get(url, params={"search": "APLE", "cursor": cursor})
        literal = await client.get(url, params={"search": "%_"})
        offline = await client.get(url, params={"status": "offline"})
    found = [row["id"] for row in page.json() + rest.json()]
    assert found == [f"maple-{n}" for n in range(5)]
    assert page.headers["X-Total-Count"] == rest.headers["X-Total-Count"] == "5"
    assert [row["id"] for row in literal.json()] == ["100%_oak"]
    assert offline.headers["X-Total-Count"] == "1"


async def test_acks_of_a_ven_come_in_pages(database: Database) -> None:
    await add_vens(database, {"v": 1.0})
    for number in range(3):
        await add_ack(database, "v", f"e{number}")
    async with api(database) as client:
        first = await client.get("/api/vens/v/events", params={"limit": 2})
        cursor = first.headers["X-Next-Cursor"]
        rest = await client.get("/api/vens/v/events", params={"limit": 2, "cursor": cursor})
    assert [ack["eventId"] for ack in first.json() + rest.json()] == ["e2", "e1", "e0"]
    assert first.json()[0]["circuitsCurtailed"][0]["loadId"] == "heater1"
    assert first.json()[0]["actualShedKw"] == 1.9


async def test_send_event_returns_the_command_that_was_published(database: Database) -> None:
    await add_vens(database, {"v": 1.0})
    wire = Wire()
    async with api(database, wire) as client:
        sent = await client.post(
            "/api/vens/v/send-event", json={"shedKw": 2.5, "durationSec": 300, "eventId": "mine"}
        )
        twice = await client.post("/api/vens/v/send-event", json={"shedKw": 1})
        event = (await client.get("/api/events/mine")).json()
        await client.post("/api/events/mine/stop")
        await eventually(lambda: wire.to("v", "restore"))
        same = await client.post("/api/vens/v/send-event", json={"shedKw": 1, "eventId": "mine"})
    assert sent.status_code == 200
    assert sent.json()["state"] == "published"
    assert sent.json()["payload"] == wire.to("v")[0]
    assert sent.json()["correlationId"].startswith("evt-mine-")
    assert wire.to("v")[0]["shed_kw"] == 2.5
    assert (event["status"], event["vens"][0]["venId"]) == ("active", "v")
    assert (twice.status_code, same.status_code) == (409, 409)
    assert "takes part in event mine" in twice.json()["detail"]


async def test_a_circuit_is_shed_and_switched_by_command(database: Database) -> None:
    await add_house(database)
    wire = Wire()
    async with api(database, wire) as client:
        url = "/api/vens/house/loads"
        shed = await client.post(f"{url}/heater1/commands/shed", json={"amountKw": 1.5})
        critical = await client.post(f"{url}/fridge1/commands/shed", json={"amountKw": 0.1})
        switched = await client.patch(f"{url}/hvac1", json={"enabled": False})
        nothing = await client.patch(f"{url}/hvac1", json={})
        unknown = await client.patch(f"{url}/none", json={"enabled": True})
    assert shed.json()["op"] == "shedLoad"
    assert wire.to("house", "shedLoad")[0]["loadId"] == "heater1"
    assert wire.to("house", "shedLoad")[0]["reduceKw"] == 1.5
    assert switched.json()["command"]["payload"]["enabled"] is False
    assert switched.json()["loadId"] == "hvac1"
    assert wire.to("house", "setLoad")[0]["loadId"] == "hvac1"
    assert [answer.status_code for answer in (critical, nothing, unknown)] == [409, 422, 404]
    (event_id,) = {command["event_id"] for command in wire.to("house", "shedLoad")}
    assert await participants(database, str(event_id)) == {"house": "commanded"}


async def test_a_ven_in_an_event_is_not_forgotten(database: Database) -> None:
    await add_vens(database, {"v": 1.0})
    async with api(database, Wire()) as client:
        await client.post("/api/vens/v/send-event", json={"shedKw": 1})
        assert (await client.delete("/api/vens/v")).status_code == 409


async def test_the_network_is_summed_up(database: Database) -> None:
    await add_house(database)
    await set_state(database, "house", used_power_kw=5.0, shed_power_kw=1.5)
    await add_vens(database, {"away": 3.0}, status="offline")
    await set_online(database, "house")
    async with api(database) as client:
        network = (await client.get("/api/stats/network")).json()
        loads = (await client.get("/api/stats/loads")).json()
        history = (await client.get("/api/stats/network/history")).json()
    assert network == {
        "venCount": 2,
        "onlineVens": 1,
        "controllablePowerKw": 5.0,
        "potentialLoadReductionKw": 4.0,
        "householdUsageKw": 5.0,
        "currentLoadReductionKw": 1.5,
    }
    assert loads[0] == {
        "type": "heater",
        "count": 1,
        "capacityKw": 2.0,
        "currentPowerKw": 2.0,
        "shedCapabilityKw": 2.0,
        "totalCapacityKw": 2.0,
        "totalShedCapabilityKw": 2.0,
        "currentUsageKw": 2.0,
    }
    (now,) = history["points"]
    assert (now["usedPowerKw"], now["shedPowerKw"]) == (5.0, 1.5)
    assert (now["householdUsageKw"], now["currentLoadReductionKw"]) == (5.0, 1.5)


async def test_a_circuits_shed_power_is_what_it_draws_less(database: Database) -> None:
    await add_house(database, samples=12)
    async with database.engine.begin() as connection:
        telemetry = VenTelemetryRow.__table__
        await connection.execute(update(telemetry).values(event_id="e1"))  # type: ignore[arg-type]
    curtailed = [
        {"id": "heater1", "loadId": "heater1", "original_kw": 3.5, "shedKw": 1.5},
        {"loadId": "hvac1", "name": "without what it drew before", "shedKw": 0.75},
    ]
    await add_ack(database, "house", "e1", circuits_curtailed=curtailed)
    async with api(database) as client:
        found = {}
        for load_id in ("heater1", "hvac1", "fridge1"):
            url = f"/api/vens/house/loads/{load_id}/history"
            points = (await client.get(url, params={"granularity": "hour"})).json()["points"]
            found[load_id] = {point["shedPowerKw"] for point in points}
    assert found == {"heater1": {1.5}, "hvac1": {0.75}, "fridge1": {0.0}}


async def test_the_fleets_curve_has_steps_of_five_minutes_and_ends_now(database: Database) -> None:
    await add_house(database)
    await set_state(database, "house", used_power_kw=5.0, shed_power_kw=1.5)
    step = timedelta(minutes=5)
    now = utc_now()
    begin = datetime.fromtimestamp(now.timestamp() // 300 * 300, timezone.utc) - 3 * step
    async with database.engine.begin() as connection:
        samples = [
            {
                "at": begin + n * timedelta(minutes=1),
                "ven_count": 2,
                "used_power_kw": float(n),
                "shed_power_kw": 1.0,
            }
            for n in range(10)
        ]
        await connection.execute(insert(NetworkSampleRow), samples)
        earlier = {"ven_id": "house", "start": begin - 2 * step, "samples": 1, "in_event": False}
        powers = {"used_power_kw": 9.0, "shed_power_kw": 0.5}
        await connection.execute(insert(TelemetryQuarterHourRow).values(**earlier, **powers))
        await upkeep_network_samples(connection, BackendSettings.from_environment({}))
    # Of the second step an event of 4 kW ran in the last three of five minutes.
    await add_event(database, 4.0, start=begin + timedelta(minutes=7), for_sec=180.0)
    async with database.engine.begin() as connection:
        ran = {"activated_at": EVENTS.c.start_time, "ended_at": EVENTS.c.end_time}
        await connection.execute(update(EVENTS).values(**ran, status="completed"))
    async with api(database) as client:
        url = "/api/stats/network/history"
        seconds = (await client.get(url, params={"granularity": "5s"})).json()
        fine = (await client.get(url)).json()["points"]
        coarse = (await client.get(url, params={"granularity": "hour"})).json()["points"]
    powers_kw = [(point["usedPowerKw"], point["shedPowerKw"]) for point in fine]
    assert powers_kw[:3] == [(9.0, 0.5), (2.0, 1.0), (7.0, 1.0)]
    assert powers_kw[-1] == (5.0, 1.5)
    asked = [(point["eventId"], point["requestedReductionKw"]) for point in fine]
    assert asked[:4] == [(None, 0.0), (None, 0.0), ("e1", 2.4), (None, 0.0)]
    assert seconds["granularitySec"] == 60
    assert 1 <= len(coarse) <= 2
