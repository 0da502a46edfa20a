"""Kinesis as a source: the stream that an AWS IoT rule fills.

A shard is read by one worker at a time, which holds a lease on it in `kinesis_checkpoints`. The
checkpoint is written with the rows, in one transaction, and only by the lease's owner: what a
worker that lost its lease still stores is a duplicate, which is not stored again. After a reshard
the children are read when their parents are read to the end, so each VEN's order is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_pipeline import IngestPipelineState, store_by_ingest_pipeline
from backend.ingest.ingest_writer import IngestWriter, IngestWriterStopped
from backend.process.timeouts import happens_within_timeout
from backend.store.database import Database
from backend.store.database_errors import database_error_line
from backend.store.ingest_tables import KinesisShardRow
from backend.store.utc_time import utc_now

_log = structlog.get_logger(__name__)

_RECORDS_AT_ONCE = 2_000
_PAUSE_AFTER_ERROR_SEC = 1.0


class _ShardLeaseLost(IngestWriterStopped):
    """Another worker reads the shard now: nothing of this batch was stored."""


class KinesisSource:
    """A worker: takes shards nobody reads, and reads each in a task of its own."""

    def __init__(
        self,
        database: Database,
        writer: IngestWriter,
        settings: BackendSettings,
        health: IngestPipelineState,
        client: Any = None,
    ) -> None:
        assert settings.kinesis.stream is not None
        self._database = database
        self._writer = writer
        self._settings = settings.kinesis
        self._stream = settings.kinesis.stream
        self._owner = settings.instance
        self._health = health
        self._client = client or _client(settings)
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._ending = asyncio.Event()
        self.problem: str | None = None
        """Why the stream cannot be read; None while it can."""
        self._behind: dict[str, tuple[float, float]] = {}
        """By shard: how far it was behind (s), and when that was (monotonic)."""

    def behind_sec(self) -> float:
        """How old the stream's news is that is stored last: of the shard that is furthest behind.

        It grows while a shard cannot be read, or what was read cannot be stored.
        """
        now = time.monotonic()
        read = (self._behind[name] for name in self._readers if name in self._behind)
        return max((behind_sec + now - at for behind_sec, at in read), default=0.0)

    async def run(self) -> None:
        """Until `finish`; then what was read is stored, and the leases are given back.

        Not to be cancelled on SQLite: work that is broken off leaves a connection that hangs.
        """
        try:
            while not self._ending.is_set():
                try:
                    await self._find_shards()
                    await self._take_shards()
                    self.problem = None
                except (BotoCoreError, ClientError, SQLAlchemyError, OSError) as error:
                    self.problem = f"the stream {self._stream}: {database_error_line(error)}"
                    _log.warning("shards cannot be listed", stream=self._stream, error=str(error))
                await happens_within_timeout(self._ending, self._settings.lease_sec / 3)
            if self._readers:
                await asyncio.wait(self._readers.values())
        finally:
            for reader in self._readers.values():
                reader.cancel()
            await asyncio.gather(*self._readers.values(), return_exceptions=True)
            await self._give_back()

    def finish(self) -> None:
        self._ending.set()

    # ---- which shards -------------------------------------------------------------------------

    async def _find_shards(self) -> None:
        """Note the shards that are new."""
        found: list[Any] = []
        request: dict[str, str] = {"StreamName": self._stream}
        while True:
            page = await asyncio.to_thread(self._client.list_shards, **request)
            found += page["Shards"]
            if not page.get("NextToken"):
                break
            request = {"NextToken": page["NextToken"]}
        async with self._database.sessions.begin() as session:
            known = set(
                await session.scalars(
                    select(KinesisShardRow.shard_id).where(KinesisShardRow.stream == self._stream)
                )
            )
            for shard in found:
                if shard["ShardId"] not in known:
                    parents = [shard.get("ParentShardId"), shard.get("AdjacentParentShardId")]
                    await session.merge(
                        KinesisShardRow(
                            stream=self._stream,
                            shard_id=shard["ShardId"],
                            parent_ids=[parent for parent in parents if parent],
                            finished=False,
                        )
                    )

    async def _take_shards(self) -> None:
        """Renew our leases, and take our share of the shards that nobody reads."""
        self._readers = {name: task for name, task in self._readers.items() if not task.done()}
        now = utc_now()
        async with self._database.engine.begin() as connection:
            rows = (
                await connection.execute(
                    select(KinesisShardRow.__table__).where(KinesisShardRow.stream == self._stream)
                )
            ).all()
            unfinished = {row.shard_id for row in rows if not row.finished}
            ready = [
                row
                for row in rows
                if not row.finished and not unfinished.intersection(row.parent_ids)
            ]
            held = [row for row in ready if row.owner and row.lease_until and row.lease_until > now]
            counts = Counter(row.owner for row in held)
            share = -(-len(ready) // len(counts.keys() | {self._owner}))
            for row in ready:
                ours = row.shard_id in self._readers
                free = row not in held or row.owner == self._owner
                if ours or (free and len(self._readers) < share):
                    if await self._lease(connection, row.shard_id):
                        self._read(row.shard_id, row.sequence_number)
                    elif ours:
                        self._readers.pop(row.shard_id).cancel()
            if len(self._readers) < share and counts:
                richest, most = counts.most_common(1)[0]
                if richest != self._owner and most >= len(self._readers) + 2:
                    taken = next(row for row in held if row.owner == richest)
                    await self._lease(connection, taken.shard_id, taken_from=richest)
                    self._read(taken.shard_id, taken.sequence_number)

    async def _lease(
        self, connection: AsyncConnection, shard_id: str, *, taken_from: str | None = None
    ) -> bool:
        """Take or renew the lease, unless somebody else holds it.

        `taken_from`: also from a worker with more, which notices at its next checkpoint.
        """
        now = utc_now()
        taken = await connection.execute(
            update(KinesisShardRow)
            .where(
                KinesisShardRow.stream == self._stream,
                KinesisShardRow.shard_id == shard_id,
                or_(
                    KinesisShardRow.owner.is_(None),
                    KinesisShardRow.owner.in_([self._owner, taken_from or self._owner]),
                    KinesisShardRow.lease_until < now,
                ),
            )
            .values(
                owner=self._owner, lease_until=now + timedelta(seconds=self._settings.lease_sec)
            )
        )
        return taken.rowcount == 1

    async def _give_back(self) -> None:
        ours = [KinesisShardRow.stream == self._stream, KinesisShardRow.owner == self._owner]
        try:
            async with self._database.engine.begin() as connection:
                await connection.execute(
                    update(KinesisShardRow).where(*ours).values(owner=None, lease_until=None)
                )
        except (SQLAlchemyError, OSError) as error:
            _log.warning("a lease was not given back, it will run out", error=str(error))

    # ---- one shard ----------------------------------------------------------------------------

    def _read(self, shard_id: str, sequence_number: str | None) -> None:
        if shard_id not in self._readers:
            name = f"{self._stream}/{shard_id}"
            reader = asyncio.create_task(self._read_shard(shard_id, sequence_number), name=name)
            self._readers[shard_id] = reader

    async def _read_shard(self, shard_id: str, last: str | None) -> None:
        """Until the shard's end, until another worker has it, or until `finish`."""
        log = _log.bind(stream=self._stream, shard=shard_id)
        log.info("reading a shard", after=last)
        iterator: str | None = None
        self._behind[shard_id] = (0.0, time.monotonic())
        while not self._ending.is_set():
            try:
                if iterator is None:
                    iterator = await self._iterator(shard_id, last)
                page = await asyncio.to_thread(
                    self._client.get_records, ShardIterator=iterator, Limit=_RECORDS_AT_ONCE
                )
            except (BotoCoreError, ClientError) as error:
                # An iterator lives for five minutes; too many reads are refused for a second.
                log.warning("records cannot be read, trying again", error=str(error))
                iterator = None
                await happens_within_timeout(self._ending, _PAUSE_AFTER_ERROR_SEC)
                continue
            iterator = page.get("NextShardIterator")
            records = page["Records"]
            last = records[-1]["SequenceNumber"] if records else last
            try:
                if records or iterator is None:
                    await self._store(shard_id, records, last, finished=iterator is None)
            except _ShardLeaseLost:
                log.info("another worker reads the shard now")
                return
            except IngestWriterStopped:
                log.info("ends with records that are not stored: they are read again")
                return
            if iterator is None:
                log.info("the shard is read to its end")
                return
            behind_sec = (page.get("MillisBehindLatest") or 0) / 1_000.0
            self._behind[shard_id] = (behind_sec, time.monotonic())
            if not behind_sec:
                await happens_within_timeout(self._ending, self._settings.poll_interval_sec)

    async def _iterator(self, shard_id: str, last: str | None) -> str:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if last is not None:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": last,
            }
        answer = await asyncio.to_thread(
            self._client.get_shard_iterator,
            StreamName=self._stream,
            ShardId=shard_id,
            **where,
        )
        return str(answer["ShardIterator"])

    async def _store(
        self, shard_id: str, records: Sequence[Any], last: str | None, *, finished: bool
    ) -> None:
        async def checkpoint(connection: AsyncConnection) -> None:
            now = utc_now()
            written = await connection.execute(
                update(KinesisShardRow)
                .where(
                    KinesisShardRow.stream == self._stream,
                    KinesisShardRow.shard_id == shard_id,
                    KinesisShardRow.owner == self._owner,
                )
                .values(
                    sequence_number=func.coalesce(last, KinesisShardRow.sequence_number),
                    finished=finished,
                    updated_at=now,
                    lease_until=now + timedelta(seconds=self._settings.lease_sec),
                )
            )
            if written.rowcount != 1:
                raise _ShardLeaseLost

        now = time.time()
        messages = [IngestMessage("", record["Data"], now) for record in records]
        await store_by_ingest_pipeline(
            self._writer, self._health, messages, "kinesis", checkpoint, self._ending
        )


def _client(settings: BackendSettings) -> Any:
    import boto3

    return boto3.client(
        "kinesis",
        region_name=settings.kinesis.region,
        endpoint_url=settings.kinesis.endpoint_url,
    )
