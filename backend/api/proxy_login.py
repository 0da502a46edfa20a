"""People that an authenticating proxy names, when it is the trusted peer that says so."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import structlog
from fastapi import HTTPException, Request
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend.api.api_keys import ApiKeyRole
from backend.api.direct_peer import direct_peer_of
from backend.config.proxy_settings import PROXY_USER_HEADERS, ProxySettings
from backend.store.access_tables import PersonRow
from backend.store.database import Database
from backend.store.utc_time import utc_now

log = structlog.get_logger(__name__)

SEEN_EVERY_SEC = 60.0
SAID_EVERY_SEC = 60.0
MOST_PEOPLE = 10_000
_LONGEST = 200
_MOST_GROUPS_KEPT = 200
"""For the list of people; a role follows from any of the groups, each by its whole name."""


@dataclass(frozen=True)
class ProxyPerson:
    """Whom the proxy let through, and what they may do (None: nothing)."""

    name: str
    display_name: str
    email: str
    groups: tuple[str, ...]
    role: ApiKeyRole | None


class ProxyLogin:
    """Reads a request's person, and keeps who was here."""

    def __init__(self, database: Database, settings: ProxySettings) -> None:
        self._database = database
        self._settings = settings
        self._seen: dict[ProxyPerson, float] = {}
        self._said: dict[str, float] = {}

    def person_of(self, request: Request) -> ProxyPerson | None:
        """None when nobody is named. What another than the proxy says is ignored, and logged.

        Raises 401 for headers that say two things at once, and for a name that is too long.
        """
        named = [name for name in PROXY_USER_HEADERS if name in request.headers]
        peer = direct_peer_of(request.scope)
        if not self._settings.trusts(peer):
            if named:
                self._say(peer, named)
            return None
        headers = self._settings.headers
        user, email, groups = (
            self._one_value(request, name) for name in (headers.user, headers.email, headers.groups)
        )
        if not user and not email:
            return None
        found = tuple(part.strip() for part in groups.split(headers.separator) if part.strip())
        role = self._settings.role_of(user, email, found)
        return ProxyPerson(
            name=email or user,
            display_name=user or email,
            email=email,
            groups=tuple(group[:_LONGEST] for group in found[:_MOST_GROUPS_KEPT]),
            role=None if role is None else ApiKeyRole.named(role),
        )

    def _one_value(self, request: Request, name: str) -> str:
        """A header that came twice was added to: one of them is not the proxy's."""
        values = set(request.headers.getlist(name))
        if len(values) > 1:
            log.warning("a proxy's header came twice", header=name)
            raise HTTPException(401, f"the header {name} came with two values: refused")
        value = next(iter(values), "").strip()
        with contextlib.suppress(UnicodeDecodeError, UnicodeEncodeError):
            value = value.encode("latin-1").decode()  # Latin-1 on the wire, and names are not
        if not value.isprintable():
            raise HTTPException(401, f"the header {name} holds what is no text: refused")
        if name != self._settings.headers.groups and len(value) > _LONGEST:
            raise HTTPException(401, f"the header {name} is longer than {_LONGEST}: refused")
        return value

    def _say(self, peer: str, names: list[str]) -> None:
        """Once in a while for a peer: it may try often."""
        now = time.monotonic()
        if now >= self._said.get(peer, 0.0):
            if len(self._said) > MOST_PEOPLE:
                self._said.clear()
            self._said[peer] = now + SAID_EVERY_SEC
            log.warning(
                "headers that name a user are ignored: they are not the trusted proxy's",
                peer=peer,
                headers=sorted(names),
            )

    async def note(self, person: ProxyPerson) -> None:
        """Who was here, and with which groups: at most once a minute."""
        now = time.monotonic()
        if now < self._seen.get(person, 0.0):
            return
        if len(self._seen) > MOST_PEOPLE:
            self._seen.clear()
        self._seen[person] = now + SEEN_EVERY_SEC
        kind = postgresql_insert if self._database.is_postgresql else sqlite_insert
        at = utc_now()
        new = kind(PersonRow).values(
            name=person.name,
            display_name=person.display_name,
            groups=list(person.groups),
            role=person.role and person.role.label,
            first_seen_at=at,
            last_seen_at=at,
        )
        changed = {
            name: new.excluded[name] for name in ("display_name", "groups", "role", "last_seen_at")
        }
        async with self._database.engine.begin() as connection:
            await connection.execute(
                new.on_conflict_do_update(index_elements=["name"], set_=changed)
            )
