"""How often and how long a circuit's equipment is switched: when each was shed and put back.

A compressor that is switched off must stay off for some minutes before it starts again, and a
contactor has only so many cycles: `EndurancePolicy` says what each circuit bears, this what
it bore.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from VenAgent.baseline.intervals import DAY_SEC
from VenAgent.dr.panel import Panel, PanelCircuit

CYCLING_LIMITS_FACT = "cycling_limits"
"""The name under which the journal keeps it."""


class CyclingLimits:
    """Times are epoch seconds."""

    def __init__(self, fact: Mapping[str, Any] | None = None) -> None:
        known = fact or {}
        self._sheds: dict[str, list[float]] = {
            str(name): [float(ts) for ts in times] for name, times in known.get("sheds", {}).items()
        }
        self._restored: dict[str, float] = {
            str(name): float(ts) for name, ts in known.get("restored", {}).items()
        }

    def as_fact(self) -> dict[str, Any]:
        return {
            "sheds": {name: list(times) for name, times in self._sheds.items()},
            "restored": dict(self._restored),
        }

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`: what was so long ago still is."""
        self._sheds = {name: [ts + step_sec for ts in times] for name, times in self._sheds.items()}
        self._restored = {name: ts + step_sec for name, ts in self._restored.items()}

    def note_shed(self, circuit_id: str, now: float) -> None:
        recent = [ts for ts in self._sheds.get(circuit_id, []) if now - ts < DAY_SEC]
        self._sheds[circuit_id] = [*recent, now]

    def forget_shed(self, circuit_id: str, shed_ts: float) -> None:
        """The write of then did not reach it."""
        sheds = self._sheds.get(circuit_id, [])
        self._sheds[circuit_id] = [ts for ts in sheds if ts != shed_ts]

    def note_restored(self, circuit_id: str, now: float) -> None:
        self._restored[circuit_id] = now

    def last_shed_ts(self, circuit_id: str) -> float:
        """When it was shed last; minus infinity if that is not known."""
        return max(self._sheds.get(circuit_id, ()), default=-math.inf)

    def reason_against(self, circuit: PanelCircuit, now: float, end_ts: float) -> str | None:
        """Why the circuit may not be shed from `now` to `end_ts`, for a person; None if it may."""
        bears = circuit.endurance
        if end_ts - now < bears.min_off_sec:
            return f"must stay off for {bears.min_off_sec:g} s, longer than the event lasts"
        on_for_sec = now - self._restored.get(circuit.id, -DAY_SEC)
        if 0.0 <= on_for_sec < bears.min_on_sec:
            return f"was put back {on_for_sec:.0f} s ago and must stay on {bears.min_on_sec:g} s"
        today = sum(1 for ts in self._sheds.get(circuit.id, []) if now - ts < DAY_SEC)
        if today >= bears.max_sheds_per_day:
            return f"was shed {today} times in the last 24 hours"
        return None

    def unavailable(self, panel: Panel, now: float, end_ts: float) -> set[str]:
        """The circuits that may not be shed from `now` to `end_ts`."""
        return {c.id for c in panel.circuits if self.reason_against(c, now, end_ts) is not None}
