"""Commands to the VEN, and their acks: `ven/cmd` and `ven/ack` of docs/mqtt-topics.md."""

from __future__ import annotations

import secrets
from typing import Any

from ops.clients.mqtt_client import OperatorMqttClient, decoded_messages
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron import volttron_rpc as rpc
from ops.volttron.config_store import AGENT
from VenAgent.config import AgentConfig

ACK_WITHIN_SEC = 15.0


def command(
    op: str, ven_id: str, correlation_id: str | None = None, **fields: Any
) -> dict[str, Any]:
    """A command as it goes on the wire; fields that are None are left out."""
    return {
        "op": op,
        "correlationId": correlation_id or f"{op}-{secrets.token_hex(6)}",
        "venId": ven_id,
        **{name: value for name, value in fields.items() if value is not None},
    }


def event_command(
    ven_id: str,
    shed_kw: float,
    duration_sec: float,
    event_id: str | None = None,
    correlation_id: str | None = None,
) -> dict[str, Any]:
    event_id = event_id or f"evt-{secrets.token_hex(4)}"
    return command(
        "event",
        ven_id,
        correlation_id or f"evt-{event_id}-{secrets.token_hex(4)}",
        event_id=event_id,
        shed_kw=shed_kw,
        duration_sec=duration_sec,
    )


def ask_ven(
    agent: AgentConfig, message: dict[str, Any], timeout_sec: float = ACK_WITHIN_SEC
) -> dict[str, Any]:
    """Send a command and wait for its ack.

    Raises OpsError when none comes; then the VEN's own sign of life, which the broker keeps,
    tells why.
    """
    topics = agent.topic_names()
    presence: str | None = None
    with OperatorMqttClient(agent) as client:
        client.subscribe(topics.ack, topics.status)
        client.publish(topics.command, message)
        for topic, contents in decoded_messages(client.messages(timeout_sec)):
            if topic == topics.status:
                presence = str(contents.get("status"))
            elif contents.get("correlationId") == message["correlationId"]:
                return contents
    raise _unanswered(agent, presence, timeout_sec)


def ask_own_ven(
    paths: Paths, agent: AgentConfig, what: str, timeout_sec: float = ACK_WITHIN_SEC
) -> dict[str, Any]:
    """What `get` answers (`status`, `shadow`), of the VEN on this machine.

    Through its broker, as the cloud would ask; over VOLTTRON's RPC where that is TLS with a
    certificate: in AWS a site's own may not send commands.
    """
    if agent.broker.tls is None:
        return ask_ven(agent, command("get", agent.ven_id, what=what), timeout_sec)
    method = {"status": "status", "shadow": "get_panel"}[what]
    return {
        "ok": True,
        "data": rpc.call_volttron_rpc(paths, AGENT, method, timeout_sec=timeout_sec),
    }


def _unanswered(agent: AgentConfig, presence: str | None, timeout_sec: float) -> OpsError:
    broker = f"{agent.broker.host}:{agent.broker.port}"
    what = f"{agent.ven_id} gave no answer within {timeout_sec:g} s"
    if presence is None:
        return OpsError(
            f"{what}: it has never been connected to the broker {broker}",
            "Check the VEN's id (--ven-id) and `ven_control.sh status`.",
        )
    if presence != "online":
        return OpsError(
            f"{what}: it is {presence} at the broker {broker}",
            "See `ven_control.sh status`. The broker keeps the command until it is back.",
        )
    return OpsError(
        f"{what}, although it is online at {broker}",
        "See `ven_control.sh logs`.",
    )
