"""The link's row: one process speaks for a VEN at a VTN, the others wait for its lease to end."""

from __future__ import annotations

import platform
import secrets
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.openadr import operator_side
from backend.store.database import Database
from backend.store.openadr_tables import OpenAdrLinkRow

LINKS = cast(Table, OpenAdrLinkRow.__table__)


class VtnLinkLost(Exception):
    """Another instance speaks for this VEN now: what was begun here is not written."""


class VtnLink:
    """Who we are, and whether it is ours to speak."""

    def __init__(self, database: Database, name: str, version: str, lease_sec: float) -> None:
        self.name = name
        self.instance = f"{platform.node()}-{secrets.token_hex(4)}"
        self._database = database
        self._version = version
        self._lease = timedelta(seconds=lease_sec)

    async def take(self) -> bool:
        """Whether the lease is ours, for its time from now on."""

        async def work(connection: AsyncConnection) -> bool:
            now = await operator_side.database_now(connection)
            known = await connection.scalar(select(LINKS.c.link).where(LINKS.c.link == self.name))
            if known is None:
                await connection.execute(
                    insert(LINKS).values(link=self.name, version=self._version)
                )
            free = or_(
                LINKS.c.owner.is_(None),
                LINKS.c.owner == self.instance,
                LINKS.c.lease_until < now,
            )
            taken = await connection.execute(
                update(LINKS)
                .where(LINKS.c.link == self.name, free)
                .values(owner=self.instance, lease_until=now + self._lease, version=self._version)
            )
            return taken.rowcount == 1

        try:
            return await operator_side.in_transaction(self._database.engine, work)
        except IntegrityError:
            return False  # another made the row at this moment

    async def hold(self, connection: AsyncConnection) -> datetime:
        """Part of each transaction that writes: the database's time now. Raises VtnLinkLost."""
        now = await operator_side.database_now(connection)
        held = await connection.execute(
            update(LINKS)
            .where(LINKS.c.link == self.name, LINKS.c.owner == self.instance)
            .values(lease_until=now + self._lease)
        )
        if held.rowcount != 1:
            raise VtnLinkLost(f"another instance speaks for {self.name}")
        return now

    async def give_up(self) -> None:
        """At the end, so that another need not wait."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                update(LINKS)
                .where(LINKS.c.link == self.name, LINKS.c.owner == self.instance)
                .values(owner=None, lease_until=None)
            )

        await operator_side.in_transaction(self._database.engine, work)

    async def note(self, **values: Any) -> None:
        """What people are told of the link: last_contact_at, problem, ven_id, programs, …"""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                update(LINKS).where(LINKS.c.link == self.name).values(**values)
            )

        await operator_side.in_transaction(self._database.engine, work)

    async def failed(self, problem: str, failures: int) -> None:
        """The VTN cannot be used: why, and how often one after the other by now."""

        async def work(connection: AsyncConnection) -> None:
            now = await operator_side.database_now(connection)
            said = problem.replace("\0", "")[:500]
            await connection.execute(
                update(LINKS)
                .where(LINKS.c.link == self.name)
                .values(problem=said, last_problem=said, last_problem_at=now, failures=failures)
            )

        await operator_side.in_transaction(self._database.engine, work)

    async def row(self) -> Any:
        async with self._database.engine.connect() as connection:
            return (
                await connection.execute(select(LINKS).where(LINKS.c.link == self.name))
            ).one_or_none()
