"""API keys as the database has them, remembered for some seconds."""

from __future__ import annotations

import time
from collections import OrderedDict

from backend.api.api_keys import ApiKeyRole, api_key_hash, find_api_key, touch_api_key
from backend.store.database import Database

REMEMBERED_SEC = 10.0
"""A revoked key works no longer than this."""
MOST_REMEMBERED = 10_000


class ApiKeyCache:
    """Keys as the database has them, remembered for some seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, tuple[float, tuple[str, ApiKeyRole] | None]] = OrderedDict()

    def knows(self, key: str) -> bool:
        """A key that was in force just now."""
        until, found = self._known.get(api_key_hash(key), (0.0, None))
        return found is not None and time.monotonic() < until

    async def find(self, key: str) -> tuple[str, ApiKeyRole] | None:
        """Who it is; None for a key that is not in force."""
        digest = api_key_hash(key)
        until, found = self._known.get(digest, (0.0, None))
        if time.monotonic() < until:
            return found
        async with self._database.engine.begin() as connection:
            found = await find_api_key(connection, key)
            if found is not None:
                await touch_api_key(connection, found[0])
        self._known[digest] = (time.monotonic() + REMEMBERED_SEC, found)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found
