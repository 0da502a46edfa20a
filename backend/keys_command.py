"""`python -m backend key add|list|revoke`: the API's keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import typer
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.settings import Settings, SettingsError
from backend.store import schema
from backend.store.database import Database, first_line
from backend.store.models import ApiKey

T = TypeVar("T")
application = typer.Typer(no_args_is_help=True, help="The API's keys.")
Name = Annotated[str, typer.Argument(help="Whose key it is; shown in the audit.")]


@application.command("add")
def add(name: Name, role: Annotated[str, typer.Option(help="read, operate, admin")]) -> None:
    """Make a key and print it, this once."""
    from backend.api import keys

    try:
        wanted = keys.Role.named(role)
        typer.echo(_run(lambda connection: keys.add(connection, name, wanted)))
    except ValueError as error:
        _fail(str(error))


@application.command("list")
def list_() -> None:
    """Names and roles; the keys themselves are not kept."""

    async def read(connection: AsyncConnection) -> list[str]:
        rows = await connection.execute(select(ApiKey.__table__).order_by(ApiKey.name))
        return [
            f"{row.name:30} {row.role:8} "
            f"{'revoked' if row.revoked_at else 'in force'}  last used {row.last_used_at or '-'}"
            for row in rows
        ]

    for line in _run(read):
        typer.echo(line)


@application.command("revoke")
def revoke(name: Name) -> None:
    """End a key; requests with it are refused within ten seconds."""
    from backend.api import keys

    if not _run(lambda connection: keys.revoke(connection, name)):
        _fail(f"there is no key {name!r} in force")


def _run(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    try:
        url = Settings.from_environment().database_url
    except SettingsError as error:
        _fail(str(error))

    async def connected() -> T:
        database = Database(url)
        try:
            async with database.engine.begin() as connection:
                return await work(connection)
        finally:
            await database.close()

    try:
        schema.upgrade(url)
        return asyncio.run(connected())
    except (SQLAlchemyError, OSError) as error:
        _fail(f"the database cannot be used: {first_line(error)}")


def _fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(1)
