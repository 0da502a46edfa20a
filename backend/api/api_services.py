"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from backend.alerts.alert_service import AlertService
from backend.api.api_key_cache import ApiKeyCache
from backend.api.proxy_login import ProxyLogin
from backend.api.request_rate import RequestRateLimit
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.dispatch.dispatcher import Dispatcher
from backend.store.database import Database


@dataclass
class ApiServices:
    database: Database
    settings: BackendSettings
    api: ApiSettings
    rate: RequestRateLimit
    keys: ApiKeyCache
    login: ProxyLogin
    dispatcher: Dispatcher | None = None
    """None when EVENT_COMMAND_ENABLED is off: other instances dispatch."""
    alerts: AlertService | None = None
    """None where another process looks after them."""
    ended: str | None = None
    """Why the dispatcher of this process has ended, if it has."""
    load_sets: dict[int, Any] = field(default_factory=dict)
    """Sets of loads never change, so each is read once."""

    def wake(self) -> None:
        """After a commit that gives the dispatcher something to do."""
        if self.dispatcher is not None:
            self.dispatcher.wake.ring()


def api_services_of(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


Uses = Annotated[ApiServices, Depends(api_services_of)]
