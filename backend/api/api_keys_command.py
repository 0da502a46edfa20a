"""`python -m backend key add|list|revoke`: the API's keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import typer
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_keys import ApiKeyRole, add_api_key, revoke_api_key
from backend.config.backend_settings import BackendSettings
from backend.config.settings_block import SettingsBlockError
from backend.store.access_tables import ApiKeyRow
from backend.store.database import Database, database_url
from backend.store.database_errors import database_error_line
from backend.store.schema_migration import upgrade_schema

T = TypeVar("T")
keys_application = typer.Typer(no_args_is_help=True, help="The API's keys.")
Name = Annotated[str, typer.Argument(help="Whose key it is; shown in the audit.")]


@keys_application.command("add")
def _add_key(name: Name, role: Annotated[str, typer.Option(help="read, operate, admin")]) -> None:
    """Make a key and print it, this once."""

    try:
        wanted = ApiKeyRole.named(role)
        typer.echo(_run(lambda connection: add_api_key(connection, name, wanted)))
    except ValueError as error:
        _fail(str(error))


@keys_application.command("list")
def _list_keys() -> None:
    """Names and roles; the keys themselves are not kept."""

    async def read(connection: AsyncConnection) -> list[str]:
        rows = await connection.execute(select(ApiKeyRow.__table__).order_by(ApiKeyRow.name))
        return [
            f"{row.name:30} {row.role:8} "
            f"{'revoked' if row.revoked_at else 'in force'}  last used {row.last_used_at or '-'}"
            for row in rows
        ]

    for line in _run(read):
        typer.echo(line)


@keys_application.command("revoke")
def _revoke_key(name: Name) -> None:
    """End a key; requests with it are refused within ten seconds."""

    if not _run(lambda connection: revoke_api_key(connection, name)):
        _fail(f"there is no key {name!r} in force")


def _run(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    try:
        url = BackendSettings.from_environment().database_url
    except SettingsBlockError as error:
        _fail(str(error))

    became_another = _be_whoever_owns(url)

    async def connected() -> T:
        database = Database(url)
        try:
            async with database.engine.begin() as connection:
                return await work(connection)
        finally:
            await database.close()

    try:
        if not became_another:  # who may not be able to read the migrations
            upgrade_schema(url)
        return asyncio.run(connected())
    except (SQLAlchemyError, OSError) as error:
        _fail(f"the database cannot be used: {database_error_line(error)}")


def _be_whoever_owns(url: str) -> bool:
    """Whether that is another than we were.

    A SQLite file that nobody named is not made here, and none is as root: the backend, which
    runs as its own user, could not write it, nor what SQLite puts beside it."""
    file = database_url(url).database
    if database_url(url).get_backend_name() != "sqlite" or not file or file == ":memory:":
        return False
    is_root = os.geteuid() == 0
    try:
        owner = os.stat(file)
    except OSError as error:
        if is_root or not os.environ.get("DATABASE_URL"):
            _fail(
                f"there is no database at {os.path.abspath(file)} ({error.strerror}): start the "
                "backend first, or name its database by DATABASE_URL"
            )
        return False
    if is_root and owner.st_uid != 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
        return True
    return False


def _fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(1)
