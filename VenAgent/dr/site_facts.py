"""What is true of the site beside its events: whether it takes part, and what was set by hand.

The journal keeps each as a fact under its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import SetLoadCommand
from VenAgent.dr.effects import Effects, PointWrite, ReadMeter, SaveEvent, SaveFact, Switch
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Circuit, Panel
from VenAgent.dr.site_state import SiteState

OPT_OUT = "opt_out"
SWITCHES = "switches"
PRIORITIES = "priorities"
SHOWN_AFTER_SEC = 2.0
"""A reading that was under way when a circuit was switched is there by then."""


class OptOut:
    """Whether a person at the site has refused participation, why, and until when (epoch s)."""

    def __init__(self) -> None:
        self._fact: dict[str, Any] | None = None

    def begin(self, reason: str, until_ts: float | None) -> SaveFact:
        self._fact = {"reason": reason, "until_ts": until_ts}
        return SaveFact(OPT_OUT, self._fact)

    def end(self) -> SaveFact:
        self._fact = None
        return SaveFact(OPT_OUT, None)

    def recall(self, facts: Mapping[str, Any]) -> None:
        self._fact = facts.get(OPT_OUT)

    def shift(self, step_sec: float) -> Effects:
        """The clock was set by `step_sec`: "for two hours" stays two hours."""
        if self._fact is None or self._fact["until_ts"] is None:
            return []
        return [self.begin(self._fact["reason"], self._fact["until_ts"] + step_sec)]

    def reason(self, now: float) -> str | None:
        if self._fact is None:
            return None
        until_ts = self._fact["until_ts"]
        if now >= (math.inf if until_ts is None else until_ts):
            return None
        return f"opted out at the site: {self._fact['reason']}"


class LoadControl:
    """`setLoad`: circuits switched by command, and priorities changed by it."""

    def __init__(self, context: SiteState) -> None:
        self._context = context
        self._pending: dict[str, dict[str, Any]] = {}
        """Under way, by switch id."""
        self._priorities: dict[str, dict[str, int]] = {}
        """By circuit: the priority now, and the configured one that it stands for."""

    def recall(self, facts: Mapping[str, Any]) -> Effects:
        """After a restart: what may not have been written is written again."""
        self._priorities = dict(facts.get(PRIORITIES) or {})
        self._context.panel = self.with_priorities(self._context.panel)
        self._pending = dict(facts.get(SWITCHES) or {})
        for pending in self._pending.values():
            self._context.answers.expect(pending["correlation_id"])
            self._keep_off(pending, math.inf)
        return [self._effect(switch_id) for switch_id in self._pending]

    def with_priorities(self, panel: Panel) -> Panel:
        """`panel` with the priorities that were set by command, unless the configured priority
        has been changed since: then that one is the newer word."""
        circuits = []
        for circuit in panel.circuits:
            known = self._priorities.get(circuit.id)
            if known is not None and known["configured"] == circuit.priority:
                circuit = replace(circuit, priority=known["priority"])
            circuits.append(circuit)
        return replace(panel, circuits=tuple(circuits))

    def command(self, command: SetLoadCommand, event: Event | None, now: float) -> Effects:
        """Switch a circuit, or change its priority, and answer."""
        answers = self._context.answers
        circuit = self._context.panel.by_id.get(command.circuit_id)
        refusal = self._refusal(command, circuit)
        if refusal is not None or circuit is None:
            return [answers.to(command, AckStatus.REJECTED, now, reason=refusal)]
        effects: Effects = []
        if command.priority is not None:
            effects.append(self._prioritize(circuit, command.priority))
        if command.enabled is None:
            return [*effects, answers.to(command, AckStatus.SUCCESS, now, data=_echo(command))]
        writes, of_event = self._writes(circuit, command.enabled, event)
        switch_id = f"switch-{command.correlation_id or format(now, '.3f')}"
        self._pending[switch_id] = {
            "op": command.op,
            "correlation_id": command.correlation_id,
            "data": _echo(command),
            "reserve": event is None,
            "writes": [[w.circuit_id, w.point, w.value, w.inverted] for w in writes],
        }
        self._keep_off(self._pending[switch_id], math.inf)
        answers.expect(command.correlation_id)
        effects += [*of_event, SaveFact(SWITCHES, dict(self._pending))]
        return [*effects, self._effect(switch_id)]

    def switched(
        self, switch_id: str, failures: Mapping[str, str], event: Event | None, now: float
    ) -> Effects:
        """The writes ended: answer. A circuit of the event is a person's from now on."""
        pending = self._pending.pop(switch_id, None)
        if pending is None:
            return []
        is_off = any(value is False for _, _, value, *_ in pending["writes"])
        self._keep_off(pending, now + SHOWN_AFTER_SEC if is_off else now)
        status, fields = AckStatus.SUCCESS, {"data": pending["data"]}
        if failures:
            status, fields = AckStatus.FAILED, {"reason": "; ".join(failures.values())}
        answer = self._context.answers.under(
            pending["op"], pending["correlation_id"], status, now, **fields
        )
        kept: Effects = [SaveFact(SWITCHES, dict(self._pending))]
        if event is not None:
            for circuit in event.circuits:
                if circuit.switching:
                    circuit.switching = self.is_pending(circuit.circuit_id)
                    circuit.by_hand = not failures and not circuit.switching
            kept.append(SaveEvent(event.event_id, event.as_record()))
        return [*kept, answer, ReadMeter()]

    def is_pending(self, circuit_id: str) -> bool:
        """Whether a command switches this circuit now."""
        return any(
            name == circuit_id
            for pending in self._pending.values()
            for name, *_ in pending["writes"]
        )

    def _refusal(self, command: SetLoadCommand, circuit: Circuit | None) -> str | None:
        if circuit is None:
            known = ", ".join(self._context.panel.by_id)
            return f"unknown circuit {command.circuit_id!r}: this panel has {known}"
        if command.enabled is None and command.priority is None:
            return "enabled or priority: one of them is needed"
        if command.priority is not None and not 1 <= command.priority <= 5:
            return f"priority: must be 1 (critical) … 5 (flexible), got {command.priority}"
        if circuit.critical and (command.enabled is False or command.priority is not None):
            return f"circuit {circuit.id} is critical and is not changed by command"
        if command.enabled is not None and not circuit.switch_point:
            return f"circuit {circuit.id} has no switch_point: it cannot be switched"
        return None

    def _prioritize(self, circuit: Circuit, priority: int) -> SaveFact:
        known = self._priorities.get(circuit.id)
        configured = circuit.priority if known is None else known["configured"]
        self._priorities[circuit.id] = {"configured": configured, "priority": priority}
        circuits = [
            replace(each, priority=priority) if each.id == circuit.id else each
            for each in self._context.panel.circuits
        ]
        self._context.panel = replace(self._context.panel, circuits=tuple(circuits))
        return SaveFact(PRIORITIES, dict(self._priorities))

    def _writes(
        self, circuit: Circuit, enabled: bool, event: Event | None
    ) -> tuple[list[PointWrite], Effects]:
        """What to write. A circuit that the event holds is not the event's meanwhile."""
        writes = [PointWrite(circuit.id, circuit.switch_point, enabled, circuit.inverted)]
        held = (
            next((c for c in event.held() if c.circuit_id == circuit.id), None) if event else None
        )
        if event is None or held is None:
            return writes, []
        held.switching = True
        if not held.is_switch:
            writes.append(held.writing(held.before))
        return writes, [SaveEvent(event.event_id, event.as_record())]

    def _keep_off(self, pending: Mapping[str, Any], until_ts: float) -> None:
        """No event touches these circuits: what it read may be from before the switch."""
        self._context.switching |= {circuit_id: until_ts for circuit_id, *_ in pending["writes"]}

    def _effect(self, switch_id: str) -> Switch:
        pending = self._pending[switch_id]
        writes = tuple(PointWrite(*write) for write in pending["writes"])
        return Switch(switch_id, writes, reserve=pending["reserve"])


def _echo(command: SetLoadCommand) -> dict[str, Any]:
    """What was set, as `data` of the ack."""
    given = {"enabled": command.enabled, "priority": command.priority}
    return {"loadId": command.circuit_id, **{k: v for k, v in given.items() if v is not None}}
