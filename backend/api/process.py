"""`serve`: the API, the console and a dispatcher in one process."""

from __future__ import annotations

import asyncio

import structlog
import uvicorn

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
    server = uvicorn.Server(
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
