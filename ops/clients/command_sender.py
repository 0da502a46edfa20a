"""Commands to the VEN, and their acks: `ven/cmd` and `ven/ack` of docs/mqtt-topics.md.

What is sent has a date and an end: a VEN that is away does not find it when it comes back.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron import volttron_rpc as rpc
from ops.volttron.config_store import AGENT
from VenAgent.contract.command_builder import (
    build_command,
    build_correlation_id,
    build_event_command,
)
from VenAgent.contract.op import Op

ACK_WITHIN_SEC = 15.0
DURATION_SEC = 3600.0
_ENDING = (Op.RESTORE.value, Op.RESTORE_PANEL.value, Op.CANCEL.value)
UNANSWERED = 4
"""Exit code of a command without an ack; a refusal's is 1."""


@dataclass(frozen=True)
class CommandSenderDraft:
    """Makes commands to one VEN that hold for so long from now on."""

    ven_id: str
    holds_sec: float = ACK_WITHIN_SEC

    def of(self, op: str, correlation_id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Any command; fields that are None are left out. Raises OpsError for an unknown op."""
        now = time.time()
        try:
            return build_command(
                op,
                ven_id=self.ven_id,
                correlation_id=correlation_id or f"{op}-{secrets.token_hex(6)}",
                issued_ts=round(now, 3),
                expires_ts=round(now + self.holds_sec, 3),
                **fields,
            )
        except ValueError:
            known = ", ".join(each.value for each in Op)
            raise OpsError(f"there is no op {op!r}", f"There are: {known}.") from None

    def about_event(
        self, op: str, event_id: str | None, modification: int | None, **fields: Any
    ) -> dict[str, Any]:
        """An event of any kind, with an id made up if none is given; None fields are left out. An
        event that says nothing of its time lasts an hour, as everywhere. Raises OpsError for an
        empty id, and for a change of an event that is not named."""
        event_id = _named_event(event_id, modification)
        if op != Op.LIMIT.value and not fields.get("intervals"):
            given = fields.get("duration_sec")
            fields["duration_sec"] = DURATION_SEC if given is None else given
        correlation_id = build_correlation_id(event_id, secrets.token_hex(4))
        said = {"event_id": event_id, "modification": modification, **fields}
        return self.of(op, correlation_id, **said)

    def event(
        self,
        shed_kw: float,
        duration_sec: float,
        event_id: str | None = None,
        correlation_id: str | None = None,
        modification: int | None = None,
    ) -> dict[str, Any]:
        """An event that begins now. Raises OpsError as `about_event`."""
        now, event_id = time.time(), _named_event(event_id, modification)
        return build_event_command(
            ven_id=self.ven_id,
            correlation_id=correlation_id or build_correlation_id(event_id, secrets.token_hex(4)),
            event_id=event_id,
            shed_kw=shed_kw,
            duration_sec=duration_sec,
            modification=modification,
            issued_ts=round(now, 3),
            expires_ts=round(now + self.holds_sec, 3),
        )


def _named_event(event_id: str | None, modification: int | None) -> str:
    """The event's id; made up for a new one."""
    if event_id is None and modification:
        raise OpsError(f"--modification {modification} changes an event: name it with --event-id")
    if event_id is not None and not event_id.strip():
        raise OpsError("--event-id is empty", "Name it, or leave the option out.")
    return event_id or f"evt-{secrets.token_hex(4)}"


def send_command_to_ven(
    target: VenTarget, message: Mapping[str, Any], timeout_sec: float = ACK_WITHIN_SEC
) -> dict[str, Any]:
    """Send a command and wait for its ack; the broker drops it with the wait.

    Raises OpsError (exit code 4) when none comes; then the VEN's own sign of life, which the
    broker keeps, tells why.
    """
    presence: str | None = None
    with OperatorMqttClient(target) as client:
        client.subscribe(target.topics.ack, target.topics.status)
        client.publish(target.topics.command, message, expiry_sec=timeout_sec)
        for topic, contents in mqtt_client_messages(client.messages(timeout_sec)):
            if topic == target.topics.status:
                presence = str(contents.get("status"))
            elif contents.get("correlationId") == message["correlationId"]:
                return contents
    raise _unanswered(target, message, presence, timeout_sec)


def send_command_to_own_ven(
    paths: Paths, target: VenTarget, what: str, timeout_sec: float = ACK_WITHIN_SEC
) -> dict[str, Any]:
    """What `get` answers (`status`, `shadow`), of the VEN on this machine.

    Through its broker, as the cloud would ask; over VOLTTRON's RPC where that is TLS with a
    certificate: in AWS a site's own may not send commands.
    """
    if target.broker_tls is None:
        message = CommandSenderDraft(target.ven_id, timeout_sec).of("get", what=what)
        return send_command_to_ven(target, message, timeout_sec)
    method = {"status": "status", "shadow": "get_panel"}[what]
    data = rpc.call_volttron_rpc(paths, AGENT, method, timeout_sec=timeout_sec)
    return {"ok": True, "data": data}


def _unanswered(
    target: VenTarget, message: Mapping[str, Any], presence: str | None, timeout_sec: float
) -> OpsError:
    what = f"{target.ven_id} gave no answer within {timeout_sec:g} s"
    if presence is None:
        why = f"it has never been connected to the broker {target.broker}"
        advice = ["Check the VEN's id (--ven-id) and `ven_control.sh status`."]
    elif presence != "online":
        why = f"it is {presence} at the broker {target.broker}"
        advice = ["See `ven_control.sh status`."]
    else:
        why = f"although it is online at {target.broker}"
        advice = ["See `ven_control.sh logs`."]
    advice.append("The command has expired: it does not run when the VEN is back.")
    if "event_id" in message and message["op"] not in _ENDING and presence == "online":
        advice[-1] = (
            "The command has expired. Should the VEN have taken it in the last moment, "
            f"`restore --event-id {message.get('event_id')}` ends it."
        )
    error = OpsError(f"{what}: {why}" if presence != "online" else f"{what}, {why}", *advice)
    error.exit_code = UNANSWERED
    return error
