"""Writing a curtailment plan: its circuits go into the event, then to the devices."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from VenAgent.contract.reasons import Reason
from VenAgent.dr.curtailment_plan import CurtailmentPlan
from VenAgent.dr.effects import Effects, RaiseAlertEffect, SaveEventEffect, WriteEffect
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import CIRCUIT_ALERTS, ShedCircuit
from VenAgent.dr.site_state import SiteState


@dataclass(frozen=True)
class _WrittenPlan:
    """What came of the writes."""

    missing_kw: float
    """How much of the request there will not be."""
    failed_kw: float
    """What the writes that failed were to shed."""
    may_replace: bool
    """Whether others may be shed in the place of those that failed."""
    alerts: Effects


class PlanExecution:
    """One plan of one event at a time."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._plan = CurtailmentPlan()
        self.expected_kw = 0.0
        """The shed that there will be when the writes under way have succeeded."""

    def is_writing(self, circuit_id: str) -> bool:
        return circuit_id in self._plan.circuit_ids

    def forget(self) -> None:
        """The writes under way are not waited for any more."""
        self._plan = CurtailmentPlan()

    def begin(self, event: Event, plan: CurtailmentPlan, held_kw: float, now: float) -> Effects:
        """Write `plan`; `held_kw` is shed already."""
        for tried in event.circuits:
            if tried.confirmed is False and tried.circuit_id in plan.circuit_ids:
                self._site.cycling_limits.forget_shed(tried.circuit_id, tried.shed_ts)
        event.put(plan.circuits)
        self._plan, self.expected_kw = plan, held_kw + plan.delta_kw
        for circuit in plan.circuits:
            if circuit.shed_ts == now and not circuit.releasing and not circuit.is_raised:
                self._site.cycling_limits.note_shed(circuit.circuit_id, now)
        return [SaveEventEffect.of(event), self._site.save_cycling_limits(), self._write(event)]

    def write_again(
        self, event: Event, back: Container[str] = (), but: Container[str] = ()
    ) -> Effects:
        """Write once more what every circuit is to be, `but` these: someone may not have heard it.
        Those of `back` are put back instead."""
        again = [
            c.to_release() if c.circuit_id in back else c.rewritten(c.value, c.final_kw)
            for c in event.held()
            if not c.switching and c.circuit_id not in but
        ]
        expected_kw = event.predicted_kw if event.is_limit else event.wanted_kw
        return self._write_all(event, again, expected_kw)

    def renew(self, event: Event, circuits: Iterable[ShedCircuit]) -> Effects:
        """Write these once more as they are."""
        self._plan = CurtailmentPlan(tuple(circuits))
        return [SaveEventEffect.of(event), self._write(event)]

    def release_all(self, event: Event) -> Effects:
        """Put every circuit back while the event goes on."""
        released = [c.to_release() for c in event.held() if not c.switching]
        return self._write_all(event, released, 0.0)

    def _write_all(
        self, event: Event, circuits: Iterable[ShedCircuit], expected_kw: float
    ) -> Effects:
        self._plan, self.expected_kw = CurtailmentPlan(tuple(circuits)), expected_kw
        event.put(self._plan.circuits)
        return [SaveEventEffect.of(event), self._write(event)]

    def _write(self, event: Event) -> WriteEffect:
        writes = tuple(circuit.write() for circuit in self._plan.circuits)
        return WriteEffect(event.event_id, writes, verify=self._plan.releases_some)

    def written(
        self, event: Event, failures: Mapping[str, Reason], now: float, reading: PanelReading | None
    ) -> _WrittenPlan:
        """The writes ended. A circuit that went back is given up only when `reading`, taken after,
        does not contradict."""
        plan, self._plan = self._plan, CurtailmentPlan()
        missing_kw = 0.0 if event.is_limit else event.wanted_kw - self.expected_kw
        failed_kw = 0.0
        alerts: Effects = []
        for circuit_id in plan.circuit_ids:
            circuit, reason = event.circuit(circuit_id), failures.get(circuit_id)
            failure = None if reason is None else reason.text
            if circuit is None:
                continue
            if circuit.releasing:
                alerts += self._release_ended(event, circuit, failure, now, reading)
                continue
            if reason is None and circuit.failure is not None:
                alerts.append(RaiseAlertEffect("write.failed", None, circuit_id))
            event.put([circuit.write_ended(failure)])
            if reason is not None:
                missing_kw += circuit.shed_kw
                failed_kw += circuit.shed_kw
                alerts.append(_write_failed(circuit_id, reason))
        may_replace = bool(failures) and not plan.releases_some
        return _WrittenPlan(missing_kw, failed_kw, may_replace, alerts)

    def _release_ended(
        self,
        event: Event,
        circuit: ShedCircuit,
        failure: str | None,
        now: float,
        reading: PanelReading | None,
    ) -> Effects:
        if failure is None and reading is not None:
            failure = circuit.contradiction(reading, circuit.before)
        if failure is not None:
            event.put([circuit.release_failed(failure, now)])
            return [] if reading is None else self.released_late(event, reading, now)
        return self._released(event, circuit, reading, now)

    def released_late(self, event: Event, reading: PanelReading, now: float) -> Effects:
        """Circuits whose release was reported as failed, though `reading` shows it done: an answer
        got lost, or came late. What others have is no proof: a null is written once more."""
        back = [c for c in event.circuits if not c.releasing and c.has_gone_back(reading)]
        effects = [e for c in back for e in self._released(event, c, reading, now)]
        again = [circuit for circuit in back if circuit.relinquish]
        if again:
            unrestored, panel = self._site.unrestored, self._site.panel
            effects += unrestored.take(again, 1, panel, now, ramped={}, instead={})
        return [SaveEventEffect.of(event), *effects] if back else []

    def _released(
        self, event: Event, circuit: ShedCircuit, reading: PanelReading | None, now: float
    ) -> Effects:
        event.drop(circuit.circuit_id)
        self._site.cycling_limits.note_restored(circuit.circuit_id, now)
        proven_later = self._site.unrestored.prove(circuit, self._site.panel, reading, now)
        return proven_later + [
            RaiseAlertEffect(code, None, circuit.circuit_id) for code in CIRCUIT_ALERTS
        ]


def _write_failed(circuit_id: str, why: Reason) -> RaiseAlertEffect:
    message = f"{circuit_id} could not be shed: {why.text}"
    return RaiseAlertEffect("write.failed", message, circuit_id, reason_code=why.code)
