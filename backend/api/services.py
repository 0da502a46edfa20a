"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from backend.api.settings import ApiSettings
from backend.dispatch.service import Dispatcher
from backend.settings import Settings
from backend.store.database import Database

if TYPE_CHECKING:
    from backend.api.guard import KeyRing, RateLimit


@dataclass
class Services:
    database: Database
    settings: Settings
    api: ApiSettings
    rate: RateLimit
    keys: KeyRing
    dispatcher: Dispatcher | None = None
    """None when EVENT_COMMAND_ENABLED is off: other instances dispatch."""
    ended: str | None = None
    """Why the dispatcher of this process has ended, if it has."""
    load_sets: dict[int, Any] = field(default_factory=dict)
    """Sets of loads never change, so each is read once."""

    def wake(self) -> None:
        """After a commit that gives the dispatcher something to do."""
        if self.dispatcher is not None:
            self.dispatcher.wake.ring()


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Uses = Annotated[Services, Depends(services_of)]
