"""Who asks, whether they may, how often; and the record of what they did."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api import keys
from backend.api.keys import Role
from backend.api.services import Services, services_of
from backend.api.settings import is_loopback
from backend.store.base import utc_now
from backend.store.models import AuditEntry

KEY_REMEMBERED_SEC = 10.0
"""A revoked key works no longer than this."""
BURST_SEC = 4.0
REMEMBERED = 10_000

_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key, by itself.")
_bearer = HTTPBearer(auto_error=False, description="An API key, from `python -m backend key add`.")


@dataclass(frozen=True)
class Actor:
    """Who sent a request."""

    name: str
    role: Role
    remote: str


class RateLimit:
    """A bucket of tokens for each caller."""

    def __init__(self, per_sec: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_sec = per_sec
        self._most = max(per_sec * BURST_SEC, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_sec(self, caller: str) -> float:
        """0 when the request may pass (and takes a token), else how long to wait."""
        now = self._clock()
        tokens, at = self._buckets.pop(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._per_sec)
        passes = tokens >= 1
        self._buckets[caller] = (tokens - 1 if passes else tokens, now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1 - tokens) / self._per_sec


class KeyRing:
    """Keys as the database has them, remembered for some seconds."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, tuple[str, Role] | None]] = OrderedDict()

    def knows(self, key: str) -> bool:
        """A key that was in force just now."""
        until, found = self._known.get(keys.key_hash(key), (0.0, None))
        return found is not None and time.monotonic() < until

    async def find(self, services: Services, key: str) -> tuple[str, Role] | None:
        """Who it is; None for a key that is not in force."""
        digest = keys.key_hash(key)
        until, found = self._known.get(digest, (0.0, None))
        if time.monotonic() < until:
            return found
        async with services.database.engine.begin() as connection:
            found = await keys.find(connection, key)
            if found is not None:
                await keys.touch(connection, found[0])
        self._known[digest] = (time.monotonic() + KEY_REMEMBERED_SEC, found)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


async def authenticate(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Actor:
    """Raises 401 without a key in force, 403 for a foreign page, 429 for too many requests."""
    services = services_of(request)
    remote = request.client.host if request.client else "unknown"
    key = bearer.credentials if bearer else header
    if key is None and not services.api.needs_keys:
        _refuse_strangers(request, remote)
        actor = Actor("local", Role.ADMIN, remote)
    else:
        # Whoever tries keys asks the database for each: by address, that is bounded too.
        if key is None or not services.keys.knows(key):
            _limit(services, f"address {remote}")
        found = await services.keys.find(services, key) if key else None
        if found is None:
            raise HTTPException(
                401,
                "send a valid API key: Authorization: Bearer KEY, or X-API-Key: KEY",
                {"WWW-Authenticate": "Bearer"},
            )
        actor = Actor(found[0], found[1], remote)
    _limit(services, f"key {actor.name}")
    return actor


async def still_valid(request: Request) -> bool:
    """Whether the key of a request that lasts is still in force."""
    services = services_of(request)
    bearer = await _bearer(request)
    key = bearer.credentials if bearer else await _header(request)
    return not key or await services.keys.find(services, key) is not None


def _limit(services: Services, caller: str) -> None:
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
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if not is_loopback(host) or not is_loopback(remote) or foreign:
        raise HTTPException(
            403, "without API keys only this machine may ask, under the name localhost"
        )


def require(role: Role) -> Callable[..., Awaitable[Actor]]:
    """A dependency: the actor, who has that role at least."""

    async def check(actor: Annotated[Actor, Depends(authenticate)]) -> Actor:
        if actor.role < role:
            raise HTTPException(
                403, f"the key {actor.name!r} may {actor.role.label}; this needs {role.label}"
            )
        return actor

    return check


Reader = Annotated[Actor, Depends(require(Role.READ))]
Operator = Annotated[Actor, Depends(require(Role.OPERATE))]
Admin = Annotated[Actor, Depends(require(Role.ADMIN))]


async def record(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Who did what, in the transaction that does it."""
    await connection.execute(
        insert(AuditEntry).values(
            at=utc_now(),
            actor=actor.name,
            role=actor.role.label,
            action=action,
            object=subject,
            detail=None if detail is None else dict(detail),
            remote=actor.remote,
        )
    )
