"""A VEN's telemetry is counted by load set, also when its panel changed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter
from backend.store.database import Database
from backend.store.telemetry_count import telemetry_count_by_load_set
from backend.store.utc_time import utc_now
from tests.backend.builders import payload, telemetry

START = utc_now() - timedelta(hours=1)
END = START + timedelta(minutes=30)


@pytest.mark.asyncio
async def test_telemetry_is_counted_by_load_set_when_a_panel_changes(
    database: Database, database_url: str
) -> None:
    writer = IngestWriter(
        database, BackendSettings.from_environment({"DATABASE_URL": database_url})
    )

    async def send(first: int, *all_loads: list[object]) -> None:
        data = [
            payload(
                "v", first + n, timestamp=START.timestamp() + first + n, loads=loads, circuits=[]
            )
            for n, loads in enumerate(all_loads)
        ]
        messages = [IngestMessage("volttron/metering", each, time.time()) for each in data]
        await writer.store(messages, "mqtt")

    async def counts(end: datetime) -> list[int]:
        async with database.engine.connect() as connection:
            return sorted((await telemetry_count_by_load_set(connection, "v", START, end)).values())

    loads = telemetry("v")["loads"]
    await send(1, loads, loads, loads)
    assert await counts(END) == [3]
    assert await counts(START + timedelta(seconds=2.5)) == [2]
    assert await counts(START) == []
    await send(10, loads[:3], [], loads[:3])
    assert await counts(END) == [2, 3]


@pytest.mark.asyncio
async def test_a_ven_without_loads_has_none_to_count(database: Database, database_url: str) -> None:
    writer = IngestWriter(
        database, BackendSettings.from_environment({"DATABASE_URL": database_url})
    )
    bare = payload("v", timestamp=START.timestamp() + 1, loads=[], circuits=[])
    await writer.store([IngestMessage("volttron/metering", bare, time.time())], "mqtt")
    async with database.engine.connect() as connection:
        assert await telemetry_count_by_load_set(connection, "v") == {}
