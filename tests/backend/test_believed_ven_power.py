"""What VENs claim is bounded by what they were seen to draw and by their rating, at each door."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.backend_settings import BackendSettings
from backend.dispatch.new_event import NewEvent, create_new_event
from backend.openadr.operator_fleet import operator_available_kw, operator_sites
from backend.store.database import Database
from backend.store.database_upkeep import upkeep_network_samples
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.telemetry_tables import NetworkSampleRow
from backend.store.utc_time import utc_now
from VenAgent.contract.op import Op

from .api_client import add_house, api
from .dispatching import Wire, add_event, add_vens, dispatching, eventually, set_state

pytestmark = pytest.mark.asyncio


async def add_limit(connection: AsyncConnection, event_id: str, import_kw: float) -> None:
    """For the whole fleet, from now on."""
    now = utc_now()
    limit = NewEvent(
        kind=Op.LIMIT,
        import_kw=import_kw,
        start=now,
        end=now + timedelta(seconds=600),
        event_id=event_id,
    )
    await create_new_event(connection, limit)


async def add_liars(database: Database) -> None:
    """a and b can shed 1 and 3 kW; the others say what nobody believes: 5 kW of them is so."""
    await add_vens(database, {"a": 1.0, "b": 3.0, "liar": 900_000.0, "negative": -50.0})
    await add_vens(database, {"nobody": 900_000.0, "out": 7.0})
    await set_state(database, "a", used_power_kw=5.0, highest_power_kw=8.0)
    await set_state(database, "b", used_power_kw=3.0, highest_power_kw=8.0)
    seen = {"highest_power_kw": 5.0, "panel_max_kw": 48.0, "used_power_kw": 900_000.0}
    await set_state(database, "liar", shed_power_kw=900_000.0, **seen)
    await set_state(database, "negative", shed_power_kw=-900_000.0, highest_power_kw=0.0)
    await set_state(database, "negative", used_power_kw=-900_000.0, panel_max_kw=2.0)
    await set_state(database, "nobody", used_power_kw=None)
    await set_state(database, "out", availability="opted_out", used_power_kw=0.0)
    async with database.engine.begin() as connection:
        await connection.execute(update(VENS).where(VENS.c.id == "nobody").values(trusted=False))


async def test_the_fleets_figures_are_what_is_believed(database: Database) -> None:
    await add_liars(database)
    async with api(database, Wire()) as client:
        network = (await client.get("/api/stats/network")).json()
        assert network["potentialLoadReductionKw"] == 9.0
        assert network["householdUsageKw"] == 5.0 + 3.0 + 48.0 - 2.0
        assert network["currentLoadReductionKw"] == 5.0
        metrics = (await client.get("/metrics")).text
        assert "venagent_load_reduction_potential_kw 9.0\n" in metrics
        vens = {ven["id"]: ven for ven in (await client.get("/api/vens/summary")).json()}
        shown = {ven_id: ven["shedAvailabilityKw"] for ven_id, ven in vens.items()}
        expected = {"a": 1.0, "b": 3.0, "liar": 5.0, "negative": 0.0, "nobody": 0.0, "out": 0.0}
        assert shown == expected
        assert {ven_id: ven["controllablePower"] for ven_id, ven in vens.items()} == expected
        for ven_id, believed_kw in expected.items():
            metrics = (await client.get(f"/api/vens/{ven_id}")).json()["metrics"]
            assert metrics["shedAvailabilityKw"] == believed_kw, ven_id
            assert believed_kw <= metrics["shedInAnHourKw"] <= 10.0, ven_id
        ordered = (await client.get("/api/vens/summary?sort=shedAvailabilityKw&order=desc")).json()
        assert [ven["id"] for ven in ordered][1:3] == ["liar", "b"]  # out would be first
        body = {"name": "g", "venIds": sorted(expected)}
        group = (await client.post("/api/groups/", json=body)).json()
        assert group["shedAvailabilityKw"] == 9.0
        ask = {"requestedReductionKw": 100, "durationSec": 600}
        preview = (await client.post("/api/events/preview", json=ask)).json()
        assert preview["availableKw"] == 9.0
        limit = {"kind": "limit", "importKw": 10, "durationSec": 600}
        preview = (await client.post("/api/events/preview", json=limit)).json()
        assert preview["availableKw"] == 5.0 + 3.0 + 48.0
    async with database.engine.begin() as connection:
        await upkeep_network_samples(connection, BackendSettings())
        sample = (await connection.execute(select(NetworkSampleRow.__table__))).one()
    assert (sample.used_power_kw, sample.shed_power_kw) == (54.0, 5.0)


async def test_the_circuits_of_a_liar_count_for_what_is_believed_of_it(database: Database) -> None:
    await add_house(database)  # its three circuits can shed 1 and 2 kW, so it says
    async with api(database, Wire()) as client:
        before = (await client.get("/api/stats/loads")).json()
        assert sum(kind["shedCapabilityKw"] for kind in before) == 3.0
        await set_state(database, "house", highest_power_kw=1.5, panel_max_kw=0.75)
        after = (await client.get("/api/stats/loads")).json()
        assert sum(kind["shedCapabilityKw"] for kind in after) == pytest.approx(0.75, abs=2e-3)
        assert sum(kind["currentPowerKw"] for kind in after) == pytest.approx(0.75, abs=2e-3)
        network = (await client.get("/api/stats/network")).json()
        assert network["controllablePowerKw"] <= 0.75


async def test_what_openadr_counts_on_is_believed_and_free(database: Database) -> None:
    """A share of what can be shed is not of what a liar says, nor of sites that are out or held."""
    await add_liars(database)
    await add_vens(database, {"held": 4.0})
    held = {"event_id": "other", "ven_id": "held", "status": "accepted", "assigned_shed_kw": 4.0}
    await add_event(database, 4.0, event_id="other", ven_ids=["held"])
    async with database.engine.begin() as connection:
        await connection.execute(update(EVENTS).values(status="active"))
        await connection.execute(insert(PARTICIPANTS).values(**held, modification=0))
    async with database.engine.connect() as connection:
        assert await operator_available_kw(connection, None) == 9.0
        assert await operator_available_kw(connection, None, ["other"]) == 13.0
        assert await operator_available_kw(connection, ["a", "liar"]) == 6.0
        sites = await operator_sites(connection, None, [])
    told = {site.ven_id: site.shed_available_kw for site in sites}
    assert told == {
        "a": 1.0,
        "b": 3.0,
        "liar": 5.0,
        "negative": 0.0,
        "nobody": 0.0,
        "out": 0.0,
        "held": 4.0,
    }


async def test_the_parts_of_a_limit_go_by_draws_that_are_believed(database: Database) -> None:
    await add_vens(database, {"a": 1.0, "liar": 1.0})
    await set_state(database, "a", used_power_kw=5.0, highest_power_kw=8.0)
    lies = {"used_power_kw": 900_000.0, "highest_power_kw": 900_000.0}
    await set_state(database, "liar", panel_max_kw=15.0, **lies)
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        async with database.engine.begin() as connection:
            await add_limit(connection, "rated", 10.0)
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.sent) == 2)
    assert {s["venId"]: s["import_kw"] for s in wire.sent} == {"a": 2.5, "liar": 7.5}
    await set_state(database, "a", panel_max_kw=10.0)
    await set_state(database, "liar", panel_max_kw=None)  # it may draw as much as a ever did
    async with database.engine.begin() as connection:
        await add_limit(connection, "one is rated", 13.0)
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.sent) == 2)
    assert {s["venId"]: s["import_kw"] for s in wire.sent} == {"a": 5.0, "liar": 8.0}
    async with database.engine.begin() as connection:
        await connection.execute(update(VENS).where(VENS.c.id == "liar").values(trusted=False))
        await connection.execute(update(VEN_STATE).values(panel_max_kw=None))
        await add_limit(connection, "trusted", 10.0)
    wire = Wire()
    async with dispatching(database, wire) as dispatcher:
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.sent) == 2)
    assert {s["venId"]: s["import_kw"] for s in wire.sent} == {"a": 5.0, "liar": 5.0}
