"""Carries out what the core decides: journal, building, cloud and bus, in the order given.

Each effect is one method. Those that wait for another agent run in a greenlet of their own and
report back to the engine, which may want more done.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.event import Event as GreenEvent

from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.contract.acks import encode_ack
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import (
    AnnounceEffect,
    Effect,
    Effects,
    PreparedEffect,
    PrepareEffect,
    RaiseAlertEffect,
    ReadMeterEffect,
    ReleaseEffect,
    RestoreEffect,
    SaveEventEffect,
    SaveFactEffect,
    SaveFingerprintEffect,
    SendAckEffect,
    SwitchEffect,
    WriteEffect,
)
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.event_state import EventState
from VenAgent.dr.point_write import PointWrite
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.site.actuator import Actuator, ActuatorRefusal
from VenAgent.site.device_requests import TOGETHER_SEC
from VenAgent.site.failsafe import Failsafe
from VenAgent.site.meter import Meter
from VenAgent.storage.ended_events import EndedEvents
from VenAgent.storage.event_record import to_event_record
from VenAgent.storage.journal import Journal, JournalStep

_log = logging.getLogger(__name__)

ACKS_WAITING = 1_000
ANNOUNCE_WITHIN_SEC = 0.05
SWITCH_SEC = 30.0
"""For so long the devices are reserved to switch a circuit by command."""


class EffectExecutor:
    """Carries out what the engine decides, and reports back what came of it.

    `announce`: an event's state changed; `wake_link`: the outbox has something new.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        ended: EndedEvents,
        outbox: Outbox,
        meter: Meter,
        actuator: Actuator,
        failsafe: Failsafe,
        alerts: ActiveAlerts,
        ack_topic: str,
        announce: Callable[[Event], None],
        wake_link: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._ended = ended
        self._outbox = outbox
        self._meter = meter
        self._actuator = actuator
        self._failsafe = failsafe
        self._alerts = alerts
        self.ack_topic = ack_topic
        self._announce = announce
        self._wake_link = wake_link
        self.engine_changed = GreenEvent()
        """Set after each decision: the engine may have another deadline."""
        self._results: list[JournalStep] = []
        """What came of steps, for the journal's log with the next decision."""
        self._unwritten: dict[tuple[type, str], SaveEventEffect | SaveFactEffect] = {}
        """What the journal could not take, the latest of each event and fact: it goes with the
        next decision, or the journal would say of two events that they are under way."""
        self._arming: gevent.Greenlet | None = None
        self._releases = 0
        """How many reservations are being given back."""
        self._announcements: deque[Event] = deque()
        self._waiting: dict[str, AsyncResult] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            PrepareEffect: self._prepare,
            WriteEffect: self._write,
            RestoreEffect: self._restore,
            SwitchEffect: self._switch,
            ReleaseEffect: self._release,
            ReadMeterEffect: self._read_meter,
            AnnounceEffect: self._announce_in_order,
            RaiseAlertEffect: self._raise_alert,
        }
        self._acks: deque[tuple[int, Mapping[str, Any]]] = deque(maxlen=ACKS_WAITING)
        """What the outbox has not taken yet, in order, with the numbers in the journal: there they
        stand as not sent, for the next start."""
        self._storage_failures: dict[str, str] = {}

    @property
    def storage_failure(self) -> str | None:
        """Why journal or outbox cannot be written now; nothing is shed meanwhile."""
        return next(iter(self._storage_failures.values()), None)

    def perform(self, effects: Effects) -> None:
        """Write the decision down, then do it; what waits for others in a greenlet of its own."""
        numbers = iter(self._write_down(effects))
        for effect in effects:
            if isinstance(effect, SendAckEffect):
                self._send_ack(next(numbers), effect.body)
            elif not isinstance(effect, (SaveEventEffect, SaveFactEffect, SaveFingerprintEffect)):
                gevent.spawn(self._handlers[type(effect)], effect)
        self.engine_changed.set()

    def _write_down(self, effects: Effects) -> list[int]:
        """The numbers of the acks in the journal; zeros if it cannot be written.

        Then the building still comes first: restores go on, only nothing more is shed.
        """
        saves = [
            effect for effect in effects if isinstance(effect, (SaveEventEffect, SaveFactEffect))
        ]
        late = [*self._unwritten.values(), *saves]
        records = [
            to_event_record(effect.event) for effect in late if isinstance(effect, SaveEventEffect)
        ]
        facts = [effect for effect in late if isinstance(effect, SaveFactEffect)]
        acks = [effect for effect in effects if isinstance(effect, SendAckEffect)]
        commands = [effect for effect in effects if isinstance(effect, SaveFingerprintEffect)]
        now = time.time()
        steps = [*self._results, *(s for s in (_step(e, now) for e in effects) if s is not None)]
        if not (records or facts or acks or commands or steps):
            return []
        try:
            numbers = self._journal.write(
                records, acks, now, facts=facts, commands=commands, steps=steps
            )
        except sqlite3.Error as error:
            self._storage_failed("journal", error)
            for effect in saves:
                self._unwritten[type(effect), _name(effect)] = effect
            return [0] * len(acks)
        self._unwritten.clear()
        self._results.clear()
        self._storage_failures.clear()
        for effect in late:
            if isinstance(effect, SaveEventEffect) and effect.event.state is EventState.COMPLETED:
                self._remember_end(effect.event)
        return numbers

    def _remember_end(self, event: Event) -> None:
        if event.cannot_begin_again:
            self._ended.add(event.event_id, event.request.modification)

    def _add_result(self, event_id: str, step: str, failures: Mapping[str, Reason]) -> None:
        """What came of a step."""
        texts = {circuit_id: why.text for circuit_id, why in failures.items()}
        self._results.append(JournalStep(time.time(), event_id, step, {"failures": texts}))

    def _storage_failed(self, what: str, error: sqlite3.Error) -> None:
        failure = f"the {what} cannot be written ({error}): is the disk full?"
        self._storage_failures[what] = failure
        _log.error("%s", failure)

    def send_unsent(self) -> None:
        """After a start: the acks that an earlier process wrote down but may not have sent."""
        for number, body in self._journal.unsent():
            self._send_ack(number, body)

    def ack_of(
        self, correlation_id: str, result: AsyncResult, timeout_sec: float
    ) -> Mapping[str, Any] | None:
        """The ack of a command just given to the engine; None if it takes too long. `result` is
        what `expect` gave."""
        try:
            return result.get(timeout=timeout_sec)
        except gevent.Timeout:
            return None
        finally:
            self._waiting.pop(correlation_id, None)

    def expect(self, correlation_id: str) -> AsyncResult:
        """The ack of this command is kept for `ack_of`; two may wait for the same."""
        result: AsyncResult = self._waiting.setdefault(correlation_id, AsyncResult())
        return result

    def settle(self, timeout_sec: float) -> bool:
        """Wait until no event runs, and all is given back; whether that was so in time."""
        deadline = time.monotonic() + timeout_sec
        gevent.sleep(0)  # what was to be done begins
        while time.monotonic() < deadline:
            if self._engine.running is None and not self._releases:
                break
            gevent.sleep(0.02)
        return self._engine.running is None

    def _send_ack(self, number: int, body: Mapping[str, Any]) -> None:
        self._acks.append((number, body))
        self.send_waiting()
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

    def send_waiting(self) -> None:
        """Put the acks that wait into the outbox; what it does not take waits for the next time."""
        while self._acks:
            number, body = self._acks[0]
            try:
                self._outbox.put([OutboxMessage(self.ack_topic, encode_ack(body), OutboxRank.ACK)])
            except sqlite3.Error as error:
                self._storage_failed("outbox", error)
                return
            self._acks.popleft()
            self._journal.sent(number)
            self._wake_link()
        self._storage_failures.pop("outbox", None)

    def _prepare(self, effect: PrepareEffect) -> None:
        """Whatever happens, the event hears of it: it waits for that."""
        try:
            outcome = self._prepared(effect)
        except Exception as error:  # noqa: BLE001 - whatever it is, no event may wait for it for ever
            _log.exception("what event %s needs could not be made ready", effect.event_id)
            refusal = ActuatorRefusal(
                f"a fault in this agent, see its log ({type(error).__name__})", may_pass=True
            )
            outcome = PreparedEffect(None, _reason(refusal), True, effect.task_id)
        refused = outcome.refusal
        self._add_result(effect.event_id, "prepared", {"": refused} if refused else {})
        self.perform(self._engine.prepared(effect.event_id, outcome, time.time()))

    def _prepared(self, effect: PrepareEffect) -> PreparedEffect:
        """Reserve the devices, read the meter and arm their lease, at the same time. The driver
        does one after the other: the reading goes first, so that the plan is made while it arms
        the lease, which is waited for before anything is written."""
        reserving = gevent.spawn(
            self._actuator.reserve, effect.task_id, effect.until_ts, time.time()
        )
        plan_reading = gevent.spawn(self._meter.plan_reading)
        self._arming = gevent.spawn(self._failsafe.arm)
        reading = plan_reading.get()
        refusal, failed_alone = reserving.get(), False
        if refusal is None and reading.power_kw is None and self._meter.failure:
            why = f"the meter could not be read: {self._meter.failure}"
            refusal, failed_alone = ActuatorRefusal(why, may_pass=True), self._meter.failed_alone
        if refusal is None:
            return PreparedEffect(reading, task_id=effect.task_id)
        return PreparedEffect(
            reading, _reason(refusal), refusal.may_pass, effect.task_id, failed_alone
        )

    def _write(self, effect: WriteEffect) -> None:
        if self._arming is not None:
            self._arming.join(TOGETHER_SEC)  # as for the reading beside it
        if self.storage_failure is not None:
            why = Reason(ReasonCode.STORAGE_FAILED, self.storage_failure)
            failures = {write.circuit_id: why for write in effect.writes}
        else:
            failures = self._actuator.write(
                effect.writes, lambda: self._engine.wants_more(effect.event_id)
            )
        reading = self._meter.fresh_reading() if effect.verify else None
        self._add_result(effect.event_id, "written", failures)
        self.perform(self._engine.written(effect.event_id, failures, time.time(), reading))

    def _restore(self, effect: RestoreEffect) -> None:
        failures = self._actuator.put_back(effect.writes)
        devices = dict.fromkeys(write.point.rpartition("/")[0] for write in effect.writes)
        reading = self._meter.fresh_reading(devices)
        self._add_result(effect.event_id, "restored", failures)
        written = {write.circuit_id for write in effect.writes}
        effects = self._engine.restored(effect.event_id, failures, time.time(), reading, written)
        self.perform(effects)

    def _switch(self, effect: SwitchEffect) -> None:
        now = time.time()
        refusal = None
        if effect.reserve:
            refusal = self._actuator.reserve(
                effect.switch_id, now + SWITCH_SEC, now, for_event=False
            )
        if refusal is None:
            failures = self._actuator.write(effect.writes)
        else:
            failures = {write.circuit_id: _reason(refusal) for write in effect.writes}
        if effect.reserve and refusal is None:
            self._actuator.release(effect.switch_id)
        self._add_result(effect.switch_id, "switched", failures)
        self.perform(self._engine.switched(effect.switch_id, failures, time.time()))

    def _release(self, effect: ReleaseEffect) -> None:
        self._releases += 1
        try:
            if effect.task_id:
                self._actuator.release(effect.task_id)
            if self._engine.is_restored:
                self._failsafe.give_back()
        finally:
            self._releases -= 1

    def _raise_alert(self, effect: RaiseAlertEffect) -> None:
        self._alerts.set(
            effect.code,
            effect.severity,
            effect.message,
            subject=effect.subject,
            reason_code=effect.reason_code,
        )

    def _announce_in_order(self, effect: AnnounceEffect) -> None:
        """In order; bus and page hear of it after the writes under way, not before."""
        self._announcements.append(effect.event)
        if self._engine.is_at_work:
            gevent.sleep(ANNOUNCE_WITHIN_SEC)
        while self._announcements:
            self._announce(self._announcements.popleft())

    def _read_meter(self, _effect: ReadMeterEffect) -> None:
        self._meter.read_now()


def _reason(refusal: ActuatorRefusal) -> Reason:
    """Why an event cannot begin: no one answered, or someone refused."""
    code = ReasonCode.NOT_ANSWERED if refusal.may_pass else ReasonCode.RESERVATION_REFUSED
    return Reason(code, refusal.reason)


def _name(effect: SaveEventEffect | SaveFactEffect) -> str:
    return effect.event.event_id if isinstance(effect, SaveEventEffect) else effect.name


def _step(effect: Effect, now: float) -> JournalStep | None:
    """The log's line about what is to be done now; None for what changes nothing."""
    match effect:
        case PrepareEffect():
            return JournalStep(now, effect.event_id, "prepare", {"task_id": effect.task_id})
        case WriteEffect():
            return JournalStep(now, effect.event_id, "write", _points(effect.writes))
        case RestoreEffect():
            return JournalStep(now, effect.event_id, "restore", _points(effect.writes))
        case SwitchEffect():
            return JournalStep(now, effect.switch_id, "switch", _points(effect.writes))
    return None


def _points(writes: tuple[PointWrite, ...]) -> dict[str, float | bool]:
    return {write.point: write.value for write in writes}
