"""`python -m backend`: the operator's side from the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
import uvloop
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from backend.api.api_keys_command import keys_application
from backend.api.api_process import run_api_process
from backend.config.alert_settings import AlertSettings
from backend.config.alert_targets import read_alert_targets
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.config.settings_block import SettingsBlockError
from backend.dispatch.dispatch_process import run_dispatch_process
from backend.process.garbage_collector import hold_back_garbage_collector
from backend.process.structured_logs import configure_structured_logs
from backend.store.database import DatabaseUnsuitable, database_url
from backend.store.schema_migration import downgrade_schema, upgrade_schema

T = TypeVar("T")

application = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


def _load_settings() -> BackendSettings:
    """The environment's settings; ends the command with what is wrong with them."""
    try:
        settings = BackendSettings.from_environment()
        database_url(settings.database_url)
        configure_structured_logs(settings.log_level)
    except (SettingsBlockError, ArgumentError, ValueError) as error:
        typer.echo(f"error: the settings cannot be used:\n{error}", err=True)
        raise typer.Exit(2) from None
    return settings


@contextmanager
def _told_plainly() -> Iterator[None]:
    """A database that is not there ends the command with its reason, in one line."""
    try:
        yield
    except DatabaseUnsuitable as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except (SQLAlchemyError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        typer.echo(f"error: the database cannot be used: {reason}", err=True)
        raise typer.Exit(1) from None


@application.command("ingest")
def _ingest_command() -> None:
    """Store what VENs send: from the broker, and from a Kinesis stream if one is named."""
    settings = _load_settings()
    with _told_plainly():
        uvloop.run(_ingest(settings))


async def _ingest(settings: BackendSettings) -> None:
    from backend.ingest.ingest_service import IngestService  # only this command needs botocore

    service = IngestService(settings)
    hold_back_garbage_collector()
    await service.run()


@application.command("serve")
def _serve_command() -> None:
    """The API, the console and a dispatcher (unless EVENT_COMMAND_ENABLED is off)."""
    settings = _load_settings()
    api = _checked(ApiSettings.from_environment)
    dispatching = _checked(DispatchSettings.from_environment)
    alerts = _checked(AlertSettings.from_environment)
    _checked(lambda: read_alert_targets(alerts.config_file))
    with _told_plainly():
        uvloop.run(run_api_process(settings, api, dispatching, alerts))


@application.command("dispatch")
def _dispatch_command() -> None:
    """Dispatch events, without the API: one more instance beside `serve`."""
    settings = _load_settings()
    dispatching = _checked(DispatchSettings.from_environment)
    hold_back_garbage_collector()
    with _told_plainly():
        uvloop.run(run_dispatch_process(settings, dispatching))


@application.command("openadr")
def _openadr_command(
    check: bool = typer.Option(False, "--check", help="Only look whether the VTN can be used."),
) -> None:
    """Speak to a utility's VTN (OPENADR_VTN_URL): its events become ours, its reports are sent."""
    try:  # only this command needs ops/lock-openadr.txt
        from backend.openadr.openadr_process import run_openadr_process
        from backend.openadr.openadr_settings import OpenAdrSettings
        from backend.openadr.vtn_check import check_vtn
    except ModuleNotFoundError as error:
        typer.echo(
            f"error: {error.name} is not installed: pip install --require-hashes --no-deps "
            "-r ops/lock-openadr.txt",
            err=True,
        )
        raise typer.Exit(1) from None
    settings = _load_settings()
    speaking = _checked(OpenAdrSettings.from_environment)
    if check:
        findings = uvloop.run(check_vtn(speaking))
        for finding in findings:
            typer.echo(f"{'ok' if finding.ok else 'error'} {finding.code}: {finding.text}")
        raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
    with _told_plainly():
        upgrade_schema(settings.schema_url)
        uvloop.run(run_openadr_process(settings.database_url, speaking))


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except SettingsBlockError as error:
        typer.echo(f"error: the settings cannot be used:\n{error}", err=True)
        raise typer.Exit(2) from None


@application.command("migrate")
def _migrate_command(revision: str = "head") -> None:
    """Bring the database to this version's schema (or to REVISION, also an older one)."""
    settings = _load_settings()
    with _told_plainly():
        if revision == "head" or revision.startswith("+"):
            upgrade_schema(settings.schema_url, revision)
        else:
            downgrade_schema(settings.schema_url, revision)


application.add_typer(keys_application, name="key")


def main() -> None:
    application()


if __name__ == "__main__":
    main()
