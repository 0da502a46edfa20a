"""Who asks, whether they may, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from backend.api.api_keys import ApiKeyRole
from backend.api.api_services import ApiServices, api_services_of
from backend.config.api_settings import api_host_is_loopback

_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key, by itself.")
_bearer = HTTPBearer(auto_error=False, description="An API key, from `python -m backend key add`.")


@dataclass(frozen=True)
class AuthenticatedActor:
    """Who sent a request."""

    name: str
    role: ApiKeyRole
    remote: str


async def authenticate(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> AuthenticatedActor:
    """Raises 401 without a key in force, 403 for a foreign page, 429 for too many requests."""
    services = api_services_of(request)
    remote = request.client.host if request.client else "unknown"
    key = bearer.credentials if bearer else header
    if key is None and not services.api.needs_keys:
        _refuse_strangers(request, remote)
        actor = AuthenticatedActor("local", ApiKeyRole.ADMIN, remote)
    else:
        # Whoever tries keys asks the database for each: by address, that is bounded too.
        if key is None or not services.keys.knows(key):
            _limit(services, f"address {remote}")
        found = await services.keys.find(key) if key else None
        if found is None:
            raise HTTPException(
                401,
                "send a valid API key: Authorization: Bearer KEY, or X-API-Key: KEY",
                {"WWW-Authenticate": "Bearer"},
            )
        actor = AuthenticatedActor(found[0], found[1], remote)
    _limit(services, f"key {actor.name}")
    return actor


async def is_still_authenticated(request: Request) -> bool:
    """Whether the key of a request that lasts is still in force."""
    services = api_services_of(request)
    bearer = await _bearer(request)
    key = bearer.credentials if bearer else await _header(request)
    return not key or await services.keys.find(key) is not None


def _limit(services: ApiServices, caller: str) -> None:
    wait_sec = services.rate.wait_sec(caller)
    if wait_sec > 0:
        raise HTTPException(
            429, "too many requests: wait a moment", {"Retry-After": str(int(wait_sec) + 1)}
        )


def _refuse_strangers(request: Request, remote: str) -> None:
    """Without keys, neither whom a proxy on this machine lets through (its headers tell the
    address), nor a page of another site in a browser on this machine."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    origin = request.headers.get("origin")
    foreign = (
        origin is not None
        and origin not in api_services_of(request).api.cors_origins
        and urlsplit(origin).netloc != request.headers.get("host")
    )
    if not api_host_is_loopback(host) or not api_host_is_loopback(remote) or foreign:
        raise HTTPException(
            403, "without API keys only this machine may ask, under the name localhost"
        )


def _require_role(role: ApiKeyRole) -> Callable[..., Awaitable[AuthenticatedActor]]:
    """A dependency: the actor, who has that role at least."""

    async def check(
        actor: Annotated[AuthenticatedActor, Depends(authenticate)],
    ) -> AuthenticatedActor:
        if actor.role < role:
            raise HTTPException(
                403, f"the key {actor.name!r} may {actor.role.label}; this needs {role.label}"
            )
        return actor

    return check


Reader = Annotated[AuthenticatedActor, Depends(_require_role(ApiKeyRole.READ))]
Operator = Annotated[AuthenticatedActor, Depends(_require_role(ApiKeyRole.OPERATE))]
Admin = Annotated[AuthenticatedActor, Depends(_require_role(ApiKeyRole.ADMIN))]
