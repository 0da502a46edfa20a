"""Stores batches: each in one transaction, each message once, whatever is in them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.backend_settings import BackendSettings
from backend.ingest import ingest_metrics
from backend.ingest.batch_storage import (
    batch_load_set_ids,
    mark_batch_quarter_hours_due,
    register_batch_vens,
    store_batch_acks,
    store_batch_alerts,
    store_batch_load_sets,
    store_batch_refusals,
    store_batch_statuses,
)
from backend.ingest.ingest_budget import DeadLetterBudget, IngestBudget
from backend.ingest.ingest_message import IngestMessage, IngestMessageRefused
from backend.ingest.ingest_records import (
    IngestLoadsRecord,
    IngestSnapshotRecord,
    IngestTelemetryRecord,
    LoadSetKey,
)
from backend.ingest.known_panels import KnownPanels
from backend.ingest.message_batch import MessageBatch, Reading
from backend.ingest.message_decoder import decode_message
from backend.ingest.panel_parts import PanelParts
from backend.ingest.plausible_values import PlausibleTimes, plausible_times
from backend.ingest.report_intervals import MISSED_REPORTS, ReportIntervals
from backend.ingest.site_storage import (
    store_site_agents,
    store_site_shadows,
    stored_site_report_intervals,
)
from backend.store.bulk_copy import (
    LOADS,
    TELEMETRY,
    BulkCopy,
    PostgresBulkCopy,
    Row,
    SqliteBulkCopy,
)
from backend.store.database import Database
from backend.store.database_errors import is_data_error, is_duplicate_row_error
from backend.store.database_upkeep import QUARTER_HOUR
from backend.store.day_partitions import create_day_partitions
from backend.store.fleet_tables import NO_LOADS, VenRow
from backend.store.utc_time import utc_now, utc_time_of_epoch

Also = Callable[[AsyncConnection], Awaitable[None]]
"""Something that belongs into the transaction of a batch: a checkpoint."""


class IngestWriterStopped(Exception):
    """Raised by an `Also`: nothing of the batch is stored, and it is not tried again."""


_STAGED_BATCHES = 50
"""How long rows go through the staging table after a duplicate was met."""
_REFRESH_SEC = 60.0
_WINDOW_SEC = 1.0
"""How long the times that are believed stay the same."""
_MOST_LOAD_SETS = 200_000
TOO_MANY_NEW = "too many VENs that nobody knows came at once: register this one, or wait"


@dataclass(frozen=True)
class IngestWriterOutcome:
    """What became of a batch."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0

    def __add__(self, other: IngestWriterOutcome) -> IngestWriterOutcome:
        return IngestWriterOutcome(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.refused + other.refused,
        )


class IngestWriter:
    """Stores messages. One for all sources of a process; calls may overlap."""

    def __init__(self, database: Database, settings: BackendSettings) -> None:
        self._database = database
        self._settings = settings
        self._bulk: BulkCopy = SqliteBulkCopy()
        if database.is_postgresql:
            self._bulk = PostgresBulkCopy(is_pooled=database.is_pooled)
        self._vens: set[str] = set()
        self._vens_read = float("-inf")
        self._forget_load_sets()
        self._panels = KnownPanels()
        self._parts = PanelParts()
        self._intervals = ReportIntervals()
        self._window, self._window_made = PlausibleTimes(0.0, 0.0), float("-inf")
        self._days: set[date] = set()
        self._state_stored: dict[str, float] = {}
        self._state_told: dict[str, tuple[str | None, str | None]] = {}
        """What tells most of a state: whether it takes part, and in which event."""
        self._states_waiting: dict[str, IngestTelemetryRecord] = {}
        """Newer than the states that are stored, too soon after them."""
        self._states_looked_at = float("-inf")
        self._marked: set[datetime] = set()
        """Quarters of an hour that are marked to be summed up."""
        self._staged_for = 0
        self._new_vens = IngestBudget(
            burst=settings.new_vens_at_once, per_sec=settings.new_vens_per_minute / 60.0
        )
        self._dead_letters = DeadLetterBudget()

    @property
    def has_states_waiting(self) -> bool:
        """Whether a batch, also an empty one, has something to store after the states' interval."""
        return bool(self._states_waiting)

    def read(self, message: IngestMessage) -> Reading:
        """What `message` says, by the time it came; for `store`, which does it if nobody did."""
        if not 0.0 <= message.received - self._window_made < _WINDOW_SEC:
            kept = timedelta(days=self._settings.retention.telemetry_days)
            now = self._window_made = message.received
            self._window = plausible_times(
                now, retention=kept, ahead_sec=self._settings.max_ahead_sec
            )
        try:
            return decode_message(message, self._window, self._panels)
        except IngestMessageRefused as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - reading is pure: whatever it is, this message
            # alone is the cause, and the others must not wait for it for ever.
            return f"cannot be read: {_one_line(error)}"

    async def store(
        self,
        messages: Sequence[IngestMessage],
        source: str,
        also: Also | None = None,
        readings: Sequence[Reading] | None = None,
    ) -> IngestWriterOutcome:
        """Store `messages`, and do `also` in the same transaction. `readings`: of each, if known.

        A message that the database refuses is found by halving and put with the dead letters.
        Raises what the database raised when it is not about the data: try again later.
        """
        try:
            return await self._store(self._batch(messages, readings), source, also)
        except Exception as error:
            if not is_data_error(error):
                raise
        self._forget()
        try:
            return await self._store(self._batch(messages), source, also)
        except Exception as error:
            if not is_data_error(error):
                raise
            if len(messages) == 1:
                refused = MessageBatch(
                    refused=[(messages[0], f"the database refuses it: {_one_line(error)}")],
                    messages=1,
                )
                return await self._store(refused, source, also)
        middle = len(messages) // 2
        first = await self.store(messages[:middle], source)
        return first + await self.store(messages[middle:], source, also)

    def _batch(
        self, messages: Sequence[IngestMessage], readings: Sequence[Reading] | None = None
    ) -> MessageBatch:
        return MessageBatch.of(messages, readings or [self.read(message) for message in messages])

    async def _store(
        self, batch: MessageBatch, source: str, also: Also | None
    ) -> IngestWriterOutcome:
        await self._prepare(batch)
        try:
            stored = await self._transaction(batch, source, also, staged=self._staged_for > 0)
        except Exception as error:
            if self._staged_for > 0 or not is_duplicate_row_error(error):
                raise
            self._staged_for = _STAGED_BATCHES
            stored = await self._transaction(batch, source, also, staged=True)
        self._staged_for = max(self._staged_for - 1, 0)
        refused = len(batch.refused)
        return IngestWriterOutcome(stored, batch.messages - refused - stored, refused)

    async def _transaction(
        self, batch: MessageBatch, source: str, also: Also | None, *, staged: bool
    ) -> int:
        """How many messages were stored that were not there."""
        states = self._due_states(batch)
        quarters = batch.quarter_hours()
        new_sums = quarters - self._marked
        kept = self._kept(batch.refused)
        async with self._database.engine.connect() as connection, connection.begin():
            # SQLAlchemy begins its transaction with the first statement it sees, and COPY is none.
            await connection.exec_driver_sql("SELECT 1")
            # In the order of their keys, on every instance: none waits for another that waits.
            telemetry = [self._telemetry_row(one) for _, one in sorted(batch.telemetry.items())]
            loads = [_loads_row(one) for _, one in sorted(batch.snapshots.items())]
            stored = await self._bulk.add(
                connection, TELEMETRY, _TELEMETRY_COLUMNS, telemetry, staged=staged
            )
            stored += await self._bulk.add(connection, LOADS, _LOADS_COLUMNS, loads, staged=staged)
            rows = [self._state_row(one) for one in states]
            await self._bulk.put_states(connection, _STATE_COLUMNS, rows)
            acks = list(batch.acks.values())
            stored += await store_batch_acks(connection, acks)
            await store_site_agents(connection, acks)
            stored += await store_batch_alerts(connection, list(batch.alerts.values()))
            await store_batch_statuses(connection, batch.statuses)
            await store_site_shadows(connection, batch.shadows)
            await mark_batch_quarter_hours_due(connection, new_sums)
            await store_batch_refusals(connection, source, kept)
            if also is not None:
                await also(connection)
        for one in states:
            self._state_stored[one.ven_id] = one.received
            self._state_told[one.ven_id] = (one.availability, one.event_id)
            if self._states_waiting.get(one.ven_id, one).timestamp <= one.timestamp:
                self._states_waiting.pop(one.ven_id, None)
        # Only the present one stays marked until it is summed up; a late one is marked each time.
        self._marked = {start for start in quarters if start > utc_now() - QUARTER_HOUR}
        return stored + len(batch.statuses) + len(batch.shadows)

    def _kept(self, refused: Sequence[tuple[IngestMessage, str]]) -> list[Any]:
        """The refused messages that go to the dead letters; the others are counted only."""
        now = time.monotonic()
        kept = [one for one in refused if self._dead_letters.allows(one[0].topic, now)]
        ingest_metrics.DEAD_LETTERS_DROPPED.inc(len(refused) - len(kept))
        return kept

    # ---- what must be there before the rows are ---------------------------------------------

    async def _prepare(self, batch: MessageBatch) -> None:
        """Partitions, VENs and load sets that the batch needs, in a transaction of their own."""
        if time.monotonic() - self._vens_read > _REFRESH_SEC:
            async with self._database.engine.connect() as connection:
                self._vens = set(await connection.scalars(select(VenRow.id)))
                if self._vens_read == float("-inf"):
                    self._intervals.know(await stored_site_report_intervals(connection))
            self._vens_read = time.monotonic()
        days = batch.days() - self._days
        vens = self._welcome(batch, {key[0] for key in batch.telemetry} - self._vens)
        batch.wholes = self._parts.whole(batch.telemetry.values())
        unknown = self._put_known_load_sets(batch)
        known, used = self._load_sets, self._used_load_sets
        keys = {loads.key for _, loads in unknown} - known.keys()
        if days or vens or keys:
            now = utc_now()
            async with self._database.engine.begin() as connection:
                if days:
                    await connection.run_sync(create_day_partitions, sorted(days))
                if vens:
                    await register_batch_vens(connection, vens, now)
                if keys:
                    known.update(await batch_load_set_ids(connection, keys, now))
            self._days |= days
            self._vens |= vens
        bare = {one.ven_id for one in batch.telemetry.values() if one.loads is None}
        uses = {(ven_id, known[loads.key]) for ven_id, loads in unknown}
        uses |= {(ven_id, NO_LOADS) for ven_id in bare}
        if not uses <= used:
            async with self._database.engine.begin() as connection:
                await store_batch_load_sets(connection, uses - used)
            used |= uses
        for ven_id, loads in unknown:
            loads.load_set_id = known[loads.key]
            self._last_load_set[ven_id] = (loads.key, loads.load_set_id)

    def _welcome(self, batch: MessageBatch, new: set[str]) -> set[str]:
        """Those of the VENs nobody knows that are registered; what the others sent is refused."""
        if not new:
            return new
        allowed = self._new_vens.take(len(new), time.monotonic())
        if allowed == len(new):
            return new
        names = sorted(new)
        strangers = set(names[allowed:])
        for key in [key for key in batch.telemetry if key[0] in strangers]:
            one = batch.telemetry.pop(key)
            message = IngestMessage(f"ven/telemetry/{one.ven_id}", one.payload, one.received)
            batch.refused.append((message, TOO_MANY_NEW))
        return set(names[:allowed])

    def _put_known_load_sets(self, batch: MessageBatch) -> list[tuple[str, IngestLoadsRecord]]:
        """Put in the ids of the load sets that are as they were; the others, with their VENs."""
        if len(self._load_sets) > _MOST_LOAD_SETS:
            self._forget_load_sets()
        unknown = []
        every: Iterable[IngestTelemetryRecord | IngestSnapshotRecord] = chain(
            batch.telemetry.values(), batch.snapshots.values(), batch.wholes.values()
        )
        for one in every:
            loads = one.loads
            if loads is None:
                continue
            last = self._last_load_set.get(one.ven_id)
            if last is not None and last[0] is loads.key:
                loads.load_set_id = last[1]
            else:
                unknown.append((one.ven_id, loads))
        return unknown

    def _forget_load_sets(self) -> None:
        # New ones: a batch that is under way has the old ones in its hands.
        self._load_sets: dict[LoadSetKey, int] = {}
        self._used_load_sets: set[tuple[str, int]] = set()
        self._last_load_set: dict[str, tuple[LoadSetKey, int]] = {}

    def _forget(self) -> None:
        """Whatever was believed to be there may have been dropped."""
        self._days.clear()
        self._marked.clear()
        self._forget_load_sets()
        self._vens_read = float("-inf")
        self._staged_for = _STAGED_BATCHES

    # ---- rows -------------------------------------------------------------------------------

    def _due_states(self, batch: MessageBatch) -> list[IngestTelemetryRecord]:
        """The newest telemetry of each VEN whose state was not stored for a while, or that says
        another thing of its taking part; the others wait for their turn."""
        now = time.time()
        newest: dict[str, IngestTelemetryRecord] = {}
        if now - self._states_looked_at >= _WINDOW_SEC:
            self._states_looked_at = now
            newest.update(self._states_waiting)
        whole = (one for one in batch.telemetry.values() if one.parts == 1)
        for one in chain(whole, batch.wholes.values()):
            known = newest.get(one.ven_id) or self._states_waiting.get(one.ven_id)
            if known is None or one.timestamp >= known.timestamp:
                newest[one.ven_id] = one
        # A little early: a VEN that reports just as often as states are stored is never late.
        interval_sec = 0.8 * self._settings.state_interval_sec
        never = float("-inf")
        due = []
        for one in newest.values():
            is_news = self._state_told.get(one.ven_id) != (one.availability, one.event_id)
            since_sec = max(one.received, now) - self._state_stored.get(one.ven_id, never)
            if is_news or since_sec >= interval_sec:
                due.append(one)
            else:
                self._states_waiting[one.ven_id] = one
                self._intervals.add(one.ven_id, one.timestamp.timestamp())
        return due

    def _telemetry_row(self, one: IngestTelemetryRecord) -> Row:
        raw = self._raw(one.payload) if self._settings.store_raw_payload else None
        return (*one[:10], *_loads_of(one.loads), raw)

    def _state_row(self, one: IngestTelemetryRecord) -> Row:
        interval_sec = self._intervals.add(one.ven_id, one.timestamp.timestamp())
        heard = utc_time_of_epoch(one.received)
        loads = one.loads
        return (
            one.ven_id,
            heard,
            one.timestamp,
            one.seq,
            one.used_power_kw,
            one.shed_power_kw,
            one.requested_reduction_kw,
            one.baseline_power_kw,
            one.battery_soc,
            None if loads is None else sum(filter(None, loads.shed_w)) / 1000.0,
            one.panel_max_kw,
            one.event_id,
            one.quality,
            *_loads_of(loads),
            one.availability,
            one.availability_until,
            one.availability_reason,
            one.used_power_kw,
            interval_sec,
            None
            if interval_sec is None
            else heard + timedelta(seconds=MISSED_REPORTS * interval_sec),
        )

    def _raw(self, payload: bytes) -> Any:
        """As the driver wants it: COPY takes JSON as text."""
        return payload.decode() if self._database.is_postgresql else msgspec.json.decode(payload)


_LOAD_COLUMNS = ("load_set_id", "load_power_w", "load_shed_w", "load_enabled")
_TELEMETRY_COLUMNS = (*IngestTelemetryRecord._fields[:10], *_LOAD_COLUMNS, "raw_payload")
_LOADS_COLUMNS = (*IngestSnapshotRecord._fields[:3], *_LOAD_COLUMNS)
_STATE_COLUMNS = (
    *("ven_id", "last_seen", "timestamp", "seq", "used_power_kw", "shed_power_kw"),
    *("requested_reduction_kw", "baseline_power_kw", "battery_soc", "shed_available_kw"),
    *("panel_max_kw", "event_id", "quality", *_LOAD_COLUMNS),
    *("availability", "availability_until", "availability_reason"),
    *("highest_power_kw", "report_interval_sec", "quiet_until"),
)
"""Of the rows, in their order."""


def _loads_of(loads: IngestLoadsRecord | None) -> tuple[Any, ...]:
    if loads is None:
        return (None, None, None, None)
    return (loads.load_set_id, loads.power_w, loads.shed_w, loads.enabled)


def _loads_row(one: IngestSnapshotRecord) -> Row:
    return (one.ven_id, one.timestamp, one.part, *_loads_of(one.loads))


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
