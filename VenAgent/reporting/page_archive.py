"""What the page shows of the past: an event in full and the curves behind it, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from VenAgent.contract.json_codec import json_number
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.reporting.event_view import event_view_for_page
from VenAgent.storage.event_record import from_event_record
from VenAgent.storage.journal import Journal
from VenAgent.storage.minute_power import MinutePower
from VenAgent.storage.power_history import PowerHistory

ACKS_SHOWN = 200


class PageArchive:
    """One site's past. `pause` lets the agent's other greenlets have a turn."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        history: PowerHistory,
        minutes: MinutePower,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._history = history
        self._minutes = minutes
        self._pause = pause

    def event(self, event_id: str) -> dict[str, Any] | None:
        """An event with its circuits and its acks; None if it is not known (any more)."""
        event = self._find(event_id)
        if event is None:
            return None
        acks = self._journal.acks_of(event_id, self._pause)[-ACKS_SHOWN:]
        return {
            **event_view_for_page(event),
            "circuits": [_archived_circuit(circuit) for circuit in event.circuits],
            "acks": [_archived_ack(ack) for ack in acks],
        }

    def _find(self, event_id: str) -> Event | None:
        running = self._engine.running
        if running is not None and running.event_id == event_id:
            return running
        waiting = self._engine.scheduled.get(event_id)
        if waiting is not None:
            return waiting
        record = self._journal.event(event_id)
        try:
            return None if record is None else from_event_record(record)
        except (KeyError, TypeError, ValueError):
            return None  # of another version

    def interval_power(self, start_ts: float, count: int) -> dict[str, Any]:
        """Means of 15 minutes of the last 60 days, those that are known of `count` from then on."""
        rows = self._history.interval_rows(start_ts, count)
        return {
            "ts": [start for start, _, _, _ in rows],
            "power_kw": [json_number(power_kw) for _, power_kw, _, _ in rows],
            "covered_sec": [round(covered_sec) for _, _, covered_sec, _ in rows],
            "in_event": [in_event for _, _, _, in_event in rows],
        }

    def minute_power(
        self, circuit_id: str | None, start_ts: float, minutes: int
    ) -> dict[str, list[float | None]]:
        """Means of a minute: of a circuit, or of the site with its baseline and target."""
        if circuit_id is None:
            return self._minutes.site(start_ts, minutes)
        return self._minutes.circuit(circuit_id, start_ts, minutes)


def _archived_circuit(circuit: ShedCircuit) -> dict[str, Any]:
    return {
        "id": circuit.circuit_id,
        "name": circuit.name,
        "priority": circuit.priority,
        "critical": circuit.critical,
        "original_kw": json_number(circuit.original_kw),
        "final_kw": json_number(circuit.final_kw),
        "shed_kw": json_number(circuit.shed_kw),
        "shed_ts": json_number(circuit.shed_ts),
        "confirmed": circuit.confirmed,
        "failure": circuit.failure,
        "responded": circuit.responded,
        "manual_override": circuit.manual_override,
        "restored": circuit.restored,
    }


def _archived_ack(ack: Mapping[str, Any]) -> dict[str, Any]:
    """What a person wants of an ack as it was sent."""
    names = ("op", "status", "ok", "ts", "requested_shed_kw", "actual_shed_kw", "shed_basis")
    return {name: ack.get(name) for name in (*names, "reason", "reason_code", "correlationId")}
