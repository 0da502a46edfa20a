"""`setLoad`: circuits switched by command, and priorities changed by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import SetLoadCommand
from VenAgent.contract.reasons import Reason, ReasonCode, common_reason_code
from VenAgent.dr.effects import (
    Effects,
    ReadMeterEffect,
    SaveEventEffect,
    SaveFactEffect,
    SendAckEffect,
    SwitchEffect,
)
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel, PanelCircuit
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.site_state import SiteState
from VenAgent.dr.unrestored_circuits import REPORT_LIMIT_SEC

SWITCHES = "switches"
PRIORITIES = "priorities"
"""The names under which the journal keeps what is being switched, and the priorities."""
SHOWN_AFTER_SEC = 2.0
"""A reading that was under way when a circuit was switched is there by then."""


@dataclass(frozen=True)
class _PendingSwitch:
    """A circuit that a command switches: to be written, or being written."""

    op: str
    correlation_id: str | None
    data: Mapping[str, Any]
    """What was set, for the ack."""
    writes: tuple[PointWrite, ...]
    waits: bool = False
    """Another write to the circuit is under way: this one comes after it."""
    superseded: bool = False
    """It is being written, and a later command for the circuit has its ack already."""
    overdue_ts: float = math.inf
    """Its write has not been heard of until then."""

    @property
    def circuit_id(self) -> str:
        return self.writes[0].circuit_id

    def as_fact(self) -> dict[str, Any]:
        return {
            "op": self.op,
            "correlation_id": self.correlation_id,
            "data": dict(self.data),
            "writes": [
                [w.circuit_id, w.point, w.value, w.inverted, w.relinquish] for w in self.writes
            ],
            "superseded": self.superseded,
        }

    @classmethod
    def from_fact(cls, fact: Mapping[str, Any]) -> _PendingSwitch:
        writes = tuple(PointWrite(*write) for write in fact["writes"])
        return cls(fact["op"], fact["correlation_id"], fact["data"], writes)


class LoadControl:
    """What is set by command is kept in the journal, and done again after a restart.

    Writes to one circuit are in order: the last command is what stands in the end, and one that it
    overtook gets its ack as `superseded`.
    """

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._pending: dict[str, _PendingSwitch] = {}
        """By switch id, in the order of the commands."""
        self._priorities: dict[str, dict[str, int]] = {}
        """By circuit: the priority now, and the configured one that it stands for."""

    def recall(self, facts: Mapping[str, Any], now: float) -> Effects:
        """After a restart: what may not have been written is written again."""
        self._priorities = dict(facts.get(PRIORITIES) or {})
        self._site.panel = self.with_priorities(self._site.panel)
        pending = (facts.get(SWITCHES) or {}).items()
        self._pending = {
            switch_id: _PendingSwitch.from_fact(fact)
            for switch_id, fact in pending
            if not fact["superseded"]
        }
        for switch in self._pending.values():
            self._site.replies.expect(switch.correlation_id)
            self._keep_from_events(switch, math.inf)
        return [self._write(switch_id, None, now) for switch_id in list(self._pending)]

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

    def command(
        self, command: SetLoadCommand, event: Event | None, now: float, *, is_written_now: bool
    ) -> Effects:
        """Switch a circuit, or change its priority; the ack follows the write.

        `is_written_now`: the event writes to this circuit at this moment.
        """
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
        superseded = self._supersede(circuit.id, now)
        writes, of_event = self._writes(circuit, command.enabled, event)
        waits = is_written_now or self.is_pending(circuit.id)
        switch_id = self._new_id(command, now)
        switch = _PendingSwitch(
            command.op, command.correlation_id, _echo(command), tuple(writes), waits
        )
        self._pending[switch_id] = switch
        self._keep_from_events(switch, math.inf)
        replies.expect(command.correlation_id)
        effects += [*of_event, self._saved(), *superseded]
        return effects if waits else [*effects, self._write(switch_id, event, now)]

    def _write(self, switch_id: str, event: Event | None, now: float) -> SwitchEffect:
        switch = replace(self._pending[switch_id], waits=False, overdue_ts=now + REPORT_LIMIT_SEC)
        self._pending[switch_id] = switch
        return SwitchEffect(switch_id, switch.writes, event is None)

    def due(
        self, event: Event | None, is_written_now: Callable[[str], bool], now: float
    ) -> Effects:
        """A write that was never heard of is done again; what was to come after it does not wait
        for it for ever."""
        effects: Effects = []
        for switch_id, switch in list(self._pending.items()):
            if switch.overdue_ts > now:
                continue
            if switch.superseded:
                del self._pending[switch_id]
                effects.append(self._saved())
            else:
                effects.append(self._write(switch_id, event, now))
        return effects + self.start_waiting(event, is_written_now, now) if effects else []

    def next_deadline(self) -> float | None:
        """When a write is overdue; None while none is under way."""
        return min((s.overdue_ts for s in self._pending.values() if not s.waits), default=None)

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        for switch_id, switch in self._pending.items():
            self._pending[switch_id] = replace(switch, overdue_ts=switch.overdue_ts + step_sec)
        switching = self._site.switching
        self._site.switching = {name: ts + step_sec for name, ts in switching.items()}

    def _new_id(self, command: SetLoadCommand, now: float) -> str:
        """Commands without a correlation_id may come in the same moment."""
        named = f"switch-{command.correlation_id or format(now, '.3f')}"
        ids = (named, *(f"{named}-{number}" for number in range(2, len(self._pending) + 3)))
        return next(each for each in ids if each not in self._pending)

    def _supersede(self, circuit_id: str, now: float) -> Effects:
        """The commands for this circuit that were not carried out yet."""
        acks: Effects = []
        for switch_id, switch in list(self._pending.items()):
            if switch.circuit_id != circuit_id or switch.superseded:
                continue
            reason = Reason(
                ReasonCode.SUPERSEDED, f"a later command for circuit {circuit_id} came before it"
            )
            acks.append(
                self._site.replies.under(
                    switch.op, switch.correlation_id, AckStatus.SUPERSEDED, now, reason
                )
            )
            if switch.waits:
                del self._pending[switch_id]
            else:
                self._pending[switch_id] = replace(switch, superseded=True)
        return acks

    def switched(
        self, switch_id: str, failures: Mapping[str, Reason], event: Event | None, now: float
    ) -> Effects:
        """The writes ended: send the ack. A circuit of the event is a person's from now on."""
        switch = self._pending.pop(switch_id, None)
        if switch is None:
            return []
        more_to_come = self.is_pending(switch.circuit_id)
        if not more_to_come:
            is_off = any(write.value is False for write in switch.writes)
            self._keep_from_events(switch, now + SHOWN_AFTER_SEC if is_off else now)
        effects: Effects = [self._saved()]
        if event is not None:
            event.put(
                circuit.command_ended(more_to_come=more_to_come, succeeded=not failures)
                for circuit in event.circuits
                if circuit.switching and circuit.circuit_id == switch.circuit_id
            )
            effects.append(SaveEventEffect.of(event))
        if not failures and not more_to_come:
            effects += self._site.unrestored.drop(switch.circuit_id)
        if not switch.superseded:
            effects.append(self._ack(switch, failures, now))
        return [*effects, ReadMeterEffect()]

    def _ack(
        self, switch: _PendingSwitch, failures: Mapping[str, Reason], now: float
    ) -> SendAckEffect:
        replies, op, correlation_id = self._site.replies, switch.op, switch.correlation_id
        if failures:
            why = failures.values()
            code = common_reason_code(why, ReasonCode.WRITE_FAILED)
            reason = Reason(code, "; ".join(each.text for each in why))
            return replies.under(op, correlation_id, AckStatus.FAILED, now, reason)
        return replies.under(op, correlation_id, AckStatus.SUCCESS, now, data=switch.data)

    def start_waiting(
        self, event: Event | None, is_written_now: Callable[[str], bool], now: float
    ) -> Effects:
        """Write what waited, of the circuits that nothing else is being written to."""
        effects: Effects = []
        for switch_id, switch in list(self._pending.items()):
            others = [
                other
                for other_id, other in self._pending.items()
                if other_id != switch_id and other.circuit_id == switch.circuit_id
            ]
            if switch.waits and not others and not is_written_now(switch.circuit_id):
                effects.append(self._write(switch_id, event, now))
        return effects

    def is_pending(self, circuit_id: str) -> bool:
        """Whether a command switches this circuit now."""
        return any(switch.circuit_id == circuit_id for switch in self._pending.values())

    def _saved(self) -> SaveFactEffect:
        facts = {switch_id: switch.as_fact() for switch_id, switch in self._pending.items()}
        return SaveFactEffect(SWITCHES, facts)

    def _refusal(self, command: SetLoadCommand, circuit: PanelCircuit | None) -> Reason | None:
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

    def _prioritize(self, circuit: PanelCircuit, priority: int) -> SaveFactEffect:
        known = self._priorities.get(circuit.id)
        configured = circuit.priority if known is None else known["configured"]
        self._priorities[circuit.id] = {"configured": configured, "priority": priority}
        circuits = [
            replace(each, priority=priority) if each.id == circuit.id else each
            for each in self._site.panel.circuits
        ]
        self._site.panel = replace(self._site.panel, circuits=tuple(circuits))
        return SaveFactEffect(PRIORITIES, dict(self._priorities))

    def _writes(
        self, circuit: PanelCircuit, enabled: bool, event: Event | None
    ) -> tuple[list[PointWrite], Effects]:
        """What to write. A circuit that the event holds is not the event's meanwhile."""
        latest = self._site.latest
        read = None if latest is None else latest.circuit(circuit.id)
        # Off is held in our slot; on gives the slot back, so that the building's own schedule
        # commands the output again. What is no slot of ours is written.
        is_given_back = enabled and read is not None and read.relinquish_switch
        write = PointWrite(circuit.id, circuit.switch_point, enabled, circuit.inverted)
        writes = [replace(write, relinquish=is_given_back)]
        held = None if event is None else event.circuit(circuit.id)
        if event is None or held is None or not held.to_put_back:
            return writes, []
        event.put([held.switched_by_command()])
        if not held.is_switch:
            writes.append(held.write_back())
        return writes, [SaveEventEffect.of(event)]

    def _keep_from_events(self, switch: _PendingSwitch, until_ts: float) -> None:
        """No event touches the circuit: what it read may be from before the switch."""
        self._site.switching[switch.circuit_id] = until_ts


def _echo(command: SetLoadCommand) -> dict[str, Any]:
    """What was set, as `data` of the ack."""
    given = {"enabled": command.enabled, "priority": command.priority}
    return {"loadId": command.circuit_id, **{k: v for k, v in given.items() if v is not None}}
