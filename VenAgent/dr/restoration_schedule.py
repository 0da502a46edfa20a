"""How shed circuits go back: one after the other, the most important first, limits on a ramp.

All circuits of a street that go back in the same second make a peak of their own. So there is a
pause between two of them, and circuits of one priority go back in an order that differs from site
to site and from event to event, but not from one start of the agent to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace

from VenAgent.dr.backoff import RETRY_SEC, Backoff
from VenAgent.dr.effects import PointWrite
from VenAgent.dr.panel import Panel
from VenAgent.dr.policy import Policy
from VenAgent.dr.shed_circuit import ShedCircuit

RAMP_STEP_SEC = 5.0


@dataclass(frozen=True)
class RestorationStep:
    """Write `value` at `due_ts` (epoch s); with the `last` one the circuit is as it was."""

    due_ts: float
    circuit_id: str
    point: str
    value: float | bool
    last: bool = True

    inverted: bool = False

    def write(self) -> PointWrite:
        return PointWrite(self.circuit_id, self.point, self.value, self.inverted)


@dataclass
class RestorationSchedule:
    """The steps still to be done, and how often each circuit failed."""

    steps: list[RestorationStep] = field(default_factory=list)
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
    ) -> RestorationSchedule:
        """The way back of `circuits` from `now` on. `at_once`: the agent stops, no time to lose."""
        steps: list[RestorationStep] = []
        in_order = sorted(circuits, key=lambda c: (not c.last_resort, c.priority, _lot(seed, c)))
        for place, circuit in enumerate(in_order):
            if at_once:
                steps.append(_back(circuit, now))
                continue
            known = panel.by_id.get(circuit.circuit_id)
            min_off_sec = known.endurance.min_off_sec if known else 0.0
            off_until_ts = min(circuit.shed_ts, now) + min_off_sec
            due_ts = max(now + place * policy.restore_stagger_sec, off_until_ts)
            limit_step = known.limit.step if known is not None and known.limit is not None else 1.0
            steps += _ramp(circuit, due_ts, policy.limit_ramp_sec, limit_step)
        return cls(steps)

    @property
    def next_due_ts(self) -> float | None:
        return min((step.due_ts for step in self.steps), default=None)

    def take_due(self, now: float) -> list[RestorationStep]:
        """The steps whose time has come, of each circuit the latest only."""
        due = {
            step.circuit_id: step
            for step in sorted(self.steps, key=lambda step: step.due_ts)
            if step.due_ts <= now
        }
        self.steps = [step for step in self.steps if step.due_ts > now]
        return list(due.values())

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`: the pauses stay as long as they were."""
        self.steps = [replace(step, due_ts=step.due_ts + step_sec) for step in self.steps]

    def again(self, steps: Iterable[RestorationStep], now: float) -> None:
        """These were written, and no report came."""
        self.steps += [replace(step, due_ts=now) for step in steps]

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

    def failed(self, circuit: ShedCircuit, now: float) -> None:
        """Again later, further and further apart, and then the whole way: no ramp any more."""
        retry = self._tries.setdefault(circuit.circuit_id, Backoff())
        retry.failed(now)
        self.steps = [step for step in self.steps if step.circuit_id != circuit.circuit_id]
        self.steps.append(_back(circuit, retry.due_ts or now))


def _back(circuit: ShedCircuit, due_ts: float) -> RestorationStep:
    return RestorationStep(
        due_ts, circuit.circuit_id, circuit.point, circuit.before, inverted=circuit.inverted
    )


def _ramp(
    circuit: ShedCircuit, due_ts: float, ramp_sec: float, limit_step: float
) -> list[RestorationStep]:
    """From the circuit's value to what it was before, in even steps; a switch knows only one."""
    count = int(ramp_sec // RAMP_STEP_SEC)
    if circuit.is_switch or count < 1:
        return [_back(circuit, due_ts)]
    lowest, highest = float(circuit.value), float(circuit.before)
    steps = []
    for number in range(1, count + 1):
        exact = lowest + (highest - lowest) * number / (count + 1)
        value = round(round(exact / limit_step) * limit_step, 6)
        moment = due_ts + (number - 1) * RAMP_STEP_SEC
        steps.append(RestorationStep(moment, circuit.circuit_id, circuit.point, value, last=False))
    return [*steps, _back(circuit, due_ts + count * RAMP_STEP_SEC)]


def _lot(seed: str, circuit: ShedCircuit) -> bytes:
    """A place in the order that only `seed` decides."""
    return hashlib.sha256(f"{seed}/{circuit.circuit_id}".encode()).digest()
