"""The application with a client, without a network; and telemetry as ingest stores it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import httpx
from sqlalchemy import insert

from backend.api import command_routes
from backend.api.api_app import make_api_app
from backend.api.api_services import ApiServices
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.dispatcher import Dispatcher
from backend.store.command_tables import CommandAckRow
from backend.store.database import Database
from backend.store.day_partitions import create_day_partitions, day_partitions_ahead
from backend.store.fleet_tables import LoadSetMemberRow, LoadSetRow
from backend.store.telemetry_tables import VenTelemetryRow
from backend.store.utc_time import utc_now

from .dispatching import LIMIT_SEC, Wire, add_vens, quick, set_state

LOADS = (("hvac1", "hvac", 5.0, 3), ("heater1", "heater", 2.0, 5), ("fridge1", "fridge", 0.5, 1))


@asynccontextmanager
async def api(
    database: Database,
    wire: Wire | None = None,
    *,
    dispatch: DispatchSettings | None = None,
    **variables: str,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application; with a wire, its dispatcher runs."""
    dispatcher = None if wire is None else Dispatcher(database, wire, dispatch or quick())
    app = make_api_app(
        BackendSettings.from_environment({}),
        ApiSettings.from_environment({"API_REQUESTS_PER_SEC": "10000", **variables}),
        database,
        dispatcher,
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        # A busy machine may take longer to publish than a client is let wait.
        with patch.object(command_routes, "PUBLISHED_WITHIN_SEC", LIMIT_SEC):
            yield client


def services_of(client: httpx.AsyncClient) -> ApiServices:
    """What the application of `api` works with."""
    services: ApiServices = client._transport.app.state.services  # type: ignore[attr-defined]
    return services


async def add_house(
    database: Database, ven_id: str = "house", *, samples: int = 20, step_sec: int = 5
) -> datetime:
    """An online VEN with three loads and telemetry up to now; the time of its latest."""
    latest = utc_now().replace(microsecond=0)
    await add_vens(database, {ven_id: 4.0})
    async with database.engine.begin() as connection:
        days = day_partitions_ahead(latest)
        await connection.run_sync(create_day_partitions, days)
        number = await connection.scalar(
            insert(LoadSetRow)
            .values(digest=ven_id.encode(), created_at=latest)
            .returning(LoadSetRow.id)
        )
        members = [
            {
                "load_set_id": number,
                "position": position,
                "load_id": load_id,
                "name": load_id.title(),
                "type": kind,
                "capacity_kw": capacity_kw,
                "priority": priority,
            }
            for position, (load_id, kind, capacity_kw, priority) in enumerate(LOADS, start=1)
        ]
        await connection.execute(insert(LoadSetMemberRow), members)
        rows = [
            {
                "ven_id": ven_id,
                "timestamp": latest - timedelta(seconds=step_sec * (samples - 1 - n)),
                "seq": n + 1,
                "used_power_kw": float(n),
                "shed_power_kw": 0.0,
                "requested_reduction_kw": 0.0,
                "load_set_id": number,
                "load_power_w": [1_000 + n, 2_000, None],
                "load_shed_w": [1_000, 2_000, 0],
                "load_enabled": "tf?",
            }
            for n in range(samples)
        ]
        await connection.execute(insert(VenTelemetryRow), rows)
    await set_state(
        database,
        ven_id,
        timestamp=latest,
        load_set_id=number,
        load_power_w=[3_000, 2_000, None],
        load_shed_w=[1_000, 2_000, 0],
        load_enabled="tf?",
    )
    return latest


async def add_ack(database: Database, ven_id: str, event_id: str, **changes: Any) -> None:
    async with database.engine.begin() as connection:
        values = {
            "digest": f"{ven_id}{event_id}{changes}".encode(),
            "ven_id": ven_id,
            "event_id": event_id,
            "correlation_id": f"evt-{event_id}-1",
            "timestamp": utc_now(),
            "op": "event",
            "status": "accepted",
            "requested_shed_kw": 2.0,
            "actual_shed_kw": 1.9,
            "circuits_curtailed": [{"id": "heater1", "loadId": "heater1", "shedKw": 1.9}],
            "raw_payload": {"op": "event", "status": "accepted", "venId": ven_id},
            "created_at": utc_now(),
            **changes,
        }
        await connection.execute(insert(CommandAckRow).values(**values))
