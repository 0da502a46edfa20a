"""Carries out what the core decides: journal, building, cloud and bus, in the order given.

Each effect is one method. Those that wait for another agent run in a greenlet of their own and
report back to the engine, which may want more done.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent.event import AsyncResult

from VenAgent.cloud.outbox import Message, Outbox, Rank
from VenAgent.config import AgentConfig
from VenAgent.contract.wire import encode
from VenAgent.dr.effects import (
    Announce,
    Effects,
    Prepare,
    Prepared,
    ReadMeter,
    Record,
    Release,
    Restore,
    SendAck,
    Write,
)
from VenAgent.dr.engine import Engine
from VenAgent.journal import Journal
from VenAgent.site.actuation import Actuation
from VenAgent.site.meter import Meter

_log = logging.getLogger(__name__)


class Performer:
    """The hands of the engine. `on_change` is called after anything was done."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        outbox: Outbox,
        on_change: Callable[[], None],
        announce: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.engine = engine
        self._journal = journal
        self._outbox = outbox
        self._on_change = on_change
        self._announce = announce
        self._waiting: dict[str, AsyncResult] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            Prepare: self._prepare,
            Write: self._write,
            Restore: self._restore,
            Release: self._release,
            ReadMeter: self._read_meter,
            Announce: self._tell,
        }
        self.storage_failure: str | None = None
        """Why journal or outbox cannot be written now; nothing is shed meanwhile."""

    def connect(
        self, config: AgentConfig, meter: Meter, actuation: Actuation, wake: Callable[[], None]
    ) -> None:
        """The parts that a new configuration replaces. `wake`: the outbox has something new."""
        self._meter = meter
        self._actuation = actuation
        self._wake = wake
        self._ack_topic = config.topic_names().ack

    def perform(self, effects: Effects) -> None:
        """Write the decision down, then do it; what waits for others in a greenlet of its own."""
        records = [effect for effect in effects if isinstance(effect, Record)]
        acks = [effect for effect in effects if isinstance(effect, SendAck)]
        numbers = iter(self._write_down(records, acks))
        for effect in effects:
            if isinstance(effect, SendAck):
                self._send_ack(next(numbers), effect.body)
            elif not isinstance(effect, Record):
                gevent.spawn(self._handlers[type(effect)], effect)
        self._on_change()

    def _write_down(self, records: list[Record], acks: list[SendAck]) -> list[int]:
        """The numbers of the acks in the journal; zeros if it cannot be written.

        Then the building still comes first: restores go on, only nothing more is shed.
        """
        if not records and not acks:
            return []
        try:
            numbers = self._journal.write(records, acks, time.time())
        except sqlite3.Error as error:
            self._storage_failed("journal", error)
            return [0] * len(acks)
        self.storage_failure = None
        return numbers

    def _storage_failed(self, what: str, error: sqlite3.Error) -> None:
        self.storage_failure = f"the {what} cannot be written ({error}): is the disk full?"
        _log.error("%s", self.storage_failure)

    def send_unsent(self) -> None:
        """After a start: the acks that an earlier process wrote down but may not have sent."""
        for number, body in self._journal.unsent():
            self._send_ack(number, body)

    def answer_of(self, correlation_id: str, timeout_sec: float) -> Mapping[str, Any] | None:
        """The answer to a command just given to the engine; None if it takes too long."""
        result = self._waiting[correlation_id]
        try:
            return result.get(timeout=timeout_sec)
        except gevent.Timeout:
            return None
        finally:
            self._waiting.pop(correlation_id, None)

    def expect(self, correlation_id: str) -> None:
        """Keep the answer to this command for `answer_of`."""
        self._waiting[correlation_id] = AsyncResult()

    def settle(self, timeout_sec: float) -> bool:
        """Wait until no event runs; whether that was so in time."""
        deadline = time.monotonic() + timeout_sec
        while self.engine.running is not None and time.monotonic() < deadline:
            gevent.sleep(0.02)
        return self.engine.running is None

    def _send_ack(self, number: int, body: Mapping[str, Any]) -> None:
        try:
            self._outbox.put([Message(self._ack_topic, encode(dict(body)), Rank.ACK)])
        except sqlite3.Error as error:  # it is in the journal as not sent, for the next start
            self._storage_failed("outbox", error)
        else:
            self._journal.sent(number)
            self._wake()
        waiting = self._waiting.get(body.get("correlationId") or "")
        if waiting is not None and not waiting.ready():
            waiting.set(body)
        _log.info(
            "%s %s: %s%s",
            body["op"],
            body.get("event_id") or body.get("correlationId") or "",
            body["status"],
            f" ({body['reason']})" if body.get("reason") else "",
        )

    def _prepare(self, effect: Prepare) -> None:
        """Reserve the devices and read the meter, at the same time."""
        reserving = gevent.spawn(
            self._actuation.reserve, effect.task_id, effect.until_ts, time.time()
        )
        reading = self._meter.fresh_reading()
        refusal = reserving.get()
        if refusal is None and reading.power_kw is None and self._meter.failure:
            refusal = f"the meter could not be read: {self._meter.failure}"
        outcome = Prepared(reading=reading, refusal=refusal)
        self.perform(self.engine.prepared(effect.event_id, outcome, time.time()))

    def _write(self, effect: Write) -> None:
        if self.storage_failure is not None:
            failures = {write.circuit_id: self.storage_failure for write in effect.writes}
        else:
            failures = self._actuation.write(effect.writes)
        self.perform(self.engine.written(effect.event_id, failures, time.time()))

    def _restore(self, effect: Restore) -> None:
        failures = self._actuation.write(effect.writes)
        reading = self._meter.fresh_reading() if failures else None
        self.perform(self.engine.restored(effect.event_id, failures, time.time(), reading))

    def _release(self, effect: Release) -> None:
        if effect.task_id:
            self._actuation.release(effect.task_id)

    def _tell(self, effect: Announce) -> None:
        self._announce(effect.event)

    def _read_meter(self, _effect: ReadMeter) -> None:
        self._meter.read_now()
