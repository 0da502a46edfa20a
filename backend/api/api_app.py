"""The application: routes, what they work with, and the dispatcher beside them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from prometheus_client import Histogram
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from backend.alerts.alert_service import AlertService
from backend.api import (
    command_routes,
    event_routes,
    group_routes,
    health_routes,
    history_routes,
    load_routes,
    programme_routes,
    settlement_routes,
    shadow_routes,
    stats_routes,
    telemetry_routes,
    ven_routes,
)
from backend.api.account_routes import account_router
from backend.api.alert_routes import alert_router
from backend.api.api_key_cache import ApiKeyCache
from backend.api.api_services import ApiServices
from backend.api.audit_routes import audit_router
from backend.api.body_limit import BodyLimit
from backend.api.direct_peer import DirectPeer
from backend.api.openadr_routes import openadr_router
from backend.api.proxy_login import ProxyLogin
from backend.api.query_names import check_query_names, unknown_body_field_text
from backend.api.request_rate import RequestRateLimit
from backend.api.response_model import ProblemResponseModel
from backend.api.strict_json import StrictJson
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.console import console_page
from backend.console.console_feed import ConsoleFeed
from backend.dispatch.dispatcher import Dispatcher
from backend.store.database import Database
from backend.store.database_errors import database_error_line

log = structlog.get_logger(__name__)

REQUESTS = Histogram(
    "venagent_api_request_seconds",
    "Requests by route and status.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
ABOUT = """The operator's side of demand response: the fleet of VENs, events, and what they brought.

Power is in kW, times are ISO 8601 with a zone, names are camelCase. Send an API key as
`Authorization: Bearer KEY` or `X-API-Key: KEY`; the roles are read, operate and admin.
"""
ALERTS_END_WITHIN_SEC = 12.0
"""Longer than a notice is waited for."""
LARGEST_BODY_BYTES = 4_000_000
"""20,000 VENs by name."""
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": ProblemResponseModel, "description": "No valid key."},
    403: {"model": ProblemResponseModel, "description": "The key's role does not reach."},
    404: {"model": ProblemResponseModel, "description": "There is none."},
    413: {"model": ProblemResponseModel, "description": "Larger than any request of ours."},
    409: {"model": ProblemResponseModel, "description": "Not in its present state."},
    429: {"model": ProblemResponseModel, "description": "Too many requests."},
    503: {"model": ProblemResponseModel, "description": "The database does not answer."},
}


class _ApiApp(FastAPI):
    """Its routes are those of these modules, in every application of a process alike: the document,
    which costs half a second, is made once."""

    _document: ClassVar[dict[str, Any] | None] = None

    def openapi(self) -> dict[str, Any]:
        if _ApiApp._document is None:
            _ApiApp._document = super().openapi()
        return _ApiApp._document


def make_api_app(
    settings: BackendSettings,
    api: ApiSettings,
    database: Database,
    dispatcher: Dispatcher | None = None,
    alerts: AlertService | None = None,
) -> FastAPI:
    """`dispatcher` and `alerts`, if any, run as long as the application does."""
    services = ApiServices(
        database=database,
        settings=settings,
        api=api,
        rate=RequestRateLimit(api.requests_per_sec),
        keys=ApiKeyCache(database),
        login=ProxyLogin(database, api.proxy),
        dispatcher=dispatcher,
        alerts=alerts,
    )
    app = _ApiApp(
        title="VenAgent",
        version="1.0.0",
        description=ABOUT,
        lifespan=_lifespan,
        dependencies=[Depends(check_query_names)],
        responses=_PROBLEMS,
        separate_input_output_schemas=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.feed = ConsoleFeed(services)
    for module in (
        ven_routes,
        command_routes,
        load_routes,
        telemetry_routes,
        history_routes,
        shadow_routes,
        event_routes,
        programme_routes,
        group_routes,
        settlement_routes,
        stats_routes,
        health_routes,
        console_page,
    ):
        app.include_router(module.router)
    app.include_router(account_router)
    app.include_router(alert_router)
    app.include_router(audit_router)
    app.include_router(openadr_router)
    if api.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(api.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
            expose_headers=[ven_routes.NEXT, ven_routes.TOTAL],
        )
    app.middleware("http")(_measured)
    app.add_middleware(StrictJson, most_bytes=LARGEST_BODY_BYTES)
    app.add_middleware(BodyLimit, most_bytes=LARGEST_BODY_BYTES)
    app.add_middleware(DirectPeer, proxies=api.proxy.networks)
    app.add_exception_handler(RequestValidationError, _not_valid)
    for kind in (OperationalError, InterfaceError, PoolTimeout, OSError):
        app.add_exception_handler(kind, _no_database)
    app.add_exception_handler(IntegrityError, _conflict)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: ApiServices = app.state.services
    tasks = [asyncio.create_task(app.state.feed.run(), name="console-feed")]
    if services.dispatcher is not None:
        task = asyncio.create_task(services.dispatcher.run(), name="dispatcher")
        task.add_done_callback(lambda done: _dispatcher_ended(services, done))
        tasks.append(task)
    alerts = services.alerts
    watching = None if alerts is None else asyncio.create_task(alerts.run(), name="alerts")
    try:
        yield
    finally:
        app.state.feed.close()
        if alerts is not None and watching is not None:
            alerts.close()
            await asyncio.wait([watching], timeout=ALERTS_END_WITHIN_SEC)
            tasks.append(watching)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _dispatcher_ended(services: ApiServices, task: asyncio.Task[None]) -> None:
    """What it did not foresee must not go unseen: health says so until a restart."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        services.ended = f"dispatch has ended: {type(error).__name__}: {error}"
        log.error("dispatch has ended", exc_info=error)


async def _measured(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    begun = time.monotonic()
    response = await call_next(request)
    route = getattr(request.scope.get("route"), "path", "none")
    REQUESTS.labels(request.method, route, str(response.status_code)).observe(
        time.monotonic() - begun
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


async def _not_valid(request: Request, error: Exception) -> JSONResponse:
    """422: what is wrong, and where; without what JSON cannot tell back."""
    assert isinstance(error, RequestValidationError)
    detail = []
    for each in error.errors():
        told = {n: _told_back(each[n]) for n in ("type", "loc", "msg", "input") if n in each}
        where = each.get("loc", ())
        if each["type"] == "extra_forbidden" and where[:1] == ("body",) and len(where) == 2:
            told["msg"] = unknown_body_field_text(request, str(where[1])) or told["msg"]
        detail.append(told)
    return JSONResponse({"detail": detail}, 422)


def _told_back(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value[:1_000].encode(errors="replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (list, tuple)) and depth < 4:
        return [_told_back(each, depth + 1) for each in value[:20]]
    if isinstance(value, dict) and depth < 4:
        some = list(value.items())[:20]
        return {str(_told_back(str(key))): _told_back(each, depth + 1) for key, each in some}
    return "…"


async def _no_database(_request: Request, error: Exception) -> JSONResponse:
    log.error("a request needs the database", error=database_error_line(error)[:200])
    return JSONResponse({"detail": "the database does not answer: try again"}, 503)


async def _conflict(request: Request, error: Exception) -> JSONResponse:
    """409: what nobody foresaw, most likely two changes of one thing at the same moment."""
    log.error("a request contradicts what is stored", path=request.url.path, error=str(error)[:500])
    detail = "another change came at the same moment, or contradicts this one: look, and try again"
    return JSONResponse({"detail": detail}, 409)
