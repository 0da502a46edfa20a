"""Liveness, readiness and metrics. They need no key: what watches us has none."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.authentication import Reader
from backend.api.response_model import ResponseModel
from backend.api.stats_routes import network_stats
from backend.process.timeouts import result_within_timeout
from backend.store.database import Database
from backend.store.database_errors import database_error_line
from backend.store.schema_migration import current_schema_revision, latest_schema_revision
from backend.store.statuses import ACTIVE
from backend.store.tables import EVENTS

router = APIRouter(tags=["Health"])
DATABASE_TIMEOUT_SEC = 3.0
_VENS = Gauge("venagent_vens", "VENs known.")
_ONLINE = Gauge("venagent_vens_online", "VENs online.")
_REDUCTION = Gauge("venagent_load_reduction_kw", "Load reduction delivered now.")
_POTENTIAL = Gauge("venagent_load_reduction_potential_kw", "Load reduction possible now.")
_ACTIVE = Gauge("venagent_events_active", "Events active now.")


class HealthResponse(ResponseModel):
    status: str = Field(examples=["ok"])
    reasons: list[str] = []


class HealthDemoStatusResponse(ResponseModel):
    status: str = Field(examples=["ok"])
    ven_count: int
    online_vens: int
    active_event_ids: list[str]


@router.get("/health", response_model=HealthResponse, responses={503: {"model": HealthResponse}})
async def get_health(uses: Uses, response: Response) -> dict[str, Any]:
    """Liveness: whether this process does its work, or should be started anew."""
    faults = [worker.fault() for worker in (uses.dispatcher, uses.alerts) if worker is not None]
    return _answer(response, [reason for reason in (uses.ended, *faults) if reason])


@router.get(
    "/health/db-check", response_model=HealthResponse, responses={503: {"model": HealthResponse}}
)
async def get_health_of_database(uses: Uses, response: Response) -> dict[str, Any]:
    """Readiness: the database answers with this version's schema, and events are dispatched."""
    reasons = [uses.ended] if uses.ended else []
    trouble = await _database_trouble(uses.database)
    if trouble:
        reasons.append(trouble)
    if uses.dispatcher is not None:
        problem = uses.dispatcher.problem()
        if problem:
            reasons.append(problem)
    return _answer(response, reasons)


@router.get("/health/demo-status", response_model=HealthDemoStatusResponse)
async def get_health_demo_status(uses: Uses, _actor: Reader) -> dict[str, Any]:
    """Whether there is something to show: VENs that report, and an event that runs."""
    async with uses.database.engine.connect() as connection:
        figures = await network_stats(connection)
        active = await connection.scalars(select(EVENTS.c.id).where(EVENTS.c.status == ACTIVE))
        events = active.all()
    return {
        "status": "ok" if figures["online_vens"] else "no VEN is online",
        "ven_count": figures["ven_count"],
        "online_vens": figures["online_vens"],
        "active_event_ids": list(events),
    }


def _answer(response: Response, reasons: list[str]) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    if reasons:
        response.status_code = 503
    return {"status": "failing" if reasons else "ok", "reasons": reasons}


async def _revision(database: Database) -> str | None:
    async with database.engine.connect() as connection:
        return await connection.run_sync(current_schema_revision)


async def _database_trouble(database: Database) -> str | None:
    look = _revision(database)
    try:
        found = await result_within_timeout(
            DATABASE_TIMEOUT_SEC, look, break_off=database.is_postgresql
        )
    except asyncio.TimeoutError:
        return f"the database did not answer within {DATABASE_TIMEOUT_SEC:g} s"
    except (SQLAlchemyError, OSError) as error:
        return f"the database cannot be reached: {database_error_line(error)[:200]}"
    if found != latest_schema_revision():
        return f"the database's schema is {found}, this program needs {latest_schema_revision()}"
    return None


@router.get("/metrics", response_class=Response)
async def get_health_metrics(uses: Uses, _actor: Reader) -> Response:
    """For Prometheus."""
    async with uses.database.engine.connect() as connection:
        await _measure(connection)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _measure(connection: AsyncConnection) -> None:
    figures = await network_stats(connection)
    _VENS.set(figures["ven_count"])
    _ONLINE.set(figures["online_vens"])
    _REDUCTION.set(figures["current_load_reduction_kw"])
    _POTENTIAL.set(figures["potential_load_reduction_kw"])
    active = await connection.scalars(select(EVENTS.c.id).where(EVENTS.c.status == ACTIVE))
    _ACTIVE.set(len(active.all()))
