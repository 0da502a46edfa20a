"""What waits between the broker and a database that is away stays bounded, whatever happens."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import func, select

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_pipeline import IngestPipeline, IngestPipelineState
from backend.ingest.ingest_writer import IngestWriter
from backend.ingest.mqtt_source import MqttSource
from backend.mqtt.mqtt_connection import MqttConnection
from backend.store.database import Database
from backend.store.telemetry_tables import VenTelemetryRow
from tests.backend.builders import payload
from tests.backend.test_mqtt_packets import publish

pytestmark = pytest.mark.asyncio

CONNACK_NEW, CONNACK_KEPT = b"\x20\x03\x00\x00\x00", b"\x20\x03\x01\x00\x00"


class Transport(asyncio.Transport):
    """The socket's place: what was written, and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Side:
    """A pipeline on SQLite, and connections whose bytes the test gives."""

    def __init__(self, url: str, **variables: str) -> None:
        self.settings = BackendSettings.from_environment({"DATABASE_URL": url, **variables})
        self.database = Database(url)
        writer = IngestWriter(self.database, self.settings)
        self.pipeline = IngestPipeline(writer, self.settings, IngestPipelineState())

    def connect(self, connack: bytes) -> tuple[MqttConnection, Transport]:
        transport, mqtt = Transport(), self.settings.mqtt
        source = MqttSource(mqtt, "one", self.pipeline.deliver, self.pipeline.forget)
        connection = MqttConnection(mqtt, source.session, source)
        connection.connection_made(transport)
        connection.data_received(connack)
        return connection, transport

    async def stored(self) -> int:
        """How many are, once all that waits is stored."""
        running = asyncio.create_task(self.pipeline.run())
        while self.pipeline.waiting:
            await asyncio.sleep(0.01)
        self.pipeline.finish()
        await running
        async with self.database.sessions() as session:
            return await session.scalar(select(func.count()).select_from(VenTelemetryRow)) or 0


def sent(first: int, count: int, *, qos: int = 1) -> bytes:
    return b"".join(
        publish("volttron/metering", payload("v", n), n if qos else 0)
        for n in range(first, first + count)
    )


async def test_a_connection_that_breaks_again_and_again_does_not_pile_up_what_comes_again(
    sqlite_url: str,
) -> None:
    side = Side(sqlite_url)
    again = sent(1, 20)
    connection, transport = side.connect(CONNACK_NEW)
    connection.data_received(again)
    for _ in range(5):
        connection, transport = side.connect(CONNACK_KEPT)
        connection.data_received(again)
        assert side.pipeline.waiting == 20
    transport.written = b""
    assert await side.stored() == 20
    assert transport.written == b"".join(b"\x40\x02" + bytes([0, n]) for n in range(1, 21))
    await side.database.close()


async def test_what_a_broker_forgot_is_stored_from_here(sqlite_url: str) -> None:
    """It was restarted without persistence: nobody sends these again."""
    side = Side(sqlite_url)
    side.connect(CONNACK_NEW)[0].data_received(sent(1, 20))
    side.connect(CONNACK_NEW)[0].data_received(sent(21, 5))
    assert await side.stored() == 25
    await side.database.close()


async def test_messages_that_nobody_wants_acknowledged_are_held_back_on_every_connection(
    sqlite_url: str,
) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    side = Side(sqlite_url, MQTT_RECEIVE_MAXIMUM="10", INGEST_BATCH_MAX="20")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        transports = []
        for first in (1, 101, 201):
            connection, transport = side.connect(CONNACK_KEPT)
            connection.data_received(sent(first, 25, qos=0))
            transports.append(transport)
        assert all(transport.paused for transport in transports)
        other.execute("ROLLBACK")
    assert await side.stored() == 75
    assert not any(transport.paused for transport in transports)
    await side.database.close()
