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

from backend.store.base import utc_now
from backend.store.models import ApiKey

PREFIX = "ven_"


class Role(IntEnum):
    """Each may do what the ones before it may."""

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, label: str) -> Role:
        """Raises ValueError for no role."""
        for role in cls:
            if role.label == label:
                return role
        raise ValueError(f"{label!r} is no role: use read, operate or admin")


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def add(connection: AsyncConnection, name: str, role: Role) -> str:
    """The new key, which is not kept. Raises ValueError when the name is taken."""
    key = new_key()
    try:
        await connection.execute(
            insert(ApiKey).values(
                name=name, key_hash=key_hash(key), role=role.label, created_at=utc_now()
            )
        )
    except IntegrityError:
        raise ValueError(f"there is a key named {name!r} already") from None
    return key


async def revoke(connection: AsyncConnection, name: str) -> bool:
    """Whether there was such a key in force."""
    result = await connection.execute(
        update(ApiKey)
        .where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
        .values(revoked_at=utc_now())
        .returning(ApiKey.id)
    )
    return result.first() is not None


async def find(connection: AsyncConnection, key: str) -> tuple[str, Role] | None:
    """(name, role) of a key in force."""
    row = (
        await connection.execute(
            select(ApiKey.name, ApiKey.role).where(
                ApiKey.key_hash == key_hash(key), ApiKey.revoked_at.is_(None)
            )
        )
    ).one_or_none()
    return None if row is None else (row.name, Role.named(row.role))


async def touch(connection: AsyncConnection, name: str) -> None:
    await connection.execute(
        update(ApiKey).where(ApiKey.name == name).values(last_used_at=utc_now())
    )
