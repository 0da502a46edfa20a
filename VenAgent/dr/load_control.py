"""`setLoad`: circuits switched by command, and priorities changed by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import SetLoadCommand
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, ReadMeter, SaveEvent, SaveFact, Switch
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Circuit, Panel
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.site_state import SiteState

SWITCHES = "switches"
PRIORITIES = "priorities"
"""The names under which the journal keeps what is being switched, and the priorities."""
SHOWN_AFTER_SEC = 2.0
"""A reading that was under way when a circuit was switched is there by then."""


class LoadControl:
    """What is set by command is kept in the journal, and done again after a restart."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._pending: dict[str, dict[str, Any]] = {}
        """Under way, by switch id."""
        self._priorities: dict[str, dict[str, int]] = {}
        """By circuit: the priority now, and the configured one that it stands for."""

    def recall(self, facts: Mapping[str, Any]) -> Effects:
        """After a restart: what may not have been written is written again."""
        self._priorities = dict(facts.get(PRIORITIES) or {})
        self._site.panel = self.with_priorities(self._site.panel)
        self._pending = dict(facts.get(SWITCHES) or {})
        for pending in self._pending.values():
            self._site.replies.expect(pending["correlation_id"])
            self._keep_from_events(pending, math.inf)
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
        """Switch a circuit, or change its priority; the ack follows the write."""
        replies = self._site.replies
        circuit = self._site.panel.by_id.get(command.circuit_id)
        refusal = self._refusal(command, circuit)
        if refusal is not None or circuit is None:
            return [replies.to(command, AckStatus.REJECTED, now, refusal)]
        effects: Effects = []
        if command.priority is not None:
            effects.append(self._prioritize(circuit, command.priority))
        if command.enabled is None:
            return [*effects, replies.to(command, AckStatus.SUCCESS, now, data=_echo(command))]
        writes, of_event = self._writes(circuit, command.enabled, event)
        switch_id = f"switch-{command.correlation_id or format(now, '.3f')}"
        self._pending[switch_id] = {
            "op": command.op,
            "correlation_id": command.correlation_id,
            "data": _echo(command),
            "reserve": event is None,
            "writes": [[w.circuit_id, w.point, w.value, w.inverted] for w in writes],
        }
        self._keep_from_events(self._pending[switch_id], math.inf)
        replies.expect(command.correlation_id)
        effects += [*of_event, SaveFact(SWITCHES, dict(self._pending))]
        return [*effects, self._effect(switch_id)]

    def switched(
        self, switch_id: str, failures: Mapping[str, str], event: Event | None, now: float
    ) -> Effects:
        """The writes ended: send the ack. A circuit of the event is a person's from now on."""
        pending = self._pending.pop(switch_id, None)
        if pending is None:
            return []
        is_off = any(value is False for _, _, value, *_ in pending["writes"])
        self._keep_from_events(pending, now + SHOWN_AFTER_SEC if is_off else now)
        op, correlation_id = pending["op"], pending["correlation_id"]
        replies = self._site.replies
        if failures:
            reason = Reason(ReasonCode.WRITE_FAILED, "; ".join(failures.values()))
            ack = replies.under(op, correlation_id, AckStatus.FAILED, now, reason)
        else:
            ack = replies.under(op, correlation_id, AckStatus.SUCCESS, now, data=pending["data"])
        saved: Effects = [SaveFact(SWITCHES, dict(self._pending))]
        if event is not None:
            event.put(
                circuit.command_ended(
                    more_to_come=self.is_pending(circuit.circuit_id), succeeded=not failures
                )
                for circuit in event.circuits
                if circuit.switching
            )
            saved.append(SaveEvent.of(event))
        return [*saved, ack, ReadMeter()]

    def is_pending(self, circuit_id: str) -> bool:
        """Whether a command switches this circuit now."""
        return any(
            name == circuit_id
            for pending in self._pending.values()
            for name, *_ in pending["writes"]
        )

    def _refusal(self, command: SetLoadCommand, circuit: Circuit | None) -> Reason | None:
        if circuit is None:
            known = ", ".join(self._site.panel.by_id)
            text = f"unknown circuit {command.circuit_id!r}: this panel has {known}"
            return Reason(ReasonCode.UNKNOWN_CIRCUIT, text)
        if command.enabled is None and command.priority is None:
            return Reason(ReasonCode.NOTHING_TO_SET, "enabled or priority: one of them is needed")
        if command.priority is not None and not 1 <= command.priority <= 5:
            text = f"priority: must be 1 (critical) … 5 (flexible), got {command.priority}"
            return Reason(ReasonCode.BAD_PRIORITY, text)
        if circuit.critical and (command.enabled is False or command.priority is not None):
            text = f"circuit {circuit.id} is critical and is not changed by command"
            return Reason(ReasonCode.CRITICAL, text)
        if command.enabled is not None and not circuit.switch_point:
            text = f"circuit {circuit.id} has no switch_point: it cannot be switched"
            return Reason(ReasonCode.NO_SWITCH_POINT, text)
        return None

    def _prioritize(self, circuit: Circuit, priority: int) -> SaveFact:
        known = self._priorities.get(circuit.id)
        configured = circuit.priority if known is None else known["configured"]
        self._priorities[circuit.id] = {"configured": configured, "priority": priority}
        circuits = [
            replace(each, priority=priority) if each.id == circuit.id else each
            for each in self._site.panel.circuits
        ]
        self._site.panel = replace(self._site.panel, circuits=tuple(circuits))
        return SaveFact(PRIORITIES, dict(self._priorities))

    def _writes(
        self, circuit: Circuit, enabled: bool, event: Event | None
    ) -> tuple[list[PointWrite], Effects]:
        """What to write. A circuit that the event holds is not the event's meanwhile."""
        writes = [PointWrite(circuit.id, circuit.switch_point, enabled, circuit.inverted)]
        held = None if event is None else event.circuit(circuit.id)
        if event is None or held is None or not held.to_put_back:
            return writes, []
        event.put([held.switched_by_command()])
        if not held.is_switch:
            writes.append(held.writing(held.before))
        return writes, [SaveEvent.of(event)]

    def _keep_from_events(self, pending: Mapping[str, Any], until_ts: float) -> None:
        """No event touches these circuits: what it read may be from before the switch."""
        self._site.switching |= {circuit_id: until_ts for circuit_id, *_ in pending["writes"]}

    def _effect(self, switch_id: str) -> Switch:
        pending = self._pending[switch_id]
        writes = tuple(PointWrite(*write) for write in pending["writes"])
        return Switch(switch_id, writes, reserve=pending["reserve"])


def _echo(command: SetLoadCommand) -> dict[str, Any]:
    """What was set, as `data` of the ack."""
    given = {"enabled": command.enabled, "priority": command.priority}
    return {"loadId": command.circuit_id, **{k: v for k, v in given.items() if v is not None}}
