"""What nobody asked for is bounded: invented VENs, and messages that cannot be read."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_budget import DeadLetterBudget, IngestBudget
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import TOO_MANY_NEW, IngestWriter, IngestWriterOutcome
from backend.store.database import Database
from backend.store.fleet_tables import VenRow
from backend.store.ingest_tables import DeadLetterRow
from backend.store.telemetry_tables import VenTelemetryRow
from tests.backend.builders import payload


def test_a_budget_is_spent_and_comes_back_with_time() -> None:
    budget = IngestBudget(burst=10, per_sec=2.0)
    assert [budget.take(7, 0.0), budget.take(7, 0.0), budget.take(1, 0.0)] == [7, 3, 0]
    assert budget.take(9, 2.5) == 5
    assert budget.take(99, 1_000.0) == 10


def test_one_client_does_not_spend_the_dead_letters_of_the_others() -> None:
    budget = DeadLetterBudget(per_client=5, in_all=12)
    assert sum(budget.allows("noisy", 0.0) for _ in range(100)) == 5
    assert budget.allows("other", 0.0)
    assert sum(budget.allows(f"client-{n}", 0.0) for n in range(100)) == 6


def metering(ven_id: str, seq: int = 1) -> IngestMessage:
    return IngestMessage("volttron/metering", payload(ven_id, seq), time.time())


@pytest.mark.asyncio
async def test_invented_vens_are_bounded_and_those_that_are_known_unharmed(
    database: Database, database_url: str
) -> None:
    variables = {"DATABASE_URL": database_url, "INGEST_NEW_VENS_AT_ONCE": "3"}
    settings = BackendSettings.from_environment({**variables, "INGEST_NEW_VENS_PER_MINUTE": "0"})
    writer = IngestWriter(database, settings)
    assert await writer.store([metering("a"), metering("b")], "mqtt") == IngestWriterOutcome(2)
    flood = [metering(f"invented-{n}") for n in range(50)]
    outcome = await writer.store([metering("a", 2), *flood, metering("b", 2)], "mqtt")
    assert outcome == IngestWriterOutcome(stored=3, refused=49)
    async with database.sessions() as session:
        vens = set(await session.scalars(select(VenRow.id)))
        stored = await session.scalar(select(func.count()).select_from(VenTelemetryRow))
        reasons = set(await session.scalars(select(DeadLetterRow.reason)))
    assert {"a", "b"} < vens
    assert (len(vens), stored, reasons) == (3, 5, {TOO_MANY_NEW})


@pytest.mark.asyncio
async def test_garbage_is_counted_and_only_some_of_it_kept(
    database: Database, database_url: str
) -> None:
    writer = IngestWriter(
        database, BackendSettings.from_environment({"DATABASE_URL": database_url})
    )
    garbage = [IngestMessage("ven/ack/noisy", b"{", time.time()) for _ in range(500)]
    outcome = await writer.store([*garbage, metering("a")], "mqtt")
    assert outcome == IngestWriterOutcome(stored=1, refused=500)
    async with database.sessions() as session:
        letters = await session.scalar(select(func.count()).select_from(DeadLetterRow))
    assert 1 <= (letters or 0) <= 130
