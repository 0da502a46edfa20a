"""Kinesis as a source, with moto in AWS's place: checkpoints, leases, reshards."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from moto import mock_aws
from sqlalchemy import func, select, text, update

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_pipeline import IngestPipelineState
from backend.ingest.ingest_writer import IngestWriter
from backend.ingest.kinesis_source import KinesisSource
from backend.store.command_tables import CommandAckRow
from backend.store.database import Database
from backend.store.ingest_tables import DeadLetterRow, KinesisShardRow
from backend.store.telemetry_tables import VenTelemetryRow
from backend.store.utc_time import utc_now
from tests.backend.builders import telemetry
from VenAgent.contract.json_codec import encode_json

from .dispatching import eventually

pytestmark = pytest.mark.asyncio
STREAM = "ven-telemetry"


class InTurn:
    """moto's client for one caller at a time: it was not made for threads, AWS was."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def alone(**request: Any) -> Any:
            with self._lock:
                return call(**request)

        return alone


@pytest.fixture
def kinesis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("kinesis", region_name="eu-central-1")
        client.create_stream(StreamName=STREAM, ShardCount=2)
        yield InTurn(client)


def put(client: Any, messages: Sequence[tuple[str, bytes]]) -> None:
    records = [{"Data": data, "PartitionKey": ven_id} for ven_id, data in messages]
    for at in range(0, len(records), 400):
        answer = client.put_records(StreamName=STREAM, Records=records[at : at + 400])
        assert answer["FailedRecordCount"] == 0


def said(ven: int, seq: int, **fields: Any) -> tuple[str, bytes]:
    """As the IoT rule writes it: with the topic, and the client it came from."""
    ven_id = f"ven-{ven}"
    more = {"mqttTopic": "volttron/metering", "mqttClientId": ven_id, **fields}
    return ven_id, encode_json(telemetry(ven_id, seq, **more))


@asynccontextmanager
async def worker(
    url: str, client: Any, name: str = "one", lease_sec: str = "0.6"
) -> AsyncIterator[KinesisSource]:
    settings = BackendSettings.from_environment(
        {
            "DATABASE_URL": url,
            "KINESIS_STREAM": STREAM,
            "INGEST_INSTANCE": name,
            "KINESIS_LEASE_SEC": lease_sec,
            "KINESIS_POLL_INTERVAL_SEC": "0.02",
        }
    )
    database = Database(url)
    source = KinesisSource(
        database, IngestWriter(database, settings), settings, IngestPipelineState(), client
    )
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        source.finish()
        await task
        await database.close()


@pytest_asyncio.fixture
async def ask(postgresql_url: str) -> AsyncIterator[Callable[[Any], Any]]:
    database = Database(postgresql_url)

    async def answer(query: Any) -> Any:
        async with database.engine.begin() as connection:
            result = await connection.execute(query)
            return result.all() if result.returns_rows else result.rowcount

    yield answer
    await database.close()


async def until(condition: Callable[[], Any], limit_sec: float = 60.0) -> None:
    deadline = time.monotonic() + limit_sec
    while not await condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def count_of(table: Any) -> Any:
    return select(func.count()).select_from(table)


async def stored(ask: Callable[[Any], Any], count: int) -> None:
    """Until so many telemetries are stored."""

    async def enough() -> bool:
        return bool((await ask(count_of(VenTelemetryRow)))[0][0] >= count)

    await until(enough)


async def test_records_of_all_shards_are_stored_by_their_kind(
    kinesis: Any, postgresql_url: str, ask: Any
) -> None:
    ack = {"op": "event", "status": "accepted", "correlationId": "c", "ts": time.time()}
    acked = encode_json({**ack, "venId": "ven-1", "mqttTopic": "ven/ack/ven-1"})
    forged = said(2, 99, mqttClientId="mallory")
    put(kinesis, [*(said(n % 20, n) for n in range(200)), ("a", acked), forged, ("b", b"?")])
    async with worker(postgresql_url, kinesis):
        await stored(ask, 200)

        async def all_of_it() -> bool:
            return (await ask(count_of(CommandAckRow)))[0][0] == 1 and (
                await ask(count_of(DeadLetterRow))
            )[0][0] == 2

        await until(all_of_it)
    reasons = [row[0] for row in await ask(select(DeadLetterRow.reason))]
    assert any("sent by 'mallory'" in reason for reason in reasons)
    owners = {row[0] for row in await ask(select(KinesisShardRow.owner))}
    assert owners == {None}  # given back at the end


async def test_a_restart_goes_on_after_the_checkpoint(
    kinesis: Any, postgresql_url: str, ask: Any
) -> None:
    put(kinesis, [said(n % 20, n) for n in range(100)])
    async with worker(postgresql_url, kinesis):
        await stored(ask, 100)
    read: list[str] = []
    get_records = kinesis.get_records

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(kinesis, name)

        def get_records(self, **request: Any) -> Any:
            page = get_records(**request)
            read.extend(record["SequenceNumber"] for record in page["Records"])
            return page

    put(kinesis, [said(n % 20, 1_000 + n) for n in range(50)])
    async with worker(postgresql_url, Watched(), "two"):
        await stored(ask, 150)
    assert len(read) == 50


async def test_asked_to_end_it_stores_what_it_has_read(
    kinesis: Any, sqlite_url: str, other: sqlite3.Connection
) -> None:
    """Once in some hundred times a task that is cancelled within a query of SQLite never ends."""
    read: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(kinesis, name)

        def get_records(self, **request: Any) -> Any:
            page = kinesis.get_records(**request)
            read.extend(record["SequenceNumber"] for record in page["Records"])
            return page

    async def some_read() -> bool:
        return bool(read)

    async with worker(sqlite_url, Watched()) as source:
        await until(lambda: owned(other))
        other.execute("BEGIN IMMEDIATE")
        put(kinesis, [said(1, n) for n in range(5)])
        await until(some_read)
        source.finish()
        other.execute("ROLLBACK")
    count = other.execute("SELECT count(*) FROM ven_telemetry").fetchone()
    assert count == (len(read),) == (5,)
    assert other.execute("SELECT DISTINCT owner FROM kinesis_checkpoints").fetchall() == [(None,)]


async def owned(other: sqlite3.Connection) -> bool:
    """Whether somebody reads each shard."""
    owners = other.execute("SELECT owner FROM kinesis_checkpoints").fetchall()
    return bool(owners) and (None,) not in owners


@pytest.fixture
def other(sqlite_url: str) -> Iterator[sqlite3.Connection]:
    """Somebody else on the same SQLite file."""
    path = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


async def test_a_worker_that_died_is_replaced_when_its_leases_run_out(
    kinesis: Any, postgresql_url: str, ask: Any
) -> None:
    put(kinesis, [said(n % 20, n) for n in range(40)])
    async with worker(postgresql_url, kinesis):
        await stored(ask, 40)
    gone = utc_now().replace(year=2200)
    await ask(update(KinesisShardRow).values(owner="dead", lease_until=gone))
    put(kinesis, [said(n % 20, 1_000 + n) for n in range(40)])
    async with worker(postgresql_url, kinesis, "two"):
        owners = select(KinesisShardRow.owner).order_by(KinesisShardRow.owner)

        async def one_taken() -> bool:
            return [row[0] for row in await ask(owners)] == ["dead", "two"]

        await until(one_taken)  # half is the newcomer's share, the rest is not
        await ask(update(KinesisShardRow).values(lease_until=utc_now()))
        await stored(ask, 80)


async def test_two_workers_share_the_shards_and_what_both_store_is_stored_once(
    kinesis: Any, postgresql_url: str, ask: Any
) -> None:
    async def shared() -> bool:
        owners = [row[0] for row in await ask(select(KinesisShardRow.owner))]
        return sorted(map(str, owners)) == ["one", "two"]

    async with worker(postgresql_url, kinesis), worker(postgresql_url, kinesis, "two"):
        await until(shared)
        put(kinesis, [said(n % 20, n) for n in range(300)])
        await stored(ask, 300)
        # A lease is taken away in the middle: what its reader still has is not stored.
        await ask(update(KinesisShardRow).values(owner="three", lease_until=utc_now()))
        put(kinesis, [said(n % 20, 1_000 + n) for n in range(300)])
        await stored(ask, 600)
    assert (await ask(count_of(VenTelemetryRow)))[0][0] == 600
    assert (await ask(text("SELECT count(DISTINCT (ven_id, seq)) FROM ven_telemetry")))[0][0] == 600


class EndingShards:
    """AWS ends a closed shard with no further iterator; moto never does."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._shard_of: dict[str, str] = {}
        self.read: list[str] = []
        """Shards, in the order of reading."""
        self.all_is_put = False
        """moto puts records into a closed shard as well, AWS into its children only."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_shard_iterator(self, **request: Any) -> Any:
        answer = self._client.get_shard_iterator(**request)
        self._shard_of[answer["ShardIterator"]] = request["ShardId"]
        return answer

    def get_records(self, **request: Any) -> Any:
        shard_id = self._shard_of[request["ShardIterator"]]
        self.read.append(shard_id)
        may_end = self.all_is_put  # before this look at what there is
        page = self._client.get_records(**request)
        self._shard_of[page["NextShardIterator"]] = shard_id
        shards = self._client.list_shards(StreamName=STREAM)["Shards"]
        (shard,) = [shard for shard in shards if shard["ShardId"] == shard_id]
        is_closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
        if may_end and is_closed and not page["Records"]:
            page["NextShardIterator"] = None
        return page


async def test_after_a_reshard_children_are_read_when_their_parent_is_read_to_its_end(
    kinesis: Any, postgresql_url: str, ask: Any
) -> None:
    client = EndingShards(kinesis)
    put(kinesis, [said(n % 20, n) for n in range(100)])
    parent = kinesis.list_shards(StreamName=STREAM)["Shards"][0]
    keys = parent["HashKeyRange"]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    async with worker(postgresql_url, client):
        await stored(ask, 100)
        kinesis.split_shard(
            StreamName=STREAM, ShardToSplit=parent["ShardId"], NewStartingHashKey=str(middle)
        )
        put(kinesis, [said(n % 20, 1_000 + n) for n in range(100)])
        client.all_is_put = True
        await stored(ask, 200)

        async def children_read() -> bool:
            return len(set(client.read)) == 4

        await until(children_read)
    rows = await ask(
        select(KinesisShardRow.shard_id, KinesisShardRow.finished, KinesisShardRow.parent_ids)
    )
    finished = {shard_id: done for shard_id, done, _ in rows}
    children = {shard_id for shard_id, _, parents in rows if parent["ShardId"] in parents}
    assert finished.pop(parent["ShardId"])
    assert not any(finished.values())
    assert len(children) == 2
    first_of_children = min(client.read.index(child) for child in children)
    assert parent["ShardId"] not in client.read[first_of_children:]
    assert (await ask(count_of(VenTelemetryRow)))[0][0] == 200


class Behind(InTurn):
    """A stream whose news is old, and that cannot be listed while it is `away`."""

    away = False

    def list_shards(self, **request: Any) -> Any:
        if self.away:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "ListShards")
        return self._client.list_shards(**request)

    def get_records(self, **request: Any) -> Any:
        return {**self._client.get_records(**request), "MillisBehindLatest": 90_000}


async def test_how_far_it_is_behind_is_told_and_that_the_stream_is_away(
    postgresql_url: str, kinesis: Any
) -> None:
    """What its report says, by which alerts go."""
    client = Behind(kinesis)
    async with worker(postgresql_url, client) as source:
        assert source.behind_sec() == 0.0
        await eventually(lambda: source.behind_sec() >= 90.0)
        assert source.problem is None
        client.away = True
        await eventually(lambda: source.problem)
        assert "AccessDenied" in str(source.problem)
        client.away = False
        await eventually(lambda: source.problem is None)
