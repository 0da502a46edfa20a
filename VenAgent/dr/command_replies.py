"""The acks that commands get, so that the same command again gets the same ack."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from VenAgent.contract.acks import AckStatus, ack_circuit, ack_reason_fields, build_ack
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import FINGERPRINT_FORM, Command
from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, SaveFingerprintEffect, SendAckEffect
from VenAgent.dr.event import Event

REPLIES_KEPT = 2_000


class CommandReplies:
    """The replies by correlation_id, and the commands whose reply is still to come.

    Every method that takes `reason` puts its code and its text into the ack.
    """

    def __init__(self, ven_id: str) -> None:
        self.ven_id = ven_id
        self._sent: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._expected: set[str] = set()
        self._fingerprints: OrderedDict[str, str] = OrderedDict()
        """What the commands asked for, by correlation_id."""

    def repeat(self, command: Command, now: float) -> Effects | None:
        """What a command seen before gets: its ack, nothing while it is worked on; else None.

        Other content under its correlation_id is refused.
        """
        correlation_id = command.correlation_id
        if correlation_id is None or not self._is_known(correlation_id):
            return None
        if not self._is_same(correlation_id, command.fingerprint):
            text = f"correlationId {correlation_id} was used for another command: take a new one"
            reason = Reason(ReasonCode.CORRELATION_ID_REUSED, text)
            named = {} if command.event_id is None else {"event_id": command.event_id}
            body = self._ack(command.op, correlation_id, AckStatus.REJECTED, now, reason, **named)
            return [SendAckEffect(body, is_reply=False)]
        return self._again(correlation_id)

    def take(self, command: Command) -> Effects:
        """Remember the content of a command that `repeat` does not know."""
        if command.correlation_id is None:
            return []
        self.recall_fingerprint(command.correlation_id, command.fingerprint)
        return [SaveFingerprintEffect(command.correlation_id, command.fingerprint)]

    def recall_fingerprint(self, correlation_id: str, fingerprint: str) -> None:
        self._fingerprints[correlation_id] = fingerprint
        while len(self._fingerprints) > REPLIES_KEPT:
            self._fingerprints.popitem(last=False)

    def _is_known(self, correlation_id: str) -> bool:
        return correlation_id in self._sent or correlation_id in self._expected

    def _is_same(self, correlation_id: str, fingerprint: str | None) -> bool:
        """Whether it is the content that was known under this id, as far as that is remembered; an
        earlier version of the agent may have written it down in another form."""
        known = self._fingerprints.get(correlation_id, "")
        return known == fingerprint or not known.startswith(FINGERPRINT_FORM)

    def _again(self, correlation_id: str) -> Effects:
        if correlation_id in self._sent:
            return [SendAckEffect(self._sent[correlation_id], is_reply=False)]
        return []

    def sent_to(self, correlation_id: str | None) -> Mapping[str, Any] | None:
        """The ack that a command got; None if it has none, or none is known any more."""
        return self._sent.get(correlation_id or "")

    def expect(self, correlation_id: str | None) -> None:
        """The command is being worked on: its ack comes later."""
        if correlation_id is not None:
            self._expected.add(correlation_id)

    def remember(self, body: Mapping[str, Any]) -> SendAckEffect:
        """Send `body`, and again whenever its command comes again."""
        correlation_id = body.get("correlationId")
        if correlation_id is not None:
            self._expected.discard(correlation_id)
            self._sent[correlation_id] = body
            while len(self._sent) > REPLIES_KEPT:
                self._sent.popitem(last=False)
        return SendAckEffect(body)

    def to(
        self,
        command: Command,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> SendAckEffect:
        """The ack of a command that is done, or refused."""
        if command.event_id is not None:
            fields.setdefault("event_id", command.event_id)
        return self.under(command.op, command.correlation_id, status, now, reason, **fields)

    def under(
        self,
        op: str,
        correlation_id: str | None,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> SendAckEffect:
        """The ack of a command known by its op and correlation_id only."""
        return self.remember(self._ack(op, correlation_id, status, now, reason, **fields))

    def interim(
        self,
        op: str,
        correlation_id: str | None,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> SendAckEffect:
        """An ack of a command that is still being carried out; its reply comes later."""
        return SendAckEffect(
            self._ack(op, correlation_id, status, now, reason, **fields), is_reply=False
        )

    def refuse(self, rejected: CommandNotRead, now: float) -> Effects:
        """To a command that did not parse. Not remembered: parsed again, it is refused again. One
        that was obeyed in its time, and comes again after it, gets the ack that it got."""
        known, fingerprint = rejected.correlation_id, rejected.fingerprint
        is_known = known is not None and fingerprint is not None and self._is_known(known)
        if known is not None and is_known and self._is_same(known, fingerprint):
            return self._again(known)
        reason = Reason(rejected.code, rejected.reason)
        named = {} if rejected.event_id is None else {"event_id": rejected.event_id}
        op, correlation_id = rejected.op, rejected.correlation_id
        body = self._ack(op, correlation_id, AckStatus.REJECTED, now, reason, **named)
        return [SendAckEffect(body, is_reply=False)]

    def to_event(
        self,
        event: Event,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> Effects:
        """The ack of the command that began or changed the event, and of its repetitions."""
        duplicates = event.note_acked()
        body = self.event_ack(event, status, now, reason, **fields)
        copies = [{**body, "correlationId": other} for other in duplicates]
        return [self.remember(each) for each in (body, *copies)]

    def follow_up(
        self,
        event: Event,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> SendAckEffect:
        """An ack of a later change of the event, under the same correlation_id."""
        return SendAckEffect(self.event_ack(event, status, now, reason, **fields), is_reply=False)

    def to_event_or_after(
        self, event: Event, status: AckStatus, now: float, reason: Reason
    ) -> Effects:
        """The ack of the event's command, or a further one."""
        if event.acked:
            return [self.follow_up(event, status, now, reason)]
        return self.to_event(event, status, now, reason)

    def to_ender(
        self,
        event: Event,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
    ) -> Effects:
        """The ack of the command that ended the event; none if none did, or it has one."""
        ended_by = event.note_ender_acked()
        if ended_by is None:
            return []
        return [
            self.under(
                ended_by.op, ended_by.correlation_id, status, now, reason, event_id=event.event_id
            )
        ]

    def event_ack(
        self,
        event: Event,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """An ack of this event under the command that began or last changed it."""
        request, is_measured = event.request, event.measured_kw is not None
        shown: dict[str, Any] = {
            "event_id": event.event_id,
            "requested_shed_kw": json_number(event.wanted_kw),
            "actual_shed_kw": json_number(event.measured_kw if is_measured else event.predicted_kw),
            "shed_basis": "measured" if is_measured else "predicted",
            "baseline_kw": json_number(event.baseline_kw),
            "end_ts": json_number(event.end_ts),
            "modification": request.modification,
            "circuits_curtailed": [
                ack_circuit(
                    circuit_id=circuit.circuit_id,
                    name=circuit.name,
                    breaker_amps=circuit.breaker_amps,
                    original_kw=circuit.original_kw,
                    final_kw=circuit.final_kw,
                    critical=circuit.critical,
                )
                for circuit in event.counted_circuits
            ],
        }
        if event.is_load_up:
            measured_kw = event.measured_kw
            raised_kw = -(event.predicted_kw if measured_kw is None else measured_kw)
            shown |= {
                "requested_raise_kw": json_number(request.raise_kw),
                "actual_raise_kw": json_number(raised_kw),
            }
        if request.levels:
            shown["interval"] = {"number": event.level + 1, "of": len(request.levels)}
        if event.is_limit:
            shown |= {
                "import_kw": json_number(event.limit_terms.import_kw),
                "limit_state": "failsafe" if event.limit.is_failsafe else "limited",
            }
            if event.limit_terms.export_kw is not None:
                shown["export_kw"] = json_number(event.limit_terms.export_kw)
        if request.is_test:
            shown["test"] = True
        return self._ack(
            request.op, request.correlation_id, status, now, reason, **{**shown, **fields}
        )

    def _ack(
        self,
        op: str,
        correlation_id: str | None,
        status: AckStatus,
        now: float,
        reason: Reason | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        return build_ack(
            op=op,
            status=status,
            ven_id=self.ven_id,
            ts=now,
            correlation_id=correlation_id,
            **ack_reason_fields(reason),
            **fields,
        )
