"""Which circuits of the event that runs must go back: a comfort guard, a battery that is at its
reserve or full, or a configuration that does not let them be shed any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.effects import Effects, RaiseAlertEffect
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.site_state import SiteState

GUARD_ALERT = "comfort.guard"
LEFT_ALONE_SEC = 300.0
"""A circuit that its guard released is not shed again before that."""
TRY_AGAIN_SEC = 30.0
"""A circuit that could not be released is tried again after so long."""


@dataclass(frozen=True)
class _Watched:
    """A circuit that is shed, and what must not be passed by that."""

    held: ShedCircuit
    guard: ComfortGuard
    charge_bound_percent: float | None = None
    """The guard is of a battery's charge: the reserve of one that discharges, the most of one that
    charges."""

    @property
    def key(self) -> tuple[str, bool]:
        return self.held.circuit_id, self.is_charge

    @property
    def is_charge(self) -> bool:
        return self.charge_bound_percent is not None

    def value_in(self, reading: PanelReading | None) -> float | None:
        if reading is None:
            return None
        read = reading.circuit(self.held.circuit_id)
        return read.soc_percent if self.is_charge else read.guard

    def is_passed(self, value: float) -> bool:
        return self.guard.is_passed(value)

    def unmoved_sec(self, reading: PanelReading | None) -> float | None:
        """For how long a value has not changed that is not believed for that."""
        if reading is None or self.is_charge:
            return None
        return reading.circuit(self.held.circuit_id).guard_unmoved_sec

    def silent_sec(self, reading: PanelReading | None) -> float | None:
        """For how long a value has not been read that is too old for that."""
        if reading is None:
            return None
        read = reading.circuit(self.held.circuit_id)
        return read.soc_silent_sec if self.is_charge else read.guard_silent_sec

    def reason(
        self, value: float | None, unmoved_sec: float | None, silent_sec: float | None
    ) -> Reason:
        name = self.held.circuit_id
        if not self.is_charge:
            passed = self.guard.passed_text(value, unmoved_sec, silent_sec)
            text = f"{name} is released: {passed}"
            return Reason(ReasonCode.COMFORT_GUARD, text)
        charge = "is not read" if value is None else f"is {value:.1f} percent"
        if self.held.is_raised:
            most = f"it is charged to {self.charge_bound_percent:g} percent at most"
            text = f"{name} stops charging: its charge {charge}, and {most}"
            return Reason(ReasonCode.SOC_FULL, text)
        reserve = f"its reserve of {self.charge_bound_percent:g} percent is kept"
        text = f"{name} stops discharging: its charge {charge}, and {reserve}"
        return Reason(ReasonCode.SOC_RESERVE, text)


class GuardWatch:
    """A value that is too old counts as past its bound at once; one that is not read, or that no
    reading tells of, after as long as a reading may be old."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._seen_ts: dict[tuple[str, bool], float] = {}
        """When each guard's value was last known, or first looked for."""
        self._tried_ts: dict[str, float] = {}
        self._due_ts: float | None = None

    def begin(self) -> None:
        """Another event is watched from now on."""
        self._seen_ts, self._tried_ts, self._due_ts = {}, {}, None

    def watch(self, event: Event, now: float) -> None:
        """What the event holds has changed."""
        self._look(event, None, now)

    def passed(self, event: Event, reading: PanelReading | None, now: float) -> dict[str, Reason]:
        """The circuits to release now, and why. `reading`: None when none came."""
        self._look(event, reading, now)
        found = {}
        for each in self._watched(event):
            name, value = each.held.circuit_id, each.value_in(reading)
            unmoved_sec, silent_sec = each.unmoved_sec(reading), each.silent_sec(reading)
            is_known_bad = unmoved_sec is not None or silent_sec is not None
            is_silent = is_known_bad or self._silent_ts(each) <= now
            is_passed = is_silent if value is None else each.is_passed(value)
            if is_passed and self._free_ts(each.held) <= now:
                found[name] = each.reason(value, unmoved_sec, silent_sec)
                self._tried_ts[name] = now
                self._site.guarded_until[name] = now + LEFT_ALONE_SEC
        for held in event.held():
            reason = self._protected_since(held)
            if reason is not None and held.circuit_id not in found and self._free_ts(held) <= now:
                found[held.circuit_id] = reason
                self._tried_ts[held.circuit_id] = now
        if found:
            self._look(event, None, now)
        return found

    def _protected_since(self, held: ShedCircuit) -> Reason | None:
        """Why the configuration of now would not let it be shed at all; None: it would."""
        circuit = self._site.panel.by_id.get(held.circuit_id)
        if circuit is None or held.switching or held.is_raised or held.generates:
            return None
        if circuit.kept_fraction < 1.0:
            return None
        why = "critical now" if circuit.critical else "not to be shed any more"
        return Reason(ReasonCode.CRITICAL, f"{held.circuit_id} is released: it is {why}")

    def past_in(self, event: Event, reading: PanelReading) -> frozenset[str]:
        """The circuits whose guard `reading` shows past its bound: not to be shed once more."""
        return frozenset(
            each.held.circuit_id
            for each in self._watched(event)
            if (value := each.value_in(reading)) is not None and each.is_passed(value)
        )

    def alerts(self, event: Event, passed: Mapping[str, Reason]) -> Effects:
        """Raised for each whose guard is past its bound; they end with the event."""
        return [
            RaiseAlertEffect(
                GUARD_ALERT,
                f"event {event.event_id}: {reason.text}",
                circuit_id,
                AlertSeverity.WARNING,
                reason.code,
            )
            for circuit_id, reason in passed.items()
            if reason.code is not ReasonCode.CRITICAL
        ]

    def is_due(self, now: float) -> bool:
        """Whether a guard has been silent for too long."""
        return self._due_ts is not None and self._due_ts <= now

    def next_deadline(self) -> float | None:
        """When `is_due` has to be asked next."""
        return self._due_ts

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._seen_ts = {key: ts + step_sec for key, ts in self._seen_ts.items()}
        self._tried_ts = {}
        self._due_ts = None if self._due_ts is None else self._due_ts + step_sec

    def _look(self, event: Event, reading: PanelReading | None, now: float) -> None:
        """Note which values are known, and when the first of them will be missed."""
        watched = list(self._watched(event))
        keys = {each.key for each in watched}
        self._seen_ts = {key: ts for key, ts in self._seen_ts.items() if key in keys}
        for each in watched:
            known = each.value_in(reading) is not None
            self._seen_ts[each.key] = now if known else self._seen_ts.get(each.key, now)
        times = [max(self._silent_ts(each), self._free_ts(each.held)) for each in watched]
        self._due_ts = min(times, default=None)

    def _watched(self, event: Event) -> Iterator[_Watched]:
        for held in event.held():
            circuit = self._site.panel.by_id.get(held.circuit_id)
            if circuit is None or held.switching:
                continue
            if circuit.guard is not None:
                yield _Watched(held, circuit.guard)
            storage = circuit.storage
            power_kw = 0.0 if storage is None else storage.kw_of(float(held.value))
            if storage is not None and power_kw < 0.0 and not held.is_raised:
                yield _Watched(held, storage.reserve_guard, storage.reserve_soc_percent)
            if storage is not None and power_kw > 0.0 and held.is_raised:
                yield _Watched(held, storage.full_guard, storage.most_soc_percent)

    def _silent_ts(self, each: _Watched) -> float:
        """When its value has not been known for too long."""
        return self._seen_ts[each.key] + self._site.stale_after_sec

    def _free_ts(self, held: ShedCircuit) -> float:
        """Not written before that: its compressor must stay off, or it has just been tried."""
        circuit = self._site.panel.by_id[held.circuit_id]
        off_until_ts = held.shed_ts + circuit.endurance.min_off_sec
        tried_ts = self._tried_ts.get(held.circuit_id)
        return off_until_ts if tried_ts is None else max(off_until_ts, tried_ts + TRY_AGAIN_SEC)
