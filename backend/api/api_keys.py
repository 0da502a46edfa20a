"""API keys: made here, shown once, kept as hashes.

A key is 32 random bytes, so a plain SHA-256 of it cannot be turned back by guessing.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import IntEnum

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.access_tables import ApiKeyRow
from backend.store.utc_time import utc_now

PREFIX = "ven_"


class ApiKeyRole(IntEnum):
    """Each may do what the ones before it may."""

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, label: str) -> ApiKeyRole:
        """Raises ValueError for no role."""
        for role in cls:
            if role.label == label:
                return role
        raise ValueError(f"{label!r} is no role: use read, operate or admin")


def _new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def api_key_hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def add_api_key(connection: AsyncConnection, name: str, role: ApiKeyRole) -> str:
    """The new key, which is not kept. Raises ValueError when the name is taken."""
    key = _new_key()
    try:
        await connection.execute(
            insert(ApiKeyRow).values(
                name=name, key_hash=api_key_hash(key), role=role.label, created_at=utc_now()
            )
        )
    except IntegrityError:
        raise ValueError(f"there is a key named {name!r} already") from None
    return key


async def revoke_api_key(connection: AsyncConnection, name: str) -> bool:
    """Whether there was such a key in force."""
    result = await connection.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.name == name, ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=utc_now())
        .returning(ApiKeyRow.id)
    )
    return result.first() is not None


async def find_api_key(connection: AsyncConnection, key: str) -> tuple[str, ApiKeyRole] | None:
    """(name, role) of a key in force."""
    row = (
        await connection.execute(
            select(ApiKeyRow.name, ApiKeyRow.role).where(
                ApiKeyRow.key_hash == api_key_hash(key), ApiKeyRow.revoked_at.is_(None)
            )
        )
    ).one_or_none()
    return None if row is None else (row.name, ApiKeyRole.named(row.role))


async def touch_api_key(connection: AsyncConnection, name: str) -> None:
    await connection.execute(
        update(ApiKeyRow).where(ApiKeyRow.name == name).values(last_used_at=utc_now())
    )
