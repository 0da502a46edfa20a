"""How the ingest ends: nothing is broken off that would hang, and no wish to end is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_health import ingest_health_of_database
from backend.measure.event_measurement import run_event_measurement
from backend.process.timeouts import happens_within_timeout, result_within_timeout
from backend.store.database import Database
from backend.store.database_errors import database_error_line
from backend.store.database_upkeep import run_database_upkeep
from ops.host.condition import wait_for_condition
from tests.backend.builders import payload
from tests.backend.conftest import Broker
from tests.backend.processes import Fleet, ingest


@pytest.fixture
def other(sqlite_url: str) -> Iterator[sqlite3.Connection]:
    """Somebody else on the same SQLite file."""
    path = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("waiting", ["within", "happens"])
def test_a_cancellation_in_the_moment_of_the_answer_is_not_lost(waiting: str) -> None:
    """`asyncio.wait_for` of Python 3.11 goes on here as if nobody had asked it to end."""

    async def scenario() -> None:
        answer, rings = asyncio.get_running_loop().create_future(), asyncio.Event()
        work = (
            result_within_timeout(60, answer)
            if waiting == "within"
            else happens_within_timeout(rings, 60)
        )
        task = asyncio.create_task(work)
        for _ in range(3):
            await asyncio.sleep(0)
        answer.set_result(None)
        rings.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_within_ends_what_takes_too_long() -> None:
    async def scenario() -> None:
        never = asyncio.get_running_loop().create_future()
        with pytest.raises(asyncio.TimeoutError):
            await result_within_timeout(0.01, never)
        assert never.cancelled()

    asyncio.run(scenario())


def test_upkeep_and_measuring_finish_what_they_do_on_sqlite(
    sqlite_url: str, other: sqlite3.Connection
) -> None:
    """Once in some hundred times a task that is cancelled within a query of SQLite never ends."""

    async def scenario() -> None:
        database, stop = Database(sqlite_url), asyncio.Event()
        settings = BackendSettings.from_environment({"DATABASE_URL": sqlite_url})
        other.execute("BEGIN IMMEDIATE")
        works = [
            asyncio.create_task(run_database_upkeep(database, settings, stop)),
            asyncio.create_task(run_event_measurement(database, settings, stop)),
        ]
        while not database.engine.pool.checkedout():  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
        stop.set()
        other.execute("ROLLBACK")
        await asyncio.gather(*works)
        await database.close()

    asyncio.run(scenario())


def test_readiness_gives_up_on_a_database_without_breaking_it_off(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ingest.ingest_health._DATABASE_TIMEOUT_SEC", 0.01)

    async def scenario() -> None:
        answers, ended = asyncio.Event(), asyncio.Event()

        class Slow(Database):
            async def check(self) -> None:
                await answers.wait()
                ended.set()

        database = Slow(sqlite_url)
        assert "did not answer within" in (await ingest_health_of_database(database) or "")
        answers.set()
        assert await happens_within_timeout(ended, 60)
        await database.close()

    asyncio.run(scenario())


def test_asked_to_end_while_its_database_is_locked_it_stores_first(
    tmp_path: Path, broker: Broker, sqlite_url: str, other: sqlite3.Connection
) -> None:
    own = {"MQTT_TOPIC_METERING": "locked/metering", "MQTT_SHARE_GROUP": "locked"}
    fleet = Fleet(broker)
    with ingest(tmp_path, broker, sqlite_url, **own) as process:
        other.execute("BEGIN IMMEDIATE")
        fleet.send([payload("v", 1)], own["MQTT_TOPIC_METERING"])
        assert wait_for_condition(
            lambda: process.metric("venagent_ingest_waiting_messages") == 1, 60
        )
        process.ask_to_end()
        other.execute("ROLLBACK")
        assert process.wait() == 0, process.log()
    fleet.close()
    assert other.execute("SELECT count(*) FROM ven_telemetry").fetchone() == (1,)


def test_an_error_without_words_is_named() -> None:
    """A connection that takes too long raises one, and it must not end the process."""
    assert database_error_line(TimeoutError()) == "TimeoutError"
    assert database_error_line(OSError("first\nsecond")) == "first"
