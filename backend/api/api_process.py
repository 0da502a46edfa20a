"""`serve`: the API, the console and a dispatcher in one process."""

from __future__ import annotations

import asyncio
from socket import socket

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy.orm import configure_mappers

from backend.alerts.alert_service import AlertService
from backend.api.api_app import make_api_app
from backend.api.event_figures import delivered_kw_of_events
from backend.config.alert_settings import AlertSettings
from backend.config.alert_targets import read_alert_targets
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.dispatch_process import dispatch_process_publisher
from backend.dispatch.dispatcher import Dispatcher
from backend.process.garbage_collector import hold_back_garbage_collector
from backend.store.database import Database
from backend.store.schema_migration import upgrade_schema

log = structlog.get_logger(__name__)


async def run_api_process(
    settings: BackendSettings,
    api: ApiSettings,
    dispatch: DispatchSettings,
    alerts: AlertSettings,
) -> None:
    """Until SIGTERM or SIGINT. Raises SQLAlchemyError or OSError when the database is not there,
    SettingsBlockError when the alerts' targets cannot be read."""
    routing = read_alert_targets(alerts.config_file)
    await asyncio.to_thread(upgrade_schema, settings.schema_url)
    database = Database(
        settings.database_url, pool_size=10, direct_url=settings.database_direct_url
    )
    dispatcher = None
    if settings.event_command_enabled:
        publisher = dispatch_process_publisher(settings, dispatch)
        dispatcher = Dispatcher(database, publisher, dispatch, topic=settings.mqtt.topic_commands)
    watch = AlertService(database, settings, alerts, routing, delivered_kw_of_events)
    app = make_api_app(settings, api, database, dispatcher, watch)
    _warm_up(app)
    server = _Server(
        uvicorn.Config(
            app,
            host=api.host,
            port=api.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # direct_peer.py does that, and keeps who is connected
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
    hold_back_garbage_collector()
