"""What a command is about, without reading it in full: whether it may go before others.

Of a burst the command that ends an event is obeyed first: whoever wants the heating back must not
wait behind a thousand others. `command_outline` decides nothing else; the command itself is read,
and refused where it must be, by command_reader.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from VenAgent.contract.command_fields import SPELLINGS, command_field_time
from VenAgent.contract.json_codec import decode_json
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.op import Op

_ENDERS = frozenset({Op.RESTORE.value, Op.RESTORE_PANEL.value, Op.CANCEL.value})
_BEGINNERS = frozenset(
    {
        Op.EVENT.value,
        Op.SHED_PANEL.value,
        Op.SHED_LOAD.value,
        Op.LIMIT.value,
        Op.LOAD_UP.value,
    }
)


@dataclass(frozen=True)
class CommandOutline:
    """Ids are texts, None if there are none."""

    ends_event: bool = False
    """`restore` or `cancel`."""
    begins_by_ts: float | None = None
    """When the event it is about begins, epoch s; 0 for now. None if it begins none."""
    event_id: str | None = None
    correlation_id: str | None = None


NO_COMMAND = CommandOutline()


def command_outline(payload: bytes) -> CommandOutline:
    """Of a message that came; `NO_COMMAND` for what cannot be read."""
    try:
        message = decode_json(payload)
    except MessageRefused:
        return NO_COMMAND
    inner = message.get("data")
    places = (inner if isinstance(inner, dict) else {}, message)
    fields = {key: value for each in places for key, value in each.items() if value is not None}
    op = fields.get("op")
    if not isinstance(op, str):
        return NO_COMMAND
    return CommandOutline(
        ends_event=op in _ENDERS,
        begins_by_ts=_start_ts(fields) if op in _BEGINNERS else None,
        event_id=_text(fields, "event_id"),
        correlation_id=_text(fields, "correlation_id"),
    )


def _start_ts(fields: Mapping[str, Any]) -> float:
    """0 for now, and for what is no time."""
    for key in SPELLINGS["start_ts"]:
        if fields.get(key) is not None:
            try:
                return float(command_field_time(fields[key]))
            except (ValueError, TypeError):
                return 0.0
    return 0.0


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    for key in SPELLINGS[name]:
        value = fields.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value).strip()
    return None
