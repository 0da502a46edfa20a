"""A command to the VEN and its ack, shown; without a parser of options, which takes its time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.clients.command_sender import send_command_to_ven
from ops.clients.ven_target import VenTarget
from ops.host import terminal
from VenAgent.contract.reasons import ReasonCode

_USED_UP = (
    ReasonCode.EVENT_OVER.value,
    ReasonCode.MODIFICATION_OUTDATED.value,
    ReasonCode.CORRELATION_ID_REUSED.value,
)
"""Of acks that refuse an id which was used before."""


def run_command_exchange(
    target: VenTarget, message: Mapping[str, Any], timeout_sec: float, *, as_json: bool
) -> int:
    """The exit code: 1 when the VEN refuses, fails, or takes no part. Raises OpsError when it does
    not answer."""
    answer = send_command_to_ven(target, message, timeout_sec)
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.print_ack(answer)
        advice = command_exchange_advice(message, answer)
        if advice:
            terminal.print_note(advice)
    return ack_exit_code(answer)


def ack_exit_code(answer: Mapping[str, Any]) -> int:
    """1 for what the VEN does not do: it refuses or fails, or the site takes part in no events."""
    return 0 if terminal.ack_is_done(answer) else 1


def command_exchange_advice(message: Mapping[str, Any], answer: Mapping[str, Any]) -> str | None:
    """What to do about an event id that the VEN has seen, and takes no second time."""
    if message.get("op") != "event" or answer.get("reason_code") not in _USED_UP:
        return None
    following = int(message.get("modification") or 0) + 1
    return (
        f"To change the event while it lasts, send it again with --modification {following} or "
        "higher. For a new one name another --event-id, or none."
    )
