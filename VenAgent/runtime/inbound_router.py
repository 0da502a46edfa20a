"""What comes from outside: commands, the shadow's answers, messages for the bus.

Each is refused or taken on by one door, and what is refused is counted by its reason; a command,
or anything else that says whom to answer, gets that reason as its answer.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
from pydantic import ValidationError

from VenAgent.cloud.bus_bridge import BusBridge
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.mqtt_link import topic_matches_sub
from VenAgent.cloud.shadow_desired import ShadowDesired
from VenAgent.config import AgentConfig
from VenAgent.contract.acks import AckStatus, ack_reason_fields, build_ack
from VenAgent.contract.command_reader import CommandNotRead, read_command
from VenAgent.contract.commands import Command, GetCommand, PingCommand, SetCommand
from VenAgent.contract.finding_text import finding_text
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.opt_out_request import OptOutRequest
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effect, Effects, SaveFingerprintEffect
from VenAgent.dr.engine import Engine
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.runtime.remote_updates import RemoteUpdates
from VenAgent.runtime.session_backlog import SessionBacklog, machine_run

_log = logging.getLogger(__name__)

ANSWER_SEC = 30.0
_OWN_ID = "rpc-"
"""So the correlation ids begin that calls of this platform get: no call has one twice."""
SAME_CALL_SEC = 1.0


@dataclass
class _LastCall:
    """A call of this platform."""

    content: str
    at: float
    """Monotonic s."""
    correlation_id: str
    running_id: str | None = None
    """The event that ran when it was obeyed."""
    answer: Mapping[str, Any] | None = None
    """Of one that is no command."""


class InboundRouter:
    """Takes on what comes. `get(what)` answers a `get` command; `check_clock`: the engine hears of
    a clock that was set before it hears of anything else; `on_change`: health may differ."""

    def __init__(
        self,
        engine: Engine,
        executor: EffectExecutor,
        updates: RemoteUpdates,
        get: Callable[[str], Any],
        check_clock: Callable[[], Any],
        on_change: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._updates = updates
        self._get = get
        self._check_clock = check_clock
        self._on_change = on_change
        self._handlers: dict[str, Callable[[InboundMessage], gevent.Greenlet | None]] = {}
        self.backlog = SessionBacklog()
        self._last_call: _LastCall | None = None
        """Of this platform's; none when another command was obeyed since."""
        self.refused: Counter[str] = Counter()
        """Messages that were not taken on, by `door.reason`."""

    def reconfigure(
        self, config: AgentConfig, desired: ShadowDesired | None, bridge: BusBridge
    ) -> None:
        """A new configuration."""
        self._config = config
        self.backlog.max_age_sec = config.event.max_command_age_sec
        self._desired = desired
        self._bridge = bridge
        self._handlers = {config.topic_names().command: self._on_command}
        if desired is not None:
            self._handlers.update(dict.fromkeys(desired.shadow.topics, self._on_shadow))
        self._handlers.update(dict.fromkeys(bridge.filters, self._on_bridge))

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters to subscribe to."""
        return tuple(self._handlers)

    def receive(
        self, inbound: InboundMessage, acknowledge: Callable[[InboundMessage], None]
    ) -> None:
        """A message from the broker. It is acknowledged there when it was dealt with: a command
        when its record is synced."""
        work = None
        for topic_filter, handle in self._handlers.items():
            if topic_matches_sub(topic_filter, inbound.topic):
                work = handle(inbound)
                break
        else:  # of an earlier configuration: the session at the broker remembers its topics
            self.refused[f"other.{ReasonCode.BAD_TOPIC.value}"] += 1
            _log.warning("a message on %s is passed over: it is none of our topics", inbound.topic)
        if work is None:
            acknowledge(inbound)
        else:
            work.link(lambda _: acknowledge(inbound))

    def command(
        self, fields: Mapping[str, Any], correlation_id: str | None = None
    ) -> Mapping[str, Any]:
        """Obey a command of this platform as if the cloud had sent it; returns its ack."""
        self._check_clock()
        if correlation_id is None:
            before, correlation_id = self._last_call, self._call_id(fields)
            if before is self._last_call:  # the same call: nothing is written down or told again
                answer = self._engine.replies.sent_to(correlation_id)
                if answer is not None:
                    return answer
        expected = self._executor.expect(correlation_id)
        self._obey(json.dumps({**fields, "correlationId": correlation_id}).encode())
        self._note_running()
        answer = self._executor.ack_of(correlation_id, expected, ANSWER_SEC)
        text = f"no answer within {ANSWER_SEC:g} s; look at status()"
        return answer or build_ack(
            op=str(fields.get("op")),
            status=AckStatus.FAILED,
            ven_id=self._config.ven_id,
            ts=time.time(),
            correlation_id=correlation_id,
            **ack_reason_fields(Reason(ReasonCode.NOT_ANSWERED, text)),
        )

    def _call_id(self, fields: Mapping[str, Any]) -> str:
        """The call's correlation id. The same call again within a second of the first is the same
        command: VOLTTRON Central makes each call twice. It is another one when something else was
        obeyed, or another event has begun, in between."""
        content, now = json.dumps(fields, sort_keys=True, default=str), time.monotonic()
        last, running = self._last_call, self._engine.running
        if (
            last is None
            or last.content != content
            or not now - last.at < SAME_CALL_SEC
            or (running is not None and running.event_id != last.running_id)
        ):
            last = None
        self._last_call = last or _LastCall(content, now, f"{_OWN_ID}{uuid.uuid4()}")
        return self._last_call.correlation_id

    def _note_running(self) -> None:
        """The event that runs when a call was obeyed, perhaps begun by it."""
        running = self._engine.running
        if self._last_call is not None and running is not None:
            self._last_call.running_id = running.event_id

    def opt_out(self, reason: str, duration_sec: float | None = None) -> Mapping[str, Any]:
        """A person at the site ends and refuses participation, for `duration_sec` or until they
        opt in; what is shed goes back. Refused by name: what the page would refuse too."""
        try:
            wanted = OptOutRequest.model_validate({"reason": reason, "duration_sec": duration_sec})
        except ValidationError as error:
            finding = error.errors(include_url=False)[0]
            name = finding["loc"][0]
            refusal = Reason(ReasonCode.BAD_FIELD, f"{name}: {finding_text(finding)}")
            self.refused[f"opt_out.{refusal.code.value}"] += 1
            return {
                "ok": False,
                "status": AckStatus.REJECTED.value,
                **ack_reason_fields(refusal),
            }
        now = time.time()
        until_ts = None if wanted.duration_sec is None else now + wanted.duration_sec
        self._call_id({"op": "opt_out", **wanted.model_dump()})
        call, event = self._last_call, self._engine.running
        assert call is not None
        is_left = event is not None and not event.is_limit  # nobody at the site leaves a limit
        if call.answer is None:
            self._executor.perform(self._engine.opt_out(wanted.reason, until_ts, now))
            self._on_change()
            call.answer = {
                "ok": True,
                "status": AckStatus.OPTED_OUT.value,
                "event_id": event.event_id if event is not None and is_left else None,
                "until_ts": until_ts,
            }
        self._note_running()
        return call.answer

    def opt_in(self) -> Mapping[str, Any]:
        """The site takes part in events again."""
        self._last_call = None
        self._executor.perform(self._engine.opt_in(time.time()))
        self._on_change()
        return {"ok": True, "status": AckStatus.SUCCESS.value}

    # ---- commands ------------------------------------------------------------------------

    def _on_command(self, inbound: InboundMessage) -> gevent.Greenlet | None:
        return self._obey(inbound.payload, inbound)

    def _obey(
        self, payload: bytes, inbound: InboundMessage | None = None
    ) -> gevent.Greenlet | None:
        """The greenlet that works on it, if it is not done at once. `inbound`: as the broker
        delivered it."""
        config, now = self._config, time.time()
        try:
            command = read_command(
                payload, ven_id=config.ven_id, limits=config.command_limits(), now=now
            )
            if inbound is not None:
                self._refuse_stale(command, inbound)
        except CommandNotRead as rejected:
            self.refused[f"command.{rejected.code.value}"] += 1
            self._executor.perform(self._engine.refuse(rejected, now))
            return None
        from_sender = inbound is not None
        if from_sender and not isinstance(command, (PingCommand, GetCommand)):
            self._last_call = None
        if isinstance(command, (SetCommand, GetCommand)) and from_sender:
            self._executor.perform(self._engine.heard(command, now))
        if isinstance(command, SetCommand):
            return self._set(command)
        if isinstance(command, GetCommand):
            self._executor.perform(self._ack_get(command, now))
        else:
            lot = random.random()
            effects = self._engine.command(command, now, lot=lot, from_sender=from_sender)
            if inbound is None:
                effects = [each for each in effects if not _is_of_own_id(each)]
            self._executor.perform(effects)
        return None

    def _refuse_stale(self, command: Command, inbound: InboundMessage) -> None:
        """Raises CommandNotRead for an undated event that may have waited for us too long, or an
        expired one."""
        now = time.monotonic()
        refusal = self.backlog.refusal(
            command,
            # With a message expiry its sender has said how long it holds.
            from_session=inbound.session_present and inbound.expires_at is None,
            monotonic=inbound.came_at,
            kept_sec=0.0
            if inbound.kept_ts is None
            else self.backlog.kept_sec(inbound.kept_ts, time.time(), machine_run()),
        )
        if inbound.expires_at is not None and inbound.expires_at < now:
            text = "the command has expired (MQTT message expiry) before it could be dealt with"
            refusal = Reason(ReasonCode.EXPIRED, text)
        if refusal is not None:
            raise CommandNotRead(
                refusal.text,
                op=command.op,
                correlation_id=command.correlation_id,
                event_id=command.event_id,
                code=refusal.code,
                fingerprint=command.fingerprint,
            )

    def _ack_get(self, command: GetCommand, now: float) -> Effects:
        replies = self._engine.replies
        repeated = replies.repeat(command, now)
        if repeated is not None:
            return repeated
        ack = replies.to(command, AckStatus.SUCCESS, now, data=self._get(command.what))
        return [*replies.take(command), ack]

    def _set(self, command: SetCommand) -> gevent.Greenlet | None:
        replies = self._engine.replies
        repeated = replies.repeat(command, time.time())
        if repeated is not None:
            self._executor.perform(repeated)
            return None
        self._executor.perform(replies.take(command))
        replies.expect(command.correlation_id)
        return gevent.spawn(self._apply, command)

    def _apply(self, command: SetCommand) -> None:
        outcome = self._updates.apply(command)
        if outcome.rejected is not None:
            self.refused[f"command.{outcome.rejected.code.value}"] += 1
            self._ack(command, AckStatus.REJECTED, outcome.rejected)
        elif outcome.failed is not None:
            self._ack(command, AckStatus.FAILED, outcome.failed)
        else:
            self._ack(command, AckStatus.SUCCESS, data={"applied": dict(outcome.applied)})

    def _ack(
        self, command: Command, status: AckStatus, reason: Reason | None = None, **fields: Any
    ) -> None:
        ack = self._engine.replies.to(command, status, time.time(), reason, **fields)
        self._executor.perform([ack])

    # ---- the shadow, and messages for the bus ----------------------------------------------

    def _on_shadow(self, inbound: InboundMessage) -> None:
        assert self._desired is not None
        try:
            self._desired.receive(inbound)
        except MessageRefused as error:
            self._refuse("shadow", inbound, error)

    def _on_bridge(self, inbound: InboundMessage) -> None:
        try:
            self._bridge.receive(inbound.topic, inbound.payload)
        except MessageRefused as error:
            self._refuse("bus", inbound, error)

    def _refuse(self, door: str, inbound: InboundMessage, error: MessageRefused) -> None:
        """Counted; logged the first time; answered if it names a correlation id."""
        name = f"{door}.{error.code.value}"
        self.refused[name] += 1
        if self.refused[name] == 1:
            _log.warning("a message on %s is refused: %s", inbound.topic, error)
        correlation_id = error.readable.get("correlationId")
        if isinstance(correlation_id, str) and error.code is not ReasonCode.TOO_MANY:
            rejected = CommandNotRead(
                str(error), op=door, correlation_id=correlation_id[:256], code=error.code
            )
            self._executor.perform(self._engine.refuse(rejected, time.time()))


def _is_of_own_id(effect: Effect) -> bool:
    """What a call of this platform asked for need not outlive this process."""
    return isinstance(effect, SaveFingerprintEffect) and effect.correlation_id.startswith(_OWN_ID)
