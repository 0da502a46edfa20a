"""The answers given to commands, so that the same command again gets the same answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from VenAgent.contract.acks import AckStatus, ack
from VenAgent.contract.command_reader import CommandRejected
from VenAgent.contract.commands import Command
from VenAgent.dr.effects import Effects, SendAck
from VenAgent.dr.event import Event

ANSWERS_KEPT = 2_000


class CommandReplies:
    """Answers by correlation_id, and the commands whose answer is still to come."""

    def __init__(self, ven_id: str) -> None:
        self.ven_id = ven_id
        self._given: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._expected: set[str] = set()

    def repeat(self, correlation_id: str | None) -> Effects | None:
        """What a command seen before gets: its answer, nothing while it is worked on; else None."""
        if correlation_id is None:
            return None
        if correlation_id in self._given:
            return [SendAck(self._given[correlation_id], answer=False)]
        return [] if correlation_id in self._expected else None

    def given(self, correlation_id: str | None) -> Mapping[str, Any] | None:
        """The answer that a command got; None if it has none, or none is known any more."""
        return self._given.get(correlation_id or "")

    def expect(self, correlation_id: str | None) -> None:
        """The command is being worked on: its answer comes later."""
        if correlation_id is not None:
            self._expected.add(correlation_id)

    def remember(self, body: Mapping[str, Any]) -> SendAck:
        """Send `body`, and again whenever its command comes again."""
        correlation_id = body.get("correlationId")
        if correlation_id is not None:
            self._expected.discard(correlation_id)
            self._given[correlation_id] = body
            while len(self._given) > ANSWERS_KEPT:
                self._given.popitem(last=False)
        return SendAck(body)

    def to(self, command: Command, status: AckStatus, now: float, **fields: Any) -> SendAck:
        if command.event_id is not None:
            fields.setdefault("event_id", command.event_id)
        return self.under(command.op, command.correlation_id, status, now, **fields)

    def under(
        self, op: str, correlation_id: str | None, status: AckStatus, now: float, **fields: Any
    ) -> SendAck:
        """The answer to a command known by its op and correlation_id only."""
        return self.remember(self._ack(op, correlation_id, status, now, **fields))

    def refuse(self, rejected: CommandRejected, now: float) -> SendAck:
        """To a command that did not parse. Not remembered: parsed again, it is refused again."""
        fields: dict[str, Any] = {"reason": rejected.reason, "reason_code": rejected.code.value}
        if rejected.event_id is not None:
            fields["event_id"] = rejected.event_id
        body = self._ack(rejected.op, rejected.correlation_id, AckStatus.REJECTED, now, **fields)
        return SendAck(body, answer=False)

    def to_event(self, event: Event, status: AckStatus, now: float, **fields: Any) -> Effects:
        """The answer to the command that began or changed the event, and to its repetitions."""
        event.answered = True
        body = event.ack(status, self.ven_id, now, **fields)
        repetitions, event.also = event.also, []
        copies = [{**body, "correlationId": other} for other in repetitions]
        return [self.remember(each) for each in (body, *copies)]

    def follow_up(self, event: Event, status: AckStatus, now: float, **fields: Any) -> SendAck:
        """An ack of a later change of the event, under the same correlation_id."""
        return SendAck(event.ack(status, self.ven_id, now, **fields), answer=False)

    def to_ender(self, event: Event, status: AckStatus, now: float, **fields: Any) -> Effects:
        """The answer to the command that ended the event; none if none did, or it has one."""
        ended_by = event.ended_by
        if ended_by is None or ended_by.answered:
            return []
        event.ended_by = replace(ended_by, answered=True)
        fields["event_id"] = event.event_id
        return [self.under(ended_by.op, ended_by.correlation_id, status, now, **fields)]

    def _ack(
        self, op: str, correlation_id: str | None, status: AckStatus, now: float, **fields: Any
    ) -> dict[str, Any]:
        return ack(
            op=op,
            status=status,
            ven_id=self.ven_id,
            ts=now,
            correlation_id=correlation_id,
            **fields,
        )
