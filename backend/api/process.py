"""`serve`: the API, the console and a dispatcher in one process."""

from __future__ import annotations

import asyncio
from socket import socket

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy.orm import configure_mappers

from backend import collector
from backend.api.app import make_app
from backend.api.settings import ApiSettings
from backend.dispatch.publisher import make_publisher
from backend.dispatch.service import Dispatcher
from backend.dispatch.settings import DispatchSettings
from backend.settings import Settings
from backend.store import schema
from backend.store.database import Database

log = structlog.get_logger(__name__)


async def run(settings: Settings, api: ApiSettings, dispatch: DispatchSettings) -> None:
    """Until SIGTERM or SIGINT. Raises SQLAlchemyError or OSError when the database is not there."""
    await asyncio.to_thread(schema.upgrade, settings.database_url)
    database = Database(settings.database_url, pool_size=10)
    dispatcher = None
    if settings.event_command_enabled:
        publisher = make_publisher(settings, dispatch)
        dispatcher = Dispatcher(database, publisher, dispatch, topic=settings.mqtt.topic_commands)
    app = make_app(settings, api, database, dispatcher)
    _warm_up(app)
    server = _Server(
        uvicorn.Config(
            app,
            host=api.host,
            port=api.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    log.info("the API listens", host=api.host, port=api.port, keys=api.needs_keys)
    try:
        await server.serve()
    finally:
        await database.close()


class _Server(uvicorn.Server):
    """Ends the consoles' streams first: uvicorn would wait for each until its time is up."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self.config.app.state.feed.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def _warm_up(app: FastAPI) -> None:
    """What FastAPI and SQLAlchemy put off until the first request, which would wait for it."""
    configure_mappers()
    app.openapi()
    collector.hold_back()
