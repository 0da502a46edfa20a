"""Ways to PostgreSQL: encrypted, and behind a pooler (a real PgBouncer) in transaction mode."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from backend.config.backend_settings import BackendSettings
from backend.config.settings_block import SettingsBlockError
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter
from backend.store.database import Database, DatabaseUnsuitable
from backend.store.schema_migration import downgrade_schema, upgrade_schema
from backend.store.tables import EVENTS, PARTICIPANTS, VENS
from backend.store.telemetry_tables import VenTelemetryRow
from ops.host.condition import wait_for_condition
from ops.host.ports import port_is_listening
from ops.services.postgres_server import postgres_server
from tests.support.authority import Authority
from tests.support.ports import free_port

from .api_client import api
from .builders import payload
from .dispatching import Wire, acknowledge, eventually, rows

SERVER_CONNECTIONS = 3
"""Fewer than clients: a connection changes hands between their transactions."""


@contextmanager
def folder_of_a_plain_user() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder for a server that refuses root, and as whom to run it."""
    folder = Path(tempfile.mkdtemp(prefix="db."))
    as_user: dict[str, Any] = {}
    try:
        if os.geteuid() == 0:
            entry = pwd.getpwnam(os.environ.get("VENAGENT_USER") or "venagent")
            as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield folder, as_user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pgbouncer(server: str, folder: Path, as_user: dict[str, Any]) -> Iterator[str]:
    """A pooler in transaction mode before `server`; its URL, without a database."""
    program = shutil.which("pgbouncer", path=f"/usr/sbin:{os.environ.get('PATH', '')}")
    assert program is not None, "pgbouncer is not installed: apt-get install pgbouncer"
    behind, port = make_url(server), free_port()
    config, log = folder / "pgbouncer.ini", folder / "log"
    config.write_text(
        f"""[databases]
* = host={behind.host} port={behind.port} user={behind.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
"""
    )
    config.chmod(0o644)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, str(config)], stdout=output, stderr=output, cwd=folder, **as_user
        )
    try:
        wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 60)
        assert process.poll() is None, log.read_text()
        yield f"postgresql://{behind.username}@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def pooled_url(postgresql_url: str) -> Iterator[str]:
    """The migrated database behind a pooler that nobody names."""
    server, _, name = postgresql_url.rpartition("/")
    with folder_of_a_plain_user() as place, pgbouncer(server, *place) as url:
        yield f"{url}/{name}"


def test_a_pooler_that_nobody_names_is_found_and_a_migration_wants_the_database_itself(
    pooled_url: str, postgresql_url: str
) -> None:
    with pytest.raises(DatabaseUnsuitable, match="DATABASE_POOLER=transaction"):
        upgrade_schema(pooled_url)
    named = f"{pooled_url}?pooler=transaction"
    upgrade_schema(named)  # there is nothing to do
    downgrade_schema(postgresql_url, "-1")
    with pytest.raises(DatabaseUnsuitable, match="DATABASE_DIRECT_URL"):
        upgrade_schema(named)
    upgrade_schema(postgresql_url)


@pytest.mark.asyncio
async def test_ingest_api_and_dispatch_work_behind_a_pooler_in_transaction_mode(
    pooled_url: str, postgresql_url: str
) -> None:
    variables = {"DATABASE_URL": pooled_url, "DATABASE_POOLER": "transaction"}
    settings = BackendSettings.from_environment(variables)
    database = Database(settings.database_url, pool_size=8, direct_url=postgresql_url)
    others = [Database(settings.database_url, pool_size=4) for _ in range(2)]
    assert database.is_pooled
    assert others[0].listening_dsn is None
    wire = Wire()
    try:
        writers = [IngestWriter(each, settings) for each in (database, *others)]

        async def store(number: int) -> None:
            for seq in range(1, 6):
                name = f"v{number}-{seq % 2}"
                message = IngestMessage(f"ven/telemetry/{name}", payload(name, seq), time.time())
                await writers[number % 3].store([message], "test")

        await asyncio.gather(*(store(number) for number in range(12)))
        assert len(await rows(database, VenTelemetryRow.__table__)) == 60
        async with database.engine.begin() as connection:
            await connection.execute(VENS.update().values(status="online"))
        async with api(database, wire) as client:
            body = {"requestedReductionKw": 12, "durationSec": 600, "id": "e"}
            assert (await client.post("/api/events/", json=body)).status_code == 201
            await eventually(lambda: len(wire.sent) == 24)
            await acknowledge(others[0], wire.sent)
            answers = await asyncio.gather(
                *(client.get(f"/api/vens/v{number}-0") for number in range(12))
            )
            stopped = await client.post("/api/events/e/stop")
        assert {answer.status_code for answer in (*answers, stopped)} == {200}
        assert len(await rows(others[1], PARTICIPANTS)) == 24
        (event,) = await rows(others[1], EVENTS)
        assert event.status == "completed"
        # Nothing was left on a connection that somebody else gets next.
        async with database.engine.connect() as connection:
            left = await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
            stages = await connection.scalar(
                text("SELECT count(*) FROM pg_class WHERE relname LIKE 'stage_%'")
            )
        assert (left, stages) == (0, 0)
    finally:
        for each in (database, *others):
            await each.close()


def test_what_is_set_for_a_pooler() -> None:
    parts = {"DB_HOST": "db", "DATABASE_POOLER": "transaction"}
    assert BackendSettings.from_environment(parts).database_url.endswith("?pooler=transaction")
    direct = {**parts, "DATABASE_DIRECT_URL": "postgresql://direct/f"}
    assert BackendSettings.from_environment(direct).schema_url == "postgresql://direct/f"
    with pytest.raises(SettingsBlockError, match="neither transaction nor session"):
        BackendSettings.from_environment({**parts, "DATABASE_POOLER": "statement"})
    session = Database("postgresql://db/f?pooler=session")
    assert not session.is_pooled
    assert session.listening_dsn == "postgresql://db/f"


@pytest.fixture(scope="module")
def encrypted() -> Iterator[tuple[str, Path, Path]]:
    """A server that takes only encrypted connections; its authority's file, and another's."""
    with folder_of_a_plain_user() as (folder, as_user):
        ours, other = Authority("Database CA"), Authority("Another CA")
        certificate, key = ours.issue("127.0.0.1").write(folder, "server")
        (folder / "ours.pem").write_text(ours.pem)
        (folder / "other.pem").write_text(other.pem)
        (folder / "hba").write_text("hostssl all all 127.0.0.1/32 trust\n")
        if as_user:
            os.chown(key, as_user["user"], as_user["group"])
        lines = [
            "fsync=off",
            "ssl=on",
            f"ssl_cert_file={certificate}",
            f"ssl_key_file={key}",
            f"hba_file={folder / 'hba'}",
        ]
        with postgres_server(free_port(), lines, folder.parent) as url:
            yield f"{url}/postgres", folder / "ours.pem", folder / "other.pem"


@pytest.mark.asyncio
async def test_the_databases_certificate_is_checked_as_the_url_says(
    encrypted: tuple[str, Path, Path],
) -> None:
    url, ours, other = encrypted
    for pooler in ("", "&pooler=transaction"):
        good = Database(f"{url}?sslmode=verify-full&sslrootcert={ours}{pooler}")
        async with good.engine.connect() as connection:
            used = await connection.scalar(
                text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            )
        await good.close()
        assert used is True
        for query in (f"sslmode=verify-full&sslrootcert={other}", "sslmode=disable"):
            bad = Database(f"{url}?{query}{pooler}")
            with pytest.raises(Exception, match=r"certificate verify failed|no pg_hba.conf entry"):
                await bad.check()
            await bad.close()
    upgrade_schema(f"{url}?sslmode=verify-full&sslrootcert={ours}")  # psycopg reads the same
    parts = {"DB_HOST": "db", "DB_SSLMODE": "verify-full", "DB_SSLROOTCERT": "/ca.pem"}
    assert "sslrootcert=%2Fca.pem" in BackendSettings.from_environment(parts).database_url
