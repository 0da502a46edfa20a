"""`python -m backend`: the operator's side from the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
import uvloop
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from backend import collector, logs
from backend.keys_command import application as keys_command
from backend.settings import Settings, SettingsError
from backend.store import schema
from backend.store.database import database_url

T = TypeVar("T")

application = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


def load_settings() -> Settings:
    """The environment's settings; ends the command with what is wrong with them."""
    try:
        settings = Settings.from_environment()
        database_url(settings.database_url)
        logs.configure(settings.log_level)
    except (SettingsError, ArgumentError, ValueError) as error:
        typer.echo(f"error: the settings cannot be used:\n{error}", err=True)
        raise typer.Exit(2) from None
    return settings


@contextmanager
def told_plainly() -> Iterator[None]:
    """A database that is not there ends the command with its reason, in one line."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        typer.echo(f"error: the database cannot be used: {reason}", err=True)
        raise typer.Exit(1) from None


@application.command()
def ingest() -> None:
    """Store what VENs send: from the broker, and from a Kinesis stream if one is named."""
    settings = load_settings()
    with told_plainly():
        uvloop.run(_ingest(settings))


async def _ingest(settings: Settings) -> None:
    from backend.ingest.service import IngestService  # only this command needs it

    service = IngestService(settings)
    collector.hold_back()
    await service.run()


@application.command()
def serve() -> None:
    """The API, the console and a dispatcher (unless EVENT_COMMAND_ENABLED is off)."""
    from backend.api import process
    from backend.api.settings import ApiSettings
    from backend.dispatch.settings import DispatchSettings

    settings = load_settings()
    api = _checked(ApiSettings.from_environment)
    dispatching = _checked(DispatchSettings.from_environment)
    with told_plainly():
        uvloop.run(process.run(settings, api, dispatching))


@application.command()
def dispatch() -> None:
    """Dispatch events, without the API: one more instance beside `serve`."""
    from backend.dispatch import process
    from backend.dispatch.settings import DispatchSettings

    settings = load_settings()
    dispatching = _checked(DispatchSettings.from_environment)
    with told_plainly():
        uvloop.run(process.run(settings, dispatching))


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except SettingsError as error:
        typer.echo(f"error: the settings cannot be used:\n{error}", err=True)
        raise typer.Exit(2) from None


@application.command()
def migrate(revision: str = "head") -> None:
    """Bring the database to this version's schema (or to REVISION, also an older one)."""
    settings = load_settings()
    with told_plainly():
        if revision == "head" or revision.startswith("+"):
            schema.upgrade(settings.database_url, revision)
        else:
            schema.downgrade(settings.database_url, revision)


application.add_typer(keys_command, name="key")


def main() -> None:
    application()


if __name__ == "__main__":
    main()
