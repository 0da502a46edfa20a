"""Commands from `ven/cmd/{venId}`: from bytes to a typed command, or to a refusal with a reason.

Every spelling of docs/mqtt-topics.md is understood; each field may stand at the top of the message
or inside `data`. What cannot be obeyed raises `CommandRejected`, which carries enough to answer it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from VenAgent.contract.commands import COMMAND_OF_OP, Command, GetCommand, ShedCommand, event_window
from VenAgent.contract.json_codec import MAX_INPUT_BYTES, MessageRefused, decode_json
from VenAgent.contract.reasons import ReasonCode

LEAST_SHED_KW = 0.001
"""A request below one watt is a mistake in the unit."""


@dataclass(frozen=True)
class CommandLimits:
    """What this site accepts."""

    max_shed_kw: float
    """The panel's rating: a larger request cannot be meant for this site."""
    min_duration_sec: float = 1.0
    max_duration_sec: float = 86_400.0
    max_payload_bytes: int = MAX_INPUT_BYTES
    max_age_sec: float = 900.0
    """Since `issued_ts`: an older event was queued somewhere, and no one waits for it now."""


class CommandRejected(Exception):
    """A command that changes nothing. `reason` is a sentence a person can act on."""

    def __init__(
        self,
        reason: str,
        *,
        op: str = "unknown",
        correlation_id: str | None = None,
        event_id: str | None = None,
        code: ReasonCode = ReasonCode.BAD_FIELD,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.op = op
        self.correlation_id = correlation_id
        self.event_id = event_id


def parse_command(
    payload: bytes | str, *, ven_id: str, limits: CommandLimits, now: float
) -> Command:
    """The command in `payload`, received at `now` (epoch s).

    Raises CommandRejected with the reason; it is the only error.
    """
    message = _decode_json(payload, limits)
    label = _op(message)

    def reject(reason: str, code: ReasonCode = ReasonCode.BAD_FIELD) -> CommandRejected:
        return CommandRejected(reason, **_labels(message), code=code)

    model = COMMAND_OF_OP.get(label)
    if model is None:
        given = isinstance(message.get("op"), str) and message["op"]
        named = f"unknown op {label!r}" if given else "op is missing or not a text"
        raise reject(f"{named}: use one of {', '.join(COMMAND_OF_OP)}", ReasonCode.UNKNOWN_OP)
    foreign = message.get("venId", message.get("ven_id"))
    if foreign is not None and foreign != ven_id:
        reason = f"the command is for venId {str(foreign)[:128]!r}, this is {ven_id!r}"
        raise reject(reason, ReasonCode.OTHER_VEN)
    try:
        command = model.model_validate(message)
    except ValidationError as error:
        raise reject(_explain(error)) from None
    if isinstance(command, ShedCommand):
        problem = _shed_problem(command, limits, now)
        if problem:
            raise reject(problem)
    if isinstance(command, GetCommand) and command.what not in command.choices:
        raise reject(f"what: must be one of {', '.join(command.choices)}")
    return command


def _decode_json(payload: bytes | str, limits: CommandLimits) -> dict[str, Any]:
    """The message's fields, those of `data` included (a field at the top wins)."""
    try:
        message = decode_json(payload, max_bytes=limits.max_payload_bytes)
    except MessageRefused as error:
        labels = _labels(_fields(error.readable))
        raise CommandRejected(str(error), **labels, code=error.code) from None
    if not isinstance(message.get("data"), (dict, type(None))):
        raise CommandRejected("data: must be an object", **_labels(message))
    return _fields(message)


def _fields(message: dict[str, Any]) -> dict[str, Any]:
    data = message.get("data")
    inner = data.items() if isinstance(data, dict) else ()
    fields = (*inner, *((key, value) for key, value in message.items() if key != "data"))
    # A null under one spelling is no value: it must not hide one under another.
    return {key: value for key, value in fields if value is not None}


def _op(message: dict[str, Any]) -> str:
    op = message.get("op")
    return op[:64] if isinstance(op, str) and op else "unknown"


def _labels(message: dict[str, Any]) -> dict[str, Any]:
    """What a refusal is answered under, however wrong the rest of the message is."""
    return {
        "op": _op(message),
        "correlation_id": _label(message, "correlationId", "correlation_id"),
        "event_id": _label(message, "event_id", "eventId"),
    }


def _label(message: dict[str, Any], *names: str) -> str | None:
    """An identifier to answer with, however wrong the rest of the message is."""
    for name in names:
        value = message.get(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)[:256]
    return None


def _explain(error: ValidationError) -> str:
    """pydantic's findings as one line: field, what is wrong."""
    findings = []
    for finding in error.errors(include_url=False):
        field = ".".join(str(part) for part in finding["loc"]) or "command"
        text = finding["msg"].removeprefix("Value error, ")
        findings.append(f"{field}: {'is missing' if finding['type'] == 'missing' else text}")
    return "; ".join(findings)


def _shed_problem(command: ShedCommand, limits: CommandLimits, now: float) -> str | None:
    """What keeps a well-formed shed command from being obeyed; None when nothing does."""
    if command.shed_kw <= 0:
        return f"shed_kw: must be above 0, got {command.shed_kw:g}"
    if command.shed_kw < LEAST_SHED_KW:
        return f"shed_kw: {command.shed_kw:g} kW is less than one watt"
    if command.shed_kw > limits.max_shed_kw:
        return (
            f"shed_kw: {command.shed_kw:g} kW is more than the panel's rating "
            f"of {limits.max_shed_kw:g} kW"
        )
    start_ts, end_ts = event_window(command, now)
    if command.start_ts is not None and command.end_ts is not None and end_ts <= start_ts:
        return "end_ts: must be later than start_ts"
    if end_ts <= now:
        return "the event's end is in the past"
    duration_sec = end_ts - start_ts
    if not limits.min_duration_sec <= duration_sec <= limits.max_duration_sec:
        return (
            f"duration_sec: {duration_sec:g} s is outside "
            f"{limits.min_duration_sec:g} … {limits.max_duration_sec:g} s"
        )
    if command.expires_ts is not None and command.expires_ts <= now:
        return "the command has expired (expires_ts)"
    if command.issued_ts is not None and now - command.issued_ts > limits.max_age_sec:
        age_sec = now - command.issued_ts
        return (
            f"issued_ts: the command was issued {age_sec:.0f} s ago, more than "
            f"{limits.max_age_sec:g} s: send it anew if it is still meant"
        )
    if command.modification < 0:
        return "modification: must be 0 or more"
    return None
