"""Putting an event's circuits back, until every one is as it was before."""

from __future__ import annotations

from collections.abc import Mapping

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.alerts import Severity
from VenAgent.dr.effects import Effects, RaiseAlert, Restore, SaveEvent
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Reading
from VenAgent.dr.restoration_schedule import RestorationSchedule, RestorationStep
from VenAgent.dr.site_state import SiteState

REPORT_LIMIT_SEC = 120.0
"""Longer than any write with its second way and its reading takes."""


class Restoration:
    """Of one event at a time; one write, of all circuits whose turn it is, under way at once."""

    def __init__(self, context: SiteState) -> None:
        self._context = context
        self._returns = RestorationSchedule()
        self._under_way: list[RestorationStep] = []
        self._overdue_ts = 0.0
        """What is under way has not been heard of until then: it is written again."""

    def begin(self, event: Event, now: float, *, at_once: bool = False) -> None:
        """From now on. `at_once`: neither a pause between two circuits nor a ramp."""
        context = self._context
        seed = f"{context.answers.ven_id}/{event.event_id}"
        self._under_way = []
        self._returns = RestorationSchedule.of(
            event.held(), context.panel, context.policy, now, seed=seed, at_once=at_once
        )

    def hasten(self, event: Event, now: float) -> None:
        """What is not under way yet goes back at once: the agent stops, or its time is short."""
        under_way, self._under_way = self._under_way, []
        self.begin(event, now, at_once=True)
        self._under_way = under_way
        self._returns.drop(step.circuit_id for step in under_way if step.last)

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._returns.shift(step_sec)
        self._overdue_ts += step_sec

    def due(self, event: Event, now: float) -> Effects:
        """Write the circuits whose turn it is."""
        if self._under_way and now < self._overdue_ts:
            return []
        self._returns.again(self._under_way, now)
        self._returns.drop(c.circuit_id for c in event.circuits if not c.to_put_back)
        self._returns.put_off({c.circuit_id for c in event.circuits if c.switching}, now)
        self._under_way = self._returns.take_due(now)
        if not self._under_way:
            return []
        self._overdue_ts = now + REPORT_LIMIT_SEC
        return [Restore(event.event_id, tuple(step.write() for step in self._under_way))]

    def next_deadline(self) -> float | None:
        return self._overdue_ts if self._under_way else self._returns.next_due_ts

    def restored(
        self, event: Event, failures: Mapping[str, str], now: float, reading: Reading | None
    ) -> Effects:
        """The writes ended; what failed is tried again until it succeeds.

        What `reading`, taken after the writes, shows of a circuit counts, and not what its write
        said: one that could not be written in the first place may be as it was, and one that was
        written may not have obeyed. Where nothing was read the write is believed.
        """
        steps = {step.circuit_id: step for step in self._under_way}
        self._under_way = []
        alerts: Effects = []
        for circuit in event.circuits:
            step = steps.get(circuit.circuit_id)
            if step is None or circuit.by_hand:
                continue
            if circuit.switching:  # who of the two was last is not known
                self._returns.again([step], now)
                continue
            is_back = circuit.is_back(reading)
            circuit.failure = None if is_back else failures.get(circuit.circuit_id)
            if circuit.failure is None and not is_back and reading is not None:
                circuit.failure = circuit.contradiction(reading, step.value)
            if circuit.failure is not None:
                self._returns.failed(circuit, now)
                message = f"{circuit.circuit_id} could not be put back yet: {circuit.failure}"
                alerts.append(
                    RaiseAlert("restore.failed", message, circuit.circuit_id, Severity.CRITICAL)
                )
            elif step.last or is_back:
                circuit.restored = True
                self._context.wear.put_back(circuit.circuit_id, now)
                alerts.append(RaiseAlert("restore.failed", None, circuit.circuit_id))
        return self._tell(event, now) + alerts

    def _tell(self, event: Event, now: float) -> Effects:
        """Who ended the event hears at once of a circuit that does not go back."""
        told: Effects = []
        if event.stuck():
            reason = f"not restored yet, trying again: {event.stuck()}"
            told = self._context.answers.to_ender(event, AckStatus.FAILED, now, reason=reason)
        return [SaveEvent(event.event_id, event.as_record()), self._context.keep_wear(), *told]
