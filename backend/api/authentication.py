"""Who asks, whether they may, and how often."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from backend.api.api_keys import PREFIX, ApiKeyRole
from backend.api.api_services import ApiServices, api_services_of
from backend.api.direct_peer import direct_peer_of
from backend.api.proxy_login import ProxyPerson
from backend.config.api_settings import api_host_is_loopback

log = structlog.get_logger(__name__)

PERSON_BELIEVED_SEC = 600.0
_BEGUN = "venagent.begun"
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key, by itself.")
_bearer = HTTPBearer(auto_error=False, description="An API key, from `python -m backend key add`.")


@dataclass(frozen=True)
class AuthenticatedActor:
    """Who sent a request: by a key, as a person a proxy names, or from this machine."""

    name: str
    role: ApiKeyRole
    remote: str
    kind: str = "key"
    person: ProxyPerson | None = None


async def authenticate(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> AuthenticatedActor:
    """Raises 401 without a key in force or a person, 403 for a foreign page or a person without a
    role, 429 for too many requests."""
    services = api_services_of(request)
    remote = request.client.host if request.client else "unknown"
    person = services.login.person_of(request)
    key = _given_key(bearer, header, person)
    if key is None and person is not None:
        actor = await _person(request, services, person, remote)
    elif key is None and not services.api.needs_keys:
        _refuse_strangers(request, remote)
        actor = AuthenticatedActor("local", ApiKeyRole.ADMIN, remote, "local")
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
    _limit(services, f"{actor.kind} {actor.name}")
    return actor


def _given_key(
    bearer: HTTPAuthorizationCredentials | None, header: str | None, person: ProxyPerson | None
) -> str | None:
    """The API key; beside a person whom the proxy names, its own token is none (oauth2-proxy adds
    one with pass_authorization_header)."""
    if bearer is None or (person is not None and not bearer.credentials.startswith(PREFIX)):
        return header
    return bearer.credentials


async def _person(
    request: Request, services: ApiServices, person: ProxyPerson, remote: str
) -> AuthenticatedActor:
    if _is_foreign_page(request) or request.headers.get("sec-fetch-site") == "cross-site":
        # The proxy knows a person by a cookie, which a browser sends for any page.
        raise HTTPException(403, "a page of another site may not ask in your name")
    await services.login.note(person)
    if person.role is None:
        log.warning("somebody without a role", person=person.name, groups=person.groups)
        raise HTTPException(
            403, f"{person.name} has no role here: an admin gives one to a group by API_ROLES"
        )
    return AuthenticatedActor(person.name, person.role, remote, "person", person)


async def is_still_authenticated(request: Request) -> bool:
    """Whether the key of a request that lasts is still in force. A person's request ends after a
    while: the next one passes the proxy, which may have ended the session."""
    services = api_services_of(request)
    bearer = await _bearer(request)
    key = _given_key(bearer, await _header(request), services.login.person_of(request))
    if key:
        return await services.keys.find(key) is not None
    begun = request.scope.setdefault(_BEGUN, time.monotonic())
    return not services.api.proxy.networks or time.monotonic() - begun < PERSON_BELIEVED_SEC


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
    foreign = _is_foreign_page(request)
    if not api_host_is_loopback(host) or not api_host_is_loopback(remote) or foreign:
        raise HTTPException(
            403, "without API keys only this machine may ask, under the name localhost"
        )


def _words(actor: AuthenticatedActor) -> str:
    return actor.name if actor.kind == "person" else f"the key {actor.name!r}"


def _is_foreign_page(request: Request) -> bool:
    """A page of another origin asks, in somebody's browser."""
    origin = request.headers.get("origin")
    services = api_services_of(request)
    if origin is None or origin in services.api.cors_origins:
        return False
    own = {request.headers.get("host")}
    if services.api.proxy.trusts(direct_peer_of(request.scope)):
        own.add(request.headers.get("x-forwarded-host"))
    return urlsplit(origin).netloc not in own


def _require_role(role: ApiKeyRole) -> Callable[..., Awaitable[AuthenticatedActor]]:
    """A dependency: the actor, who has that role at least."""

    async def check(
        actor: Annotated[AuthenticatedActor, Depends(authenticate)],
    ) -> AuthenticatedActor:
        if actor.role < role:
            raise HTTPException(
                403, f"{_words(actor)} may {actor.role.label}; this needs {role.label}"
            )
        return actor

    return check


Reader = Annotated[AuthenticatedActor, Depends(_require_role(ApiKeyRole.READ))]
Operator = Annotated[AuthenticatedActor, Depends(_require_role(ApiKeyRole.OPERATE))]
Admin = Annotated[AuthenticatedActor, Depends(_require_role(ApiKeyRole.ADMIN))]
