"""A hostile fleet: whatever a VEN sends, the others' messages are stored, and nothing waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from backend.config.backend_settings import BackendSettings
from backend.ingest import ingest_writer as ingest_writer
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import IngestRecord
from backend.ingest.ingest_writer import IngestWriter, IngestWriterOutcome
from backend.store.command_tables import CommandRow
from backend.store.database import Database
from backend.store.database_upkeep import upkeep_retention
from backend.store.day_partitions import existing_day_partitions
from backend.store.event_tables import EventRow, ParticipantRow
from backend.store.fleet_tables import VenStateRow
from backend.store.ingest_tables import DeadLetterRow
from backend.store.telemetry_tables import VenTelemetryRow
from backend.store.utc_time import utc_now
from tests.backend.builders import payload
from VenAgent.contract.json_codec import encode_json

pytestmark = pytest.mark.asyncio

DEEP = b"[" * 60_000 + b"]" * 60_000
METERING, ACK, ALERT = "volttron/metering", "ven/ack/v", "ven/alerts/v"


@pytest.fixture
def writer(database: Database, database_url: str) -> IngestWriter:
    return IngestWriter(database, BackendSettings.from_environment({"DATABASE_URL": database_url}))


def message(data: bytes, topic: str = METERING, received: float | None = None) -> IngestMessage:
    return IngestMessage(topic, data, time.time() if received is None else received)


def ack(ven_id: str, **fields: Any) -> IngestMessage:
    fields = {"op": "event", "venId": ven_id, "ts": time.time(), "ok": True, **fields}
    return message(encode_json(fields), f"ven/ack/{ven_id}")


def saying(inside: bytes) -> bytes:
    """A message with all that every kind needs, and `inside`."""
    fields = {"venId": "v", "timestamp": time.time(), "seq": 1, "status": "accepted"}
    return json.dumps(fields).encode()[:-1] + b"," + inside + b"}"


async def all_of(database: Database, table: Any) -> list[Any]:
    async with database.sessions() as session:
        return list(await session.scalars(select(table)))


@pytest.mark.parametrize(
    ("topic", "inside"),
    [
        (METERING, b'"unknown":' + DEEP),
        (METERING, b'"circuits":' + DEEP),
        (METERING, b'"eventId":"\xff\xfe"'),
        (METERING, b'"eventId":"\xed\xa0\x80"'),
        (METERING, b'"eventId":"\\ud800"'),
        (METERING, b'"eventId":"a\x00b"'),
        (METERING, b'"eventId":"a\\u0000b"'),
        (METERING, b'"usedPowerKw":1e999'),
        (METERING, b'"usedPowerKw":NaN'),
        (METERING, b'"usedPowerKw":' + b"9" * 400),
        (METERING, b'"seq":' + b"9" * 5_000),
        (METERING, b'"timestamp":"0001-01-01T00:00:00+14:00"'),
        (METERING, b'"timestamp":"9999-12-31T23:59:59-14:00"'),
        (METERING, b'"timestamp":"inf"'),
        (METERING, b'"timestamp":32503680000'),
        (METERING, b'"loads":[{"id":"a","priority":' + b"9" * 40 + b"}]"),
        ("", b'"unknown":' + DEEP),
        (ACK, b'"circuits_curtailed":' + DEEP),
        (ACK, b'"data":' + b"[" * 990 + b"]" * 990),
        (ACK, b'"data":"\\ud800"'),
        (ACK, b'"data":1e999'),
        (ALERT, b'"context":' + b"[" * 990 + b"]" * 990),
    ],
)
async def test_one_poisoned_message_costs_none_of_the_others(
    database: Database, writer: IngestWriter, topic: str, inside: bytes
) -> None:
    """Each of these is refused where it is read, or found where it is stored: no error is left."""
    poison = saying(inside)
    good = [message(payload("good", seq)) for seq in range(3)]
    outcome = await writer.store([*good[:2], message(poison, topic), good[2]], "mqtt")
    assert outcome == IngestWriterOutcome(stored=3, refused=1)
    (letter,) = await all_of(database, DeadLetterRow)
    assert (letter.payload, bool(letter.reason)) == (poison, True)
    assert len(await all_of(database, VenTelemetryRow)) == 3


async def test_what_reading_did_not_foresee_is_the_fault_of_one_message(
    database: Database, writer: IngestWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it raised, the batch would be tried again for ever, and nothing stored any more."""
    decode: Callable[..., IngestRecord] = ingest_writer.decode_message

    def stumbling(one: IngestMessage, *more: Any) -> IngestRecord:
        if b'"seq":13' in one.payload:
            raise AttributeError("unforeseen")
        return decode(one, *more)

    monkeypatch.setattr(ingest_writer, "decode_message", stumbling)
    data = [message(payload("v", seq)) for seq in (12, 13, 14)]
    assert await writer.store(data, "mqtt") == IngestWriterOutcome(stored=2, refused=1)
    (letter,) = await all_of(database, DeadLetterRow)
    assert letter.reason == "cannot be read: AttributeError: unforeseen"


async def test_a_far_time_makes_no_partition(database: Database, writer: IngestWriter) -> None:
    def days(connection: Connection) -> int:
        if connection.dialect.name != "postgresql":
            return 0
        return len(existing_day_partitions(connection, "ven_telemetry"))

    times = [time.time() + 86_400.0 * n for n in (-40, 1, 2, 400)]
    far = [message(payload("v", n, timestamp=moment)) for n, moment in enumerate(times)]
    async with database.engine.begin() as connection:
        before = await connection.run_sync(days)
    assert await writer.store(far, "mqtt") == IngestWriterOutcome(refused=4)
    async with database.engine.begin() as connection:
        assert await connection.run_sync(days) == before


async def test_an_agent_that_was_installed_anew_begins_its_numbers_again(
    database: Database, writer: IngestWriter
) -> None:
    now = time.time()
    old = [message(payload("v", seq, timestamp=now - 60 + seq)) for seq in (1, 2, 3)]
    new = [message(payload("v", seq, timestamp=now - 30 + seq)) for seq in (1, 2, 3)]
    back = [message(payload("v", 4, timestamp=now - 59))]  # its clock was put back
    assert await writer.store([*old, *new, *back], "mqtt") == IngestWriterOutcome(stored=7)
    assert await writer.store([*old, *new, *back], "mqtt") == IngestWriterOutcome(duplicates=7)


async def test_a_ven_that_catches_up_after_an_outage_is_seen_and_its_state_stays(
    database: Database, writer: IngestWriter
) -> None:
    now = time.time()

    async def state_after(seq: int, timestamp: float, received: float) -> tuple[int, float]:
        data = payload("v", seq, timestamp=timestamp)
        await writer.store([message(data, received=received)], "mqtt")
        (state,) = await all_of(database, VenStateRow)
        return state.seq, round(state.last_seen.timestamp() - now, 3)

    assert await state_after(9, now, now) == (9, 0.0)
    assert await state_after(8, now - 600, now + 60) == (9, 60.0)
    # Another instance took this one in before, and stores it after: nothing goes back.
    other = IngestWriter(database, BackendSettings.from_environment({}))
    await other.store([message(payload("v", 10, timestamp=now + 1), received=now + 30)], "mqtt")
    (state,) = await all_of(database, VenStateRow)
    assert (state.seq, round(state.last_seen.timestamp() - now, 3)) == (10, 60.0)


async def take_part(database: Database) -> None:
    """An event with one VEN that was told."""
    now = utc_now()
    async with database.sessions.begin() as session:
        session.add(EventRow(id="e", start_time=now, end_time=now, requested_reduction_kw=5.0))
        await session.flush()
        session.add(
            ParticipantRow(event_id="e", ven_id="v", assigned_shed_kw=5.0, commanded_at=now)
        )
        session.add(
            CommandRow(correlation_id="c", event_id="e", ven_id="v", op="event", payload={})
        )


async def test_an_ack_that_comes_again_does_not_undo_a_later_one(
    database: Database, writer: IngestWriter
) -> None:
    await take_part(database)
    first = ack("v", status="accepted", correlationId="c", event_id="e")
    later = ack("v", status="measured", correlationId="c", event_id="e")
    for batch in ([first], [later], [first]):
        await writer.store(batch, "mqtt")
    (command,) = await all_of(database, CommandRow)
    assert command.ack_status == "measured"
    (part,) = await all_of(database, ParticipantRow)
    assert part.status == "measured"


async def test_a_ven_whose_clock_was_put_right_in_an_event_is_still_heard(
    database: Database, writer: IngestWriter
) -> None:
    await take_part(database)
    ahead = time.time() + 1_800
    await writer.store([ack("v", status="accepted", event_id="e", ts=ahead)], "mqtt")
    await writer.store([ack("v", status="completed", event_id="e")], "mqtt")
    (part,) = await all_of(database, ParticipantRow)
    assert part.status == "completed"
    # From before that, sent late: nothing new.
    await writer.store([ack("v", status="adjusted", event_id="e", ts=time.time() - 60)], "mqtt")
    (part,) = await all_of(database, ParticipantRow)
    assert part.status == "completed"


async def test_a_partition_under_another_name_is_left_alone(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    settings = BackendSettings.from_environment({"DATABASE_URL": postgresql_url})
    async with database.engine.begin() as connection:
        statement = "CREATE TABLE ven_telemetry_rest PARTITION OF ven_telemetry DEFAULT"
        await connection.execute(text(statement))
    await upkeep_retention(database, settings, utc_now() + timedelta(days=40))
    assert await IngestWriter(database, settings).store(
        [message(payload("v"))], "mqtt"
    ) == IngestWriterOutcome(1)
    async with database.engine.begin() as connection:
        assert await connection.scalar(text("SELECT to_regclass('ven_telemetry_rest')"))
    await database.close()
