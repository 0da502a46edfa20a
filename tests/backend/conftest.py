"""A real PostgreSQL, one a session, with a fresh database a test; and a real mosquitto."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from backend.store.database import Database
from backend.store.schema_migration import upgrade_schema
from ops.host.condition import wait_for_condition
from ops.host.ports import port_is_listening
from ops.services import postgres_server as postgres
from ops.services.local_broker import find_mosquitto
from tests.support.asked_to_end import asked_to_end
from tests.support.ports import free_port

TEMPLATE = "venagent_template"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The server's URL, without a database; it holds a migrated template."""
    parent = Path(tempfile.gettempdir())
    # The server's crash is not tested here: its writes need not wait for the disk.
    settings = ["fsync=off", "full_page_writes=off", "max_connections=60"]
    with postgres.postgres_server(free_port(), settings, parent) as url:
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        upgrade_schema(f"{url}/{TEMPLATE}")
        yield url


@contextmanager
def fresh_database(server: str, template: str = TEMPLATE) -> Iterator[str]:
    """A database of its own on `server`, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield f"{server}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database."""
    with fresh_database(postgresql_server) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tests copy: to migrate one costs as much as many a test."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    upgrade_schema(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """A migrated, empty SQLite database."""
    file = tmp_path / "backend.sqlite"
    shutil.copyfile(migrated_sqlite, file)
    return f"sqlite:///{file}"


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each test with it runs on both databases."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@dataclass(frozen=True)
class Broker:
    host: str
    port: int


@contextmanager
def mosquitto(folder: Path, port: int | None = None, *more: str) -> Iterator[Broker]:
    """A broker that drops nothing; `more` are lines of its configuration."""
    port = port or free_port()
    config = folder / "mosquitto.conf"
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "max_queued_messages 0",
        "max_inflight_messages 0",
        *(["user root"] if os.geteuid() == 0 else []),
        *more,
    ]
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [find_mosquitto(), "-c", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 60)
        yield Broker("127.0.0.1", port)
    finally:
        asked_to_end(process)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for all tests: each uses VEN ids and client ids of its own."""
    folder = Path(tempfile.mkdtemp(prefix="mq."))
    try:
        with mosquitto(folder) as broker:
            yield broker
    finally:
        shutil.rmtree(folder, ignore_errors=True)
