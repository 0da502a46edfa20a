"""Which circuits of the event that runs must go back because their comfort guard says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.effects import Effects, RaiseAlertEffect
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.site_state import SiteState

GUARD_ALERT = "comfort.guard"
TRY_AGAIN_SEC = 30.0
"""A circuit that could not be released is tried again after so long."""


class GuardWatch:
    """A value that is not read for as long as a reading may be old counts as past its bound."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._seen_ts: dict[str, float] = {}
        """When each guard's value was last known, or first looked for."""
        self._tried_ts: dict[str, float] = {}
        self._due_ts: float | None = None

    def begin(self) -> None:
        """Another event is watched from now on."""
        self._seen_ts, self._tried_ts, self._due_ts = {}, {}, None

    def watch(self, event: Event, now: float) -> None:
        """What the event holds has changed."""
        self._look(event, None, now)

    def passed(self, event: Event, reading: PanelReading | None, now: float) -> dict[str, str]:
        """The circuits to release now, and why, for a person. `reading`: None when none came."""
        self._look(event, reading, now)
        found = {}
        for held, guard in self._guarded(event):
            name = held.circuit_id
            value = None if reading is None else reading.circuit(name).guard
            is_passed = self._silent_ts(name) <= now if value is None else guard.is_passed(value)
            if is_passed and self._free_ts(held) <= now:
                found[name] = f"{name} is released: {guard.passed_text(value)}"
                self._tried_ts[name] = now
        if found:
            self._look(event, None, now)
        return found

    def past_in(self, event: Event, reading: PanelReading) -> frozenset[str]:
        """The circuits whose guard `reading` shows past its bound: not to be shed once more."""
        values = {c.circuit_id: reading.circuit(c.circuit_id).guard for c in event.held()}
        return frozenset(
            held.circuit_id
            for held, guard in self._guarded(event)
            if (value := values[held.circuit_id]) is not None and guard.is_passed(value)
        )

    def alerts(self, event: Event, passed: Mapping[str, str]) -> Effects:
        """Raised for each; they end with the event."""
        return [
            RaiseAlertEffect(
                GUARD_ALERT,
                f"event {event.event_id}: {text}",
                circuit_id,
                AlertSeverity.WARNING,
                ReasonCode.COMFORT_GUARD,
            )
            for circuit_id, text in passed.items()
        ]

    def is_due(self, now: float) -> bool:
        """Whether a guard has been silent for too long."""
        return self._due_ts is not None and self._due_ts <= now

    def next_deadline(self) -> float | None:
        """When `is_due` has to be asked next."""
        return self._due_ts

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._seen_ts = {name: ts + step_sec for name, ts in self._seen_ts.items()}
        self._tried_ts = {}
        self._due_ts = None if self._due_ts is None else self._due_ts + step_sec

    def _look(self, event: Event, reading: PanelReading | None, now: float) -> None:
        """Note which values are known, and when the first of them will be missed."""
        guarded = list(self._guarded(event))
        names = {held.circuit_id for held, _ in guarded}
        self._seen_ts = {name: ts for name, ts in self._seen_ts.items() if name in names}
        for name in names:
            known = reading is not None and reading.circuit(name).guard is not None
            self._seen_ts[name] = now if known else self._seen_ts.get(name, now)
        times = [max(self._silent_ts(c.circuit_id), self._free_ts(c)) for c, _ in guarded]
        self._due_ts = min(times, default=None)

    def _guarded(self, event: Event) -> Iterator[tuple[ShedCircuit, ComfortGuard]]:
        for held in event.held():
            circuit = self._site.panel.by_id.get(held.circuit_id)
            if circuit is not None and circuit.guard is not None and not held.switching:
                yield held, circuit.guard

    def _silent_ts(self, circuit_id: str) -> float:
        """When its value has not been known for too long."""
        return self._seen_ts[circuit_id] + self._site.stale_after_sec

    def _free_ts(self, held: ShedCircuit) -> float:
        """Not written before that: its compressor must stay off, or it has just been tried."""
        circuit = self._site.panel.by_id[held.circuit_id]
        off_until_ts = held.shed_ts + circuit.endurance.min_off_sec
        tried_ts = self._tried_ts.get(held.circuit_id)
        return off_until_ts if tried_ts is None else max(off_until_ts, tried_ts + TRY_AGAIN_SEC)
