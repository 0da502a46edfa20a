"""Putting an event's circuits back: order, pauses and ramps, until every one is back.

All circuits of a street that go back in the same second make a peak of their own. So there is a
pause between two of them, the most important first, and circuits of one priority go back in an
order that differs from site to site and from event to event, but not from one start of the agent
to the next. Limits go back on a ramp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.backoff import RETRY_SEC, Backoff
from VenAgent.dr.effects import Effects, RaiseAlertEffect, RestoreEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel, PanelLimitScale, PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.policy import Policy
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.site_state import SiteState

REPORT_LIMIT_SEC = 120.0
"""Longer than any write with its second way and its reading takes."""
RAMP_STEP_SEC = 5.0
PROGRESS_SEC = 10.0
"""Between two acks of how far a restoration is; one that takes less has none."""
LONGEST_PAUSE_SEC = 10.0
"""Between two tries of a circuit while its event is restored."""
TRIES_IN_EVENT = 3
"""So often a circuit that does not go back is tried at least before the event ends without it. It
is also tried for as long as all circuits may take to go back: after a power cut a driver needs 20 s
to be there. Only another event, whose time has come, does not wait for so long."""


@dataclass(frozen=True)
class _RestorationStep:
    """`write` at `due_ts` (epoch s); with the `last` one the circuit is as it was."""

    due_ts: float
    write: PointWrite
    last: bool = True

    @property
    def circuit_id(self) -> str:
        return self.write.circuit_id

    @property
    def device(self) -> str:
        return self.write.point.rpartition("/")[0]


@dataclass(frozen=True)
class _RestorationBatch:
    """Steps of one device that are being written; not heard of by `overdue_ts` they are again."""

    steps: tuple[_RestorationStep, ...]
    overdue_ts: float


@dataclass
class _RestorationSchedule:
    """The steps still to be done, and how often each circuit failed."""

    steps: list[_RestorationStep] = field(default_factory=list)
    _tries: dict[str, Backoff] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        circuits: Iterable[ShedCircuit],
        panel: Panel,
        policy: Policy,
        now: float,
        *,
        seed: str,
        at_once: bool = False,
    ) -> _RestorationSchedule:
        """All steps of `circuits` from `now` on. `at_once`: the agent stops, no time to lose."""
        steps: list[_RestorationStep] = []
        in_order = sorted(circuits, key=lambda c: (not c.last_resort, c.priority, _lot(seed, c)))
        pause_sec = min(
            policy.restore_stagger_sec, policy.restore_within_sec / max(1, len(in_order))
        )
        for place, circuit in enumerate(in_order):
            if at_once:
                steps.append(_whole_step(circuit, now))
                continue
            known = panel.by_id.get(circuit.circuit_id)
            min_off_sec = known.endurance.min_off_sec if known else 0.0
            off_until_ts = min(circuit.shed_ts, now) + min_off_sec
            due_ts = max(now + place * pause_sec, off_until_ts)
            scale = None if known is None else known.limit
            steps += _ramp(circuit, due_ts, policy.limit_ramp_sec, scale)
        return cls(steps)

    def next_due_ts(self, busy: Container[str]) -> float | None:
        """Of devices that are not `busy`."""
        times = (step.due_ts for step in self.steps if step.device not in busy)
        return min(times, default=None)

    @property
    def last_due_ts(self) -> float | None:
        return max((step.due_ts for step in self.steps), default=None)

    def take_due(self, now: float, busy: Container[str]) -> list[_RestorationStep]:
        """The steps whose time has come, of each circuit the latest only; not of `busy` devices."""
        steps = sorted(self.steps, key=lambda step: step.due_ts)
        due = [step for step in steps if step.due_ts <= now and step.device not in busy]
        self.steps = [step for step in self.steps if step not in due]
        return list({step.circuit_id: step for step in due}.values())

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`: the pauses stay as long as they were."""
        self.steps = [replace(step, due_ts=step.due_ts + step_sec) for step in self.steps]
        for tried in self._tries.values():
            tried.shift(step_sec)

    def repeat(self, steps: Iterable[_RestorationStep], now: float) -> None:
        """These were written, and no report came."""
        self.steps += [replace(step, due_ts=now) for step in steps]

    def hurry(self, circuit_ids: Set[str], now: float) -> None:
        """These go back now and whole, but for what failed and is tried again."""
        hurried = {name for name in circuit_ids if not self.tries(name)}
        self.steps = [
            replace(step, due_ts=now) if step.circuit_id in hurried else step
            for step in self.steps
            if step.last or step.circuit_id not in hurried
        ]

    def put_off(self, circuit_ids: Set[str], now: float) -> None:
        """These are being switched by command: not before that is over."""
        self.steps = [
            replace(step, due_ts=max(step.due_ts, now + RETRY_SEC[0]))
            if step.circuit_id in circuit_ids
            else step
            for step in self.steps
        ]

    def drop(self, circuit_ids: Iterable[str]) -> None:
        """These are being put back already, or are not to be put back any more."""
        dropped = set(circuit_ids)
        self.steps = [step for step in self.steps if step.circuit_id not in dropped]

    def tries(self, circuit_id: str) -> int:
        """How often it failed."""
        tried = self._tries.get(circuit_id)
        return 0 if tried is None else tried.tries

    def has_tried(self, circuit_id: str, for_sec: float, now: float) -> bool:
        """Whether it failed often enough, and for so long."""
        tried = self._tries.get(circuit_id)
        if tried is None or tried.first_ts is None or tried.tries < TRIES_IN_EVENT:
            return False
        return now - tried.first_ts >= for_sec

    def failed(
        self, circuit: ShedCircuit, for_sec: float, now: float, instead: float | None = None
    ) -> None:
        """Again later, further and further apart, and then the whole step: no ramp any more. Every
        10 s at least until it has been tried `for_sec`, and once more then. Each second time
        `instead` of what it was, where the device may not take that."""
        retry = self._tries.setdefault(circuit.circuit_id, Backoff())
        retry.failed(now)
        due_ts, last_ts = retry.due_ts or now, (retry.first_ts or now) + for_sec
        if now < last_ts:
            due_ts = min(due_ts, now + LONGEST_PAUSE_SEC, last_ts)
        self.steps = [step for step in self.steps if step.circuit_id != circuit.circuit_id]
        step = _whole_step(circuit, due_ts)
        if instead is not None and retry.tries % 2:
            step = replace(step, write=replace(step.write, value=instead, register_unit=None))
        self.steps.append(step)


def _whole_step(circuit: ShedCircuit, due_ts: float) -> _RestorationStep:
    write = PointWrite(
        circuit.circuit_id,
        circuit.point,
        circuit.before,
        inverted=circuit.inverted,
        relinquish=circuit.relinquish,
        rounding=circuit.kept_within,
        register_unit=circuit.register_unit,
        companion=circuit.companion,
    )
    return _RestorationStep(due_ts, write)


def _ramp(
    circuit: ShedCircuit, due_ts: float, ramp_sec: float, scale: PanelLimitScale | None
) -> list[_RestorationStep]:
    """From the circuit's value to what it was before, in even steps; a switch knows only one."""
    count = int(ramp_sec // RAMP_STEP_SEC)
    if circuit.is_switch or count < 1 or scale is None:
        return [_whole_step(circuit, due_ts)]
    lowest, highest = float(circuit.value), float(circuit.before)
    if scale.limit_of(highest) is None:
        highest = scale.open_value
    steps = []
    for number in range(1, count + 1):
        exact = lowest + (highest - lowest) * number / (count + 1)
        value = round(round(exact / scale.step) * scale.step, 6)
        if 0.0 < value < scale.lowest:  # a charger takes no 1 to 5 A
            continue
        moment = due_ts + (number - 1) * RAMP_STEP_SEC
        write = PointWrite(
            circuit.circuit_id,
            circuit.point,
            value,
            register_unit=circuit.register_unit,
            companion=circuit.companion,
        )
        steps.append(_RestorationStep(moment, write, last=False))
    return [*steps, _whole_step(circuit, due_ts + count * RAMP_STEP_SEC)]


def _lot(seed: str, circuit: ShedCircuit) -> bytes:
    """A place in the order that only `seed` decides."""
    return hashlib.sha256(f"{seed}/{circuit.circuit_id}".encode()).digest()


class Restoration:
    """Of one event at a time; of each device one write, of all its circuits whose turn it is, under
    way at once: one that does not answer holds up no other."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._schedule = _RestorationSchedule()
        self._under_way: dict[str, _RestorationBatch] = {}
        """By device."""
        self._ramped: dict[str, list[float | bool]] = {}
        """By circuit: what was written of its ramp."""
        self._progress_ts = 0.0
        """When who ended the event hears next how far it is."""

    def begin(self, event: Event, now: float, *, at_once: bool = False) -> None:
        """From now on. `at_once`: neither a pause between two circuits nor a ramp."""
        site = self._site
        self._under_way, self._ramped = {}, {}
        self._schedule = _RestorationSchedule.of(
            event.held(),
            site.panel,
            site.policy,
            now,
            seed=f"{site.replies.ven_id}/{event.event_id}",
            at_once=at_once,
        )
        self._progress_ts = now

    def progress(self, event: Event, now: float) -> Effects:
        """While it takes long, who ended the event hears now and then how far it is."""
        ended_by = event.ended_by
        if ended_by is None or ended_by.acked or now < self._progress_ts:
            return []
        if not self.takes_long(now):
            return []
        self._progress_ts = now + PROGRESS_SEC
        restored, of = event.restored_of()
        reason = Reason(ReasonCode.RESTORING, f"{restored} of {of} circuits are back")
        return [
            self._site.replies.interim(
                ended_by.op,
                ended_by.correlation_id,
                AckStatus.SCHEDULED,
                now,
                reason,
                event_id=event.event_id,
                data={"restored": restored, "circuits": of},
            )
        ]

    def takes_long(self, now: float) -> bool:
        """Whether the last circuit's turn comes later than an ack is waited for."""
        last_ts = self._schedule.last_due_ts
        return last_ts is not None and last_ts - now >= PROGRESS_SEC

    def hasten(self, event: Event, now: float) -> None:
        """What is not under way yet goes back at once: the agent stops, or its time is short."""
        under_way, ramped = self._under_way, self._ramped
        self.begin(event, now, at_once=True)
        self._under_way, self._ramped = under_way, ramped
        written = (step for batch in under_way.values() for step in batch.steps)
        self._schedule.drop(step.circuit_id for step in written if step.last)

    def release(self, event: Event, circuit_ids: Set[str], now: float) -> Effects:
        """These do not wait for their turn."""
        self._schedule.hurry(circuit_ids, now)
        return self.due(event, now)

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._schedule.shift(step_sec)
        self._under_way = {
            device: replace(batch, overdue_ts=batch.overdue_ts + step_sec)
            for device, batch in self._under_way.items()
        }

    def due(self, event: Event, now: float) -> Effects:
        """Write the circuits whose turn it is."""
        for device, batch in list(self._under_way.items()):
            if batch.overdue_ts <= now:
                self._schedule.repeat(self._under_way.pop(device).steps, now)
        self._schedule.drop(c.circuit_id for c in event.circuits if not c.to_put_back)
        self._schedule.put_off({c.circuit_id for c in event.circuits if c.switching}, now)
        by_device: dict[str, list[_RestorationStep]] = {}
        for step in self._schedule.take_due(now, self._under_way):
            by_device.setdefault(step.device, []).append(step)
            if not step.last:
                self._ramped.setdefault(step.circuit_id, []).append(step.write.value)
        effects: Effects = []
        for device, steps in by_device.items():
            self._under_way[device] = _RestorationBatch(tuple(steps), now + REPORT_LIMIT_SEC)
            effects.append(RestoreEffect(event.event_id, tuple(step.write for step in steps)))
        return effects

    def is_writing(self, circuit_id: str) -> bool:
        batches = self._under_way.values()
        return any(step.circuit_id == circuit_id for batch in batches for step in batch.steps)

    def next_deadline(self) -> float | None:
        times = [batch.overdue_ts for batch in self._under_way.values()]
        due_ts = self._schedule.next_due_ts(self._under_way)
        return min([*times, *([] if due_ts is None else [due_ts])], default=None)

    def restored(
        self,
        event: Event,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None,
        circuit_ids: Container[str] | None = None,
    ) -> Effects:
        """The writes of these circuits ended, of all if none are named; what failed is tried again
        until it succeeds.

        What `reading`, taken after the writes, shows of a circuit counts, and not what its write
        reported: one that could not be written in the first place may be as it was, and one that
        was written may not have switched. Where nothing was read the write is believed.
        """
        steps: dict[str, _RestorationStep] = {}
        for device, batch in list(self._under_way.items()):
            ended = {step.circuit_id: step for step in batch.steps}
            if circuit_ids is None or any(name in circuit_ids for name in ended):
                del self._under_way[device]
                steps |= ended
        alerts: Effects = []
        for circuit in event.circuits:
            step = steps.get(circuit.circuit_id)
            if step is None or circuit.manual_override:
                continue
            if circuit.switching:  # which of the two was last is not known
                self._schedule.repeat([step], now)
                continue
            alerts += self._step_ended(event, circuit, step, failures, now, reading)
        acks = self._acks(event, now)
        left = self._leave(event, self._site.policy.restore_within_sec, now)
        return [*left, *acks, *alerts]

    def make_way(self, event: Event, now: float) -> Effects:
        """Another event waits: circuits that failed often enough do not hold it up any longer."""
        return [] if self._under_way else self._leave(event, 0.0, now)

    def _step_ended(
        self,
        event: Event,
        circuit: ShedCircuit,
        step: _RestorationStep,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None,
    ) -> Effects:
        is_back = circuit.is_back(reading)
        reported = failures.get(circuit.circuit_id)
        failure = None if is_back or reported is None else reported.text
        if failure is None and not is_back and reading is not None:
            failure = circuit.contradiction(reading, step.write.value)
            if step.last and circuit.is_others(reading, self._ramped.get(circuit.circuit_id, ())):
                failure = None
        is_back = failure is None and (step.last or is_back)
        event.put([circuit.restore_ended(failure, is_back=is_back)])
        if failure is not None:
            instead = self._open_value(circuit)
            self._schedule.failed(circuit, self._site.policy.restore_within_sec, now, instead)
            message = f"{circuit.circuit_id} could not be put back yet: {failure}"
            return [
                RaiseAlertEffect(
                    "restore.failed",
                    message,
                    circuit.circuit_id,
                    AlertSeverity.CRITICAL,
                    ReasonCode.RESTORE_FAILED,
                )
            ]
        if not is_back:
            return []
        self._site.cycling_limits.note_restored(circuit.circuit_id, now)
        proven_later = self._site.unrestored.prove(circuit, self._site.panel, reading, now)
        return [*proven_later, RaiseAlertEffect("restore.failed", None, circuit.circuit_id)]

    def _leave(self, event: Event, for_sec: float, now: float) -> Effects:
        """Once all others are back, the event ends without those that failed often enough, and for
        so long."""
        held = event.held()
        tried = (self._schedule.has_tried(c.circuit_id, for_sec, now) for c in held)
        if not held or not all(tried) or any(c.switching for c in held):
            return []
        if any(self.is_writing(c.circuit_id) for c in held):
            return []
        event.put(circuit.left_unrestored() for circuit in held)
        tries = max(self._schedule.tries(c.circuit_id) for c in held)
        instead = {c.circuit_id: self._open_value(c) for c in held}
        return self._site.unrestored.take(
            *(held, tries, self._site.panel, now), ramped=self._ramped, instead=instead
        )

    def _open_value(self, circuit: ShedCircuit) -> float | None:
        """What limits it as little as what it was, where that was no limit: some devices show a
        value for it that they do not take."""
        known = self._site.panel.by_id.get(circuit.circuit_id)
        scale = None if known is None or known.point != circuit.point else known.limit
        if scale is None or circuit.is_switch or circuit.relinquish:
            return None
        is_limit = scale.limit_of(float(circuit.before)) is not None
        return None if is_limit else scale.open_value

    def _acks(self, event: Event, now: float) -> Effects:
        """Who ended the event hears at once of a circuit that does not go back."""
        acks: Effects = []
        not_restored = event.not_restored()
        if not_restored:
            text = f"not restored yet, trying again: {not_restored}"
            reason = Reason(ReasonCode.RESTORE_FAILED, text)
            acks = self._site.replies.to_ender(event, AckStatus.FAILED, now, reason)
        acks += self.progress(event, now)
        return [SaveEventEffect.of(event), self._site.save_cycling_limits(), *acks]
