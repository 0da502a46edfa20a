"""The schema: migrations up and down on both databases, and the views of docs/backend.md."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from backend.store.database import Database
from backend.store.database import database_url as driver_url
from backend.store.day_partitions import (
    create_day_partitions,
    day_partitions_ahead,
    drop_old_day_partitions,
    existing_day_partitions,
)
from backend.store.fleet_tables import VenRow
from backend.store.schema_migration import MIGRATIONS, downgrade_schema, upgrade_schema
from backend.store.statuses import UNKNOWN
from backend.store.table_base import TableBase
from tests.backend.conftest import fresh_database

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(params=["postgresql", "sqlite"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
        return
    with fresh_database(request.getfixturevalue("postgresql_server"), "template0") as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(driver_url(database_url, driver="sync"))
    yield engine
    engine.dispose()


def names(url: str) -> set[str]:
    engine = create_engine(driver_url(url, driver="sync"))
    try:
        inspector = inspect(engine)
        return {*inspector.get_table_names(), *inspector.get_view_names()}
    finally:
        engine.dispose()


def test_processes_that_start_at_once_on_a_new_database_make_its_tables_once(
    empty_url: str,
) -> None:
    """As `serve` and `ingest` do."""
    program = "import sys\nfrom backend.store.schema_migration import upgrade_schema\n"
    program += "print(flush=True)\nsys.stdin.read()\nupgrade_schema(sys.argv[1])"
    command = [sys.executable, "-c", program, empty_url]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(3)]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()  # all have imported what they need
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    failed = []
    for process in started:
        assert process.stderr is not None
        said = process.stderr.read().decode()
        if process.wait(60) != 0:
            failed.append(said)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    assert failed == []
    assert "ven_telemetry" in names(empty_url)


def test_migrations_go_up_down_and_up_again(empty_url: str) -> None:
    upgrade_schema(empty_url)
    made = names(empty_url)
    assert {"ven_telemetry", "ven_load_samples", "load_snapshots", "event_performance"} <= made
    upgrade_schema(empty_url)  # nothing to do
    downgrade_schema(empty_url, "base")
    assert names(empty_url) <= {"alembic_version"}
    upgrade_schema(empty_url)
    assert names(empty_url) == made


def test_every_step_of_the_migrations_can_be_taken_back(empty_url: str) -> None:
    upgrade_schema(empty_url)
    for _ in range(len(list((MIGRATIONS / "versions").glob("m*.py"))) - 1):
        downgrade_schema(empty_url, "-1")
        upgrade_schema(empty_url, "+1")
        downgrade_schema(empty_url, "-1")
    assert "vens" in names(empty_url)


def test_the_migrated_tables_are_those_of_the_models(engine: Engine) -> None:
    def ours(_name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or _name in TableBase.metadata.tables

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours})
        assert compare_metadata(context, TableBase.metadata) == []


def store_two_samples(connection: Connection) -> None:
    create_day_partitions(connection, [NOON.date()])
    tables = TableBase.metadata.tables
    row = {"load_set_id": 1, "load_power_w": [1500, None], "load_shed_w": [1200, 0]}
    connection.execute(tables["load_sets"].insert(), {"id": 1, "digest": b"1"})
    connection.execute(
        tables["load_set_members"].insert(),
        [
            {"load_set_id": 1, "position": 1, "load_id": "hvac", "name": "HVAC", "priority": 5},
            {"load_set_id": 1, "position": 2, "load_id": "fridge", "name": "F", "priority": 1},
        ],
    )
    connection.execute(
        tables["ven_telemetry"].insert(),
        {"ven_id": "ven-1", "timestamp": NOON, "seq": 7, "load_enabled": "t?", **row},
    )
    connection.execute(
        tables["ven_loads"].insert(),
        {
            "ven_id": "ven-1",
            "timestamp": NOON + timedelta(seconds=5),
            "part": 0,
            "load_enabled": "ft",
            **row,
        },
    )


def test_loads_are_read_as_a_row_each(engine: Engine) -> None:
    with engine.begin() as connection:
        store_two_samples(connection)
        rows = connection.execute(
            text(
                "SELECT load_id, current_power_kw, shed_capability_kw, enabled, priority, seq "
                "FROM ven_load_samples ORDER BY load_id"
            )
        ).all()
        snapshots = connection.execute(text("SELECT load_id, enabled FROM load_snapshots")).all()
    assert [tuple(row) for row in rows] == [
        ("fridge", None, 0.0, None, 1, 7),
        ("hvac", 1.5, 1.2, True, 5, 7),
    ]
    assert len(snapshots) == 4  # of the snapshot, and of the telemetry that had none


def test_old_days_are_dropped_and_the_others_stay(engine: Engine) -> None:
    days = [NOON - timedelta(days=n) for n in range(4)]
    table = TableBase.metadata.tables["ven_telemetry"]
    with engine.begin() as connection:
        create_day_partitions(connection, [day.date() for day in days])
        connection.execute(
            table.insert(), [{"ven_id": "v", "timestamp": day, "seq": 1} for day in days]
        )
        dropped = drop_old_day_partitions(connection, "ven_telemetry", NOON - timedelta(days=1))
        left = connection.execute(table.select().order_by(table.c.timestamp)).all()
    assert dropped == 2
    assert [row.timestamp for row in left] == [days[1], days[0]]


def test_partitions_are_made_once_and_ahead_of_their_day(postgresql_url: str) -> None:
    engine = create_engine(driver_url(postgresql_url, driver="sync"))
    with engine.begin() as connection:
        for _ in range(2):
            create_day_partitions(connection, day_partitions_ahead(NOON))
        existing = existing_day_partitions(connection, "ven_telemetry")
    engine.dispose()
    assert [day for day, _ in existing] == [
        date(2026, 2, 28),
        *(date(2026, 3, n) for n in range(1, 5)),
    ]


@pytest.mark.asyncio
async def test_the_database_answers_through_its_sessions(database: Database) -> None:
    await database.check()
    async with database.sessions.begin() as session:
        session.add(VenRow(id="ven-1", name="House"))
    async with database.sessions() as session:
        ven = await session.get_one(VenRow, "ven-1")
    assert ven.created_at.tzinfo is not None
    assert ven.status == UNKNOWN


def test_a_database_of_another_kind_is_refused_with_what_to_use() -> None:
    with pytest.raises(ValueError, match=r"postgresql:// or sqlite"):
        Database("mysql://somewhere/db")
