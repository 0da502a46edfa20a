"""Liveness, readiness and metrics over HTTP: `/health`, `/health/ready`, `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backend.process.timeouts import result_within_timeout
from backend.store.database import Database
from backend.store.database_errors import database_error_line

_DATABASE_TIMEOUT_SEC = 2.0

Troubles = Callable[[], Awaitable[list[str]]]


async def ingest_health_of_database(database: Database) -> str | None:
    """What is wrong with the database, if anything."""
    try:
        await result_within_timeout(
            _DATABASE_TIMEOUT_SEC, database.check(), break_off=database.is_postgresql
        )
    except asyncio.TimeoutError:
        return f"the database did not answer within {_DATABASE_TIMEOUT_SEC:.0f} s"
    except (SQLAlchemyError, OSError) as error:
        return f"the database cannot be reached: {database_error_line(error)}"
    return None


def _health_application(troubles: Troubles) -> Starlette:
    """`troubles` says what prevents messages from being stored; nothing when all is well."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        found = await troubles()
        status = "ok" if not found else "not ready"
        return JSONResponse({"status": status, "reasons": found}, 503 if found else 200)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/health", live),
            Route("/health/ready", ready),
            Route("/metrics", metrics),
        ]
    )


class IngestHealthServer(uvicorn.Server):
    """Within the process's own loop; signals are the process's business, not uvicorn's."""

    def __init__(self, host: str, port: int, troubles: Troubles) -> None:
        super().__init__(
            uvicorn.Config(
                _health_application(troubles),
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                lifespan="off",  # nothing to begin or end: cancelled, it would log a traceback
            )
        )

    def capture_signals(self):  # type: ignore[no-untyped-def]
        return nullcontext()
