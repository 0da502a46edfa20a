"""Batches into both databases: each message once, and a bad one never fails the others."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter, IngestWriterOutcome, IngestWriterStopped
from backend.store.alert_tables import VenAlertRow
from backend.store.command_tables import CommandAckRow, CommandRow
from backend.store.database import Database
from backend.store.database_upkeep import (
    upkeep_quarter_hour,
    upkeep_quarter_hours,
    upkeep_retention,
    upkeep_ven_statuses,
)
from backend.store.day_partitions import create_day_partitions, drop_old_day_partitions
from backend.store.event_tables import EventRow, ParticipantRow
from backend.store.fleet_tables import LoadSetRow, VenRow, VenStateRow
from backend.store.ingest_tables import DeadLetterRow
from backend.store.statuses import ONLINE
from backend.store.telemetry_tables import (
    TelemetryQuarterHourDueRow,
    TelemetryQuarterHourRow,
    VenTelemetryRow,
)
from backend.store.utc_time import utc_now
from tests.backend.builders import payload, telemetry
from VenAgent.contract.json_codec import encode_json

pytestmark = pytest.mark.asyncio


@pytest.fixture
def settings(database_url: str) -> BackendSettings:
    return BackendSettings.from_environment({"DATABASE_URL": database_url})


@pytest.fixture
def writer(database: Database, settings: BackendSettings) -> IngestWriter:
    return IngestWriter(database, settings)


def message(data: bytes, topic: str = "volttron/metering") -> IngestMessage:
    return IngestMessage(topic, data, time.time())


def ack(ven_id: str, *, received: float | None = None, **fields: Any) -> IngestMessage:
    now = time.time()
    fields = {"op": "event", "venId": ven_id, "ts": now, "ok": True, **fields}
    return IngestMessage(f"ven/ack/{ven_id}", encode_json(fields), received or now)


async def count(database: Database, table: Any) -> int:
    async with database.sessions() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


async def all_of(database: Database, table: Any) -> list[Any]:
    async with database.sessions() as session:
        return list(await session.scalars(select(table)))


async def test_telemetry_registers_its_ven_and_is_stored_with_its_loads(
    database: Database, writer: IngestWriter
) -> None:
    data = [message(payload(f"ven-{n}", seq)) for n in range(3) for seq in (1, 2)]
    assert await writer.store(data, "mqtt") == IngestWriterOutcome(stored=6)
    vens = await all_of(database, VenRow)
    assert sorted(ven.id for ven in vens) == ["ven-0", "ven-1", "ven-2"]
    assert {ven.status for ven in vens} == {"online"}
    assert await count(database, LoadSetRow) == 1
    async with database.sessions() as session:
        rows = await session.execute(
            text("SELECT count(*), sum(shed_capability_kw) FROM ven_load_samples")
        )
        assert tuple(rows.one()) == (48, 48.0)
    state = next(state for state in await all_of(database, VenStateRow) if state.ven_id == "ven-1")
    assert (state.seq, state.used_power_kw, state.shed_available_kw) == (2, 12.345, 8.0)


async def test_what_comes_again_is_stored_once_and_counted(
    database: Database, writer: IngestWriter
) -> None:
    data = [message(payload("ven-1", seq)) for seq in range(20)]
    acks = [ack("ven-1", correlationId=f"c{n}", event_id="e") for n in range(5)]
    assert await writer.store([*data, *acks, *data[:5]], "mqtt") == IngestWriterOutcome(25, 5)
    again = [*data[10:], *acks, message(payload("ven-1", 99))]
    assert await writer.store(again, "mqtt") == IngestWriterOutcome(1, 15)
    assert await writer.store(again, "mqtt") == IngestWriterOutcome(0, 16)
    assert await count(database, VenTelemetryRow) == 21
    assert await count(database, CommandAckRow) == 5


async def test_bad_messages_go_to_the_dead_letters_and_the_others_are_stored(
    database: Database, writer: IngestWriter
) -> None:
    bad = [b"not json", b"\x00\xff", encode_json({"venId": "v"}), payload("v", usedPowerKw=1e12)]
    mixed = [message(payload("ven-1", seq)) for seq in range(10)]
    for at, data in enumerate(bad):
        mixed.insert(at * 3, message(data))
    assert await writer.store(mixed, "mqtt") == IngestWriterOutcome(stored=10, refused=4)
    letters = await all_of(database, DeadLetterRow)
    assert sorted(letter.payload for letter in letters) == sorted(bad)
    assert all(letter.reason and letter.topic == "volttron/metering" for letter in letters)


async def test_a_message_the_database_itself_refuses_is_found_among_the_others(
    database: Database, writer: IngestWriter
) -> None:
    """The reader misses it, so the whole transaction fails; halving finds it."""
    if not database.is_postgresql:
        trigger = (
            "CREATE TRIGGER no_13 BEFORE INSERT ON ven_telemetry WHEN NEW.seq = 13 "
            "BEGIN SELECT RAISE(ABORT, 'thirteen'); END"
        )
    else:
        trigger = "ALTER TABLE ven_telemetry ADD CONSTRAINT no_13 CHECK (seq <> 13)"
    async with database.engine.begin() as connection:
        await connection.execute(text(trigger))
    data = [message(payload("ven-1", seq)) for seq in range(40)]
    assert await writer.store(data, "mqtt") == IngestWriterOutcome(stored=39, refused=1)
    (letter,) = await all_of(database, DeadLetterRow)
    assert letter.payload == data[13].payload
    assert "the database refuses it" in letter.reason


async def test_partitions_that_were_dropped_are_made_again(
    database: Database, writer: IngestWriter
) -> None:
    await writer.store([message(payload("ven-1", 1))], "mqtt")

    def drop(connection: Connection) -> None:
        tomorrow = utc_now() + timedelta(days=1)
        drop_old_day_partitions(connection, "ven_telemetry", tomorrow)

    async with database.engine.begin() as connection:
        await connection.run_sync(drop)
    assert await count(database, VenTelemetryRow) == 0
    assert await writer.store([message(payload("ven-1", 2))], "mqtt") == IngestWriterOutcome(1)
    assert await count(database, DeadLetterRow) == 0


async def test_a_ven_that_was_deleted_is_registered_again_by_its_next_telemetry(
    database: Database, writer: IngestWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await writer.store([message(payload("ven-1", 1))], "mqtt")
    async with database.sessions.begin() as session:
        await session.delete(await session.get_one(VenRow, "ven-1"))
    monkeypatch.setattr("backend.ingest.ingest_writer._REFRESH_SEC", -1.0)
    await writer.store([message(payload("ven-1", 2))], "mqtt")
    assert await count(database, VenRow) == 1


async def test_states_are_stored_now_and_then_and_never_go_back(
    database: Database, writer: IngestWriter
) -> None:
    now = time.time()

    def at(received: float, seq: int, timestamp: float) -> IngestMessage:
        return IngestMessage("volttron/metering", payload("v", seq, timestamp=timestamp), received)

    for seq, expected in ((1, 1), (2, 1), (3, 3)):
        await writer.store([at(now + 2.5 * seq, seq, now + seq)], "mqtt")
        (state,) = await all_of(database, VenStateRow)
        assert state.seq == expected
    assert state.report_interval_sec == 1.0  # those that were not stored as a state count too
    await writer.store([at(now + 60, 4, now - 500)], "mqtt")  # from before an outage
    (state,) = await all_of(database, VenStateRow)
    assert state.seq == 3


async def test_what_comes_too_soon_for_the_state_is_made_up_for(
    database: Database, writer: IngestWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ingest.ingest_writer._WINDOW_SEC", 0.0)
    now = time.time()
    out = {"state": "opted_out", "until_ts": None, "reason_code": "opted_out_by_person"}

    async def store(seq: int, **changes: Any) -> Any:
        data = payload("v", seq, timestamp=now - 60 + seq, **changes)
        await writer.store([IngestMessage("volttron/metering", data, now)], "mqtt")
        return (await all_of(database, VenStateRow))[0]

    await store(1)
    state = await store(2, availability=out)  # at once: it must not be asked any more
    assert (state.seq, state.availability) == (2, "opted_out")
    state = await store(3, availability=out)
    assert (state.seq, writer.has_states_waiting) == (2, True)
    stored = writer._state_stored["v"]
    writer._state_stored["v"] = stored - 60.0  # the interval has passed, and nothing else comes
    await writer.store([], "mqtt")
    (state,) = await all_of(database, VenStateRow)
    assert (state.seq, writer.has_states_waiting) == (3, False)


async def test_rows_find_their_columns_by_name_and_not_by_their_order(
    postgresql_url: str,
) -> None:
    """A database that was changed by hand, or restored, may have them in another order."""
    database = Database(postgresql_url)
    async with database.engine.begin() as connection:
        for name, kind in (
            ("seq", "int8"),
            ("timestamp", "timestamptz"),
            ("battery_soc", "float8"),
        ):
            await connection.execute(text(f"ALTER TABLE ven_state DROP COLUMN {name}"))
            await connection.execute(text(f"ALTER TABLE ven_state ADD COLUMN {name} {kind}"))
    settings = BackendSettings.from_environment({"DATABASE_URL": postgresql_url})
    writer = IngestWriter(database, settings)
    await writer.store([message(payload("v", 7, batterySoc=60.0))], "mqtt")
    (state,) = await all_of(database, VenStateRow)
    assert (state.seq, state.battery_soc, state.highest_power_kw) == (7, 60.0, state.used_power_kw)
    await database.close()


async def test_an_ack_answers_its_command_and_tells_the_participant(
    database: Database, writer: IngestWriter
) -> None:
    now = utc_now()
    async with database.sessions.begin() as session:
        session.add(EventRow(id="e", start_time=now, end_time=now, requested_reduction_kw=5.0))
        await session.flush()
        session.add(
            ParticipantRow(
                event_id="e",
                ven_id="v",
                assigned_shed_kw=5.0,
                status="commanded",
                commanded_at=now - timedelta(seconds=2),
            )
        )
        session.add(
            CommandRow(
                correlation_id="c",
                event_id="e",
                ven_id="v",
                op="event",
                payload={},
                state="published",
            )
        )
    accepted = ack(
        "v",
        received=now.timestamp(),
        ts=now.timestamp(),
        status="accepted",
        correlationId="c",
        event_id="e",
        actual_shed_kw=4.0,
        shed_basis="predicted",
        baseline_kw=9.0,
    )
    assert await writer.store([accepted], "mqtt") == IngestWriterOutcome(1)
    measured = ack("v", status="measured", correlationId="c", event_id="e", actual_shed_kw=4.5)
    restored = ack("v", op="restore", status="success", correlationId="r", event_id="e")
    rebound = ack("v", status="rebound", correlationId="c", event_id="e", reason_code="x")
    await writer.store([measured, restored, rebound, accepted], "mqtt")
    (command,) = await all_of(database, CommandRow)
    assert command.state == "acked"
    (part,) = await all_of(database, ParticipantRow)
    assert (part.status, part.actual_shed_kw, part.baseline_kw) == ("measured", 4.5, 9.0)
    assert part.response_ms == pytest.approx(2000.0, abs=2.0)
    stored = {row.status: row for row in await all_of(database, CommandAckRow)}
    assert set(stored) == {"accepted", "measured", "success", "rebound"}
    assert stored["accepted"].raw_payload["shed_basis"] == "predicted"
    # What it refused is not why it does what it agrees to.
    why = {"reason": "away", "reason_code": "opted_out_by_person"}
    for status, given, kept in (
        ("opted_out", why, why),
        ("opted_out", {}, why),
        ("accepted", {}, {"reason": None, "reason_code": None}),
    ):
        said = ack("v", status=status, correlationId="c", event_id="e", **given)
        await writer.store([said], "mqtt")
        (part,) = await all_of(database, ParticipantRow)
        assert {name: getattr(part, name) for name in kept} == kept, status


async def test_an_ack_without_an_event_is_tied_by_its_correlation_id(
    database: Database, writer: IngestWriter
) -> None:
    """As VENs of others answer a restore."""
    async with database.sessions.begin() as session:
        common = {"op": "restore", "payload": {}, "state": "published", "event_id": "e"}
        session.add(CommandRow(correlation_id="r-1", ven_id="v", **common))
    mine = ack("v", op="restore", status="success", correlationId="r-1")
    others = ack("w", op="restore", status="success", correlationId="r-1")
    await writer.store([mine, others, ack("v", op="ping", status="success")], "mqtt")
    found = {(row.ven_id, row.op): row.event_id for row in await all_of(database, CommandAckRow)}
    assert found == {("v", "restore"): "e", ("w", "restore"): None, ("v", "ping"): None}


async def test_maintenance_is_ended_by_an_operator_only(
    database: Database, writer: IngestWriter, settings: BackendSettings
) -> None:
    await writer.store([message(payload("v"))], "mqtt")
    async with database.engine.begin() as connection:
        await connection.execute(update(VenRow).values(status="maintenance"))
    online = encode_json({"venId": "v", "status": "online", "ts": 1})
    await writer.store([message(payload("v", 2)), message(online, "ven/status/v")], "mqtt")
    for later in (0, 3_600):
        async with database.engine.begin() as connection:
            now = utc_now() + timedelta(seconds=later)
            await upkeep_ven_statuses(connection, settings, now)
        (ven,) = await all_of(database, VenRow)
        assert ven.status == "maintenance"


async def test_the_state_tells_who_takes_part_and_what_was_ever_drawn(
    database: Database, writer: IngestWriter
) -> None:
    now = time.time()
    out = {"state": "opted_out", "until_ts": now + 600, "reason_code": "person"}
    first = payload("v", 1, timestamp=now - 10, usedPowerKw=7.0, availability=out)
    async with database.engine.begin() as connection:
        await connection.run_sync(create_day_partitions, [utc_now().date()])
    await writer.store([message(first)], "mqtt")
    (state,) = await all_of(database, VenStateRow)
    assert (state.availability, state.availability_reason) == ("opted_out", "person")
    assert state.availability_until.timestamp() == pytest.approx(now + 600, abs=0.01)
    writer = IngestWriter(database, BackendSettings.from_environment({}))
    await writer.store([message(payload("v", 2, timestamp=now, usedPowerKw=2.0))], "mqtt")
    (state,) = await all_of(database, VenStateRow)
    assert (state.used_power_kw, state.highest_power_kw) == (2.0, 7.0)
    assert state.availability == "available"


async def test_an_ack_of_another_ven_answers_nothing(
    database: Database, writer: IngestWriter
) -> None:
    async with database.sessions.begin() as session:
        session.add(CommandRow(correlation_id="c", ven_id="v", op="ping", payload={}))
    await writer.store([ack("w", status="success", correlationId="c", op="ping")], "mqtt")
    (command,) = await all_of(database, CommandRow)
    assert command.state == "pending"


async def test_alerts_and_loads_snapshots_are_stored_once(
    database: Database, writer: IngestWriter
) -> None:
    said = encode_json(
        {
            "venId": "v",
            "ts": time.time(),
            "severity": "warning",
            "code": "meter_stale",
            "message": "m",
            "context": {"circuit": "hvac"},
        }
    )
    loads = encode_json({"venId": "v", "timestamp": time.time(), "loads": telemetry("v")["loads"]})
    data = [message(said, "ven/alerts/v"), message(loads, "ven/loads/v")]
    assert await writer.store(data, "mqtt") == IngestWriterOutcome(2)
    assert await writer.store(data, "mqtt") == IngestWriterOutcome(0, 2)
    (alert,) = await all_of(database, VenAlertRow)
    assert alert.context == {"circuit": "hvac"}
    async with database.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM load_snapshots")) == 8


async def test_status_and_silence_decide_who_is_online(
    database: Database, writer: IngestWriter, settings: BackendSettings
) -> None:
    def status(word: str) -> IngestMessage:
        return message(
            encode_json({"venId": "v", "status": word, "ts": 1, "bootId": "b"}), "ven/status/v"
        )

    async def now_is(later_sec: float) -> tuple[str, str | None]:
        async with database.engine.begin() as connection:
            now = utc_now() + timedelta(seconds=later_sec)
            await upkeep_ven_statuses(connection, settings, now)
        (ven,) = await all_of(database, VenRow)
        return ven.status, ven.boot_id

    await writer.store([message(payload("v"))], "mqtt")
    await writer.store([status("offline")], "mqtt")
    assert await now_is(0) == ("offline", "b")  # its telemetry came before its last will
    await writer.store([status("online")], "mqtt")
    assert await now_is(0) == ("online", "b")
    assert await now_is(settings.offline_after_sec + 5) == ("offline", "b")
    async with database.engine.begin() as connection:
        spoke = utc_now() + timedelta(seconds=90)
        await connection.execute(update(VenStateRow).values(last_seen=spoke))
    assert await now_is(91) == ("online", "b")


async def test_a_last_will_of_an_earlier_boot_says_nothing_of_the_next(
    database: Database, writer: IngestWriter
) -> None:
    """The broker may notice a dead connection when the agent is long back."""

    def status(word: str, boot: str, ago_sec: float | None) -> IngestMessage:
        body: dict[str, Any] = {"status": word, "bootId": boot}
        if ago_sec is not None:
            body["ts"] = utc_now().timestamp() - ago_sec
        return message(encode_json(body), "ven/status/v")

    async def after(*told: IngestMessage) -> tuple[str, str | None]:
        await writer.store(list(told), "mqtt")
        (ven,) = await all_of(database, VenRow)
        return ven.status, ven.boot_id

    await writer.store([message(payload("v"))], "mqtt")
    old_will, dateless_will = status("offline", "B1", 300), status("offline", "B1", None)
    assert await after(status("online", "B1", 299)) == ("online", "B1")
    assert await after(old_will) == ("offline", "B1")  # its own boot's
    assert await after(status("online", "B2", 0)) == ("online", "B2")
    assert await after(old_will) == ("online", "B2")
    assert await after(dateless_will) == ("online", "B2")
    assert await after(status("offline", "B2", 1)) == ("offline", "B2")
    assert await after(status("online", "B3", 0), old_will, dateless_will) == ("online", "B3")
    assert await after(old_will, status("online", "B3", 0)) == ("online", "B3")
    # A boot whose first word was missed is newer: its will counts.
    assert await after(status("offline", "B4", -1)) == ("offline", "B4")


async def test_a_checkpoint_belongs_to_the_batch(database: Database, writer: IngestWriter) -> None:
    async def checkpoint(connection: AsyncConnection) -> None:
        await connection.execute(
            insert(DeadLetterRow).values(
                received_at=utc_now(), source="s", topic="checkpoint", reason="r", payload=b""
            )
        )

    async def lost(_connection: AsyncConnection) -> None:
        raise IngestWriterStopped

    with pytest.raises(IngestWriterStopped):
        await writer.store([message(payload("v", 1))], "kinesis", lost)
    assert await count(database, VenTelemetryRow) == 0
    await writer.store([message(payload("v", 1))], "kinesis", checkpoint)
    assert (await count(database, VenTelemetryRow), await count(database, DeadLetterRow)) == (1, 1)


async def test_a_quarter_of_an_hour_is_summed_up_and_again_when_telemetry_comes_late(
    database: Database, writer: IngestWriter
) -> None:
    start = upkeep_quarter_hour(utc_now() - timedelta(hours=1))

    def sample(seq: int, power_kw: float, **changes: Any) -> IngestMessage:
        moment = start.timestamp() + seq
        return message(payload("v", seq, timestamp=moment, usedPowerKw=power_kw, **changes))

    await writer.store([sample(1, 2.0), sample(2, 4.0), sample(3, 99.0, quality="stale")], "mqtt")
    assert await upkeep_quarter_hours(database, utc_now()) == 1
    (sums,) = await all_of(database, TelemetryQuarterHourRow)
    assert (sums.start, sums.used_power_kw, sums.samples, sums.in_event) == (start, 3.0, 2, False)
    assert await count(database, TelemetryQuarterHourDueRow) == 0
    # A limit that holds nothing off, perhaps for years, changes nothing.
    await writer.store([sample(4, 6.0, eventId="a limit", shedPowerKw=0.0)], "mqtt")
    assert await upkeep_quarter_hours(database, utc_now()) == 1
    (sums,) = await all_of(database, TelemetryQuarterHourRow)
    assert (sums.used_power_kw, sums.samples, sums.in_event) == (4.0, 3, False)
    await writer.store([sample(5, 4.0, eventId="e", requestedReductionKw=2.0)], "mqtt")
    assert await upkeep_quarter_hours(database, utc_now()) == 1
    (sums,) = await all_of(database, TelemetryQuarterHourRow)
    assert (sums.used_power_kw, sums.samples, sums.in_event) == (4.0, 4, True)
    await writer.store([message(payload("v", 5))], "mqtt")
    assert await upkeep_quarter_hours(database, utc_now()) == 0  # this one is not over


async def test_retention_drops_what_is_old(
    database: Database, writer: IngestWriter, settings: BackendSettings
) -> None:
    await writer.store([message(payload("v")), message(b"bad")], "mqtt")
    await upkeep_retention(database, settings, utc_now())
    assert (await count(database, VenTelemetryRow), await count(database, DeadLetterRow)) == (1, 1)
    later = datetime.now(timezone.utc) + timedelta(days=32)
    await upkeep_retention(database, settings, later)
    assert (await count(database, VenTelemetryRow), await count(database, DeadLetterRow)) == (0, 0)


async def test_a_reader_of_an_old_day_delays_the_retention_and_not_the_ingest(
    postgresql_url: str,
) -> None:
    settings = BackendSettings.from_environment({"DATABASE_URL": postgresql_url})
    database = Database(postgresql_url)
    writer = IngestWriter(database, settings)
    await writer.store([message(payload("v", 1))], "mqtt")
    later = utc_now() + timedelta(days=40)
    async with database.engine.connect() as reader:
        await reader.execute(select(VenTelemetryRow.seq))  # and its transaction stays open
        with pytest.raises(DBAPIError, match="lock timeout"):
            await upkeep_retention(database, settings, later)
        assert await writer.store([message(payload("v", 2))], "mqtt") == IngestWriterOutcome(1)
    await upkeep_retention(database, settings, later)
    assert await count(database, VenTelemetryRow) == 0
    await database.close()


async def test_two_writers_store_the_same_messages_once(
    database: Database, settings: BackendSettings
) -> None:
    data = [message(payload(f"ven-{n % 7}", n)) for n in range(300)]
    acks = [ack(f"ven-{n}", correlationId=f"c{n}", event_id="e") for n in range(50)]
    writers = [IngestWriter(database, settings) for _ in range(2)]

    async def store(writer: IngestWriter, messages: list[IngestMessage]) -> IngestWriterOutcome:
        for _ in range(20):  # a deadlock or a locked file is tried again, as the pipeline does
            try:
                return await writer.store(messages, "mqtt")
            except DBAPIError:
                await asyncio.sleep(0.05)
        raise AssertionError("never stored")

    both = await asyncio.gather(
        store(writers[0], [*data, *acks]), store(writers[1], [*reversed(data), *reversed(acks)])
    )
    assert sum(outcome.stored for outcome in both) == 350
    assert sum(outcome.duplicates for outcome in both) == 350
    assert await count(database, VenTelemetryRow) == 300
    assert ONLINE in {ven.status for ven in await all_of(database, VenRow)}


async def test_the_whole_payload_is_kept_on_request(database: Database, database_url: str) -> None:
    settings = BackendSettings.from_environment(
        {"DATABASE_URL": database_url, "STORE_RAW_PAYLOAD": "true"}
    )
    await IngestWriter(database, settings).store([message(payload("v", extra="é"))], "mqtt")
    (row,) = await all_of(database, VenTelemetryRow)
    assert row.raw_payload["extra"] == "é"
