"""Commands from `ven/cmd/{venId}`: from bytes to a typed command, or to a refusal with a reason.

Every spelling of docs/mqtt-topics.md is understood; each field may stand at the top of the message
or inside `data`. What cannot be obeyed raises `CommandRejected`, which carries enough to answer it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
)

from VenAgent.contract.json_codec import MAX_INPUT_BYTES, Refusal, WireError, decode

DEFAULT_DURATION_SEC = 3600.0
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
        kind: Refusal = Refusal.BAD_FIELD,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.op = op
        self.correlation_id = correlation_id
        self.event_id = event_id


def _number(value: Any) -> Any:
    """Numbers, also as numeric strings; never booleans, NaN or infinity."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    if isinstance(value, str):
        try:
            value = float(value.strip())
        except ValueError:
            raise ValueError("must be a number") from None
    if isinstance(value, (int, float)):
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError("must be a finite number")
    return value


def _epoch(value: Any) -> Any:
    """A moment as epoch seconds, or as ISO 8601 (taken as UTC when it names no zone)."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return _number(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return moment.timestamp()
    return _number(value)


def _text(value: Any) -> Any:
    """Identifiers as text; peers send numbers too."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be a text")
    text = str(value).strip()
    if not text:
        raise ValueError("must not be empty")
    if len(text) > 256 or not text.isprintable():
        raise ValueError("must be printable and at most 256 characters")
    return text


def _or_none(read: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else read(value))


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_text)]
NumberOrNone = Annotated[float | None, _or_none(_number)]
WholeOrNone = Annotated[int | None, _or_none(_number)]
EpochOrNone = Annotated[float | None, _or_none(_epoch)]
TextOrNone = Annotated[str | None, _or_none(_text)]

_SHED_KW = AliasChoices("shed_kw", "requestedReductionKw", "requestedShedKw", "amountKw")
_REDUCE_KW = AliasChoices("reduceKw", "amountKw", "shed_kw", "requestedReductionKw")
_CIRCUIT = AliasChoices("loadId", "circuitId")
_EVENT = AliasChoices("event_id", "eventId")


class Command(BaseModel):
    """What every command carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    op: str
    correlation_id: TextOrNone = Field(
        None, validation_alias=AliasChoices("correlationId", "correlation_id")
    )
    event_id: TextOrNone = Field(None, validation_alias=_EVENT)


class ShedCommand(Command):
    """`event` and `shedPanel`: shed `shed_kw` from `start_ts` (now if none) until its end.

    Times are epoch seconds, durations seconds, power kW.
    """

    shed_kw: Number = Field(validation_alias=_SHED_KW)
    duration_sec: NumberOrNone = Field(
        None, validation_alias=AliasChoices("duration_sec", "duration_s", "durationS")
    )
    start_ts: EpochOrNone = Field(None, validation_alias=AliasChoices("start_ts", "startTime"))
    end_ts: EpochOrNone = Field(None, validation_alias=AliasChoices("end_ts", "endTime"))
    modification: Whole = 0
    issued_ts: EpochOrNone = None
    expires_ts: EpochOrNone = None
    event_priority: WholeOrNone = Field(
        None, validation_alias=AliasChoices("event_priority", "priority")
    )


class ShedLoadCommand(ShedCommand):
    """`shedLoad`: the same for one circuit; without a circuit, as `shedPanel`."""

    shed_kw: Number = Field(validation_alias=_REDUCE_KW)
    circuit_id: TextOrNone = Field(None, validation_alias=_CIRCUIT)


class RestoreCommand(Command):
    """`restore`, `restorePanel`: end the event named, or the active one."""


class CancelCommand(Command):
    """`cancel`: withdraw a scheduled event; on an active one as `restore`."""

    modification: Whole = 0
    """The latest one that it withdraws, should it overtake its event on the way."""


class PingCommand(Command):
    """`ping`."""


class GetCommand(Command):
    """`get`: what is one of `choices`."""

    choices: ClassVar[tuple[str, ...]] = ("status", "config", "loads", "shadow")
    what: Text = "status"


class SetCommand(Command):
    """`set`, `setConfig`: intervals in seconds, written to the config store."""

    report_interval_sec: NumberOrNone = Field(
        None, validation_alias=AliasChoices("report_interval_sec", "report_interval_seconds")
    )
    shadow_interval_sec: NumberOrNone = None


class SetLoadCommand(Command):
    """`setLoad`: switch a circuit, or change its priority (1 critical … 5 flexible)."""

    circuit_id: Text = Field(validation_alias=_CIRCUIT)
    enabled: StrictBool | None = None
    priority: WholeOrNone = None


_OPS: dict[str, type[Command]] = {
    "event": ShedCommand,
    "shedPanel": ShedCommand,
    "shedLoad": ShedLoadCommand,
    "restore": RestoreCommand,
    "restorePanel": RestoreCommand,
    "cancel": CancelCommand,
    "ping": PingCommand,
    "get": GetCommand,
    "set": SetCommand,
    "setConfig": SetCommand,
    "setLoad": SetLoadCommand,
}


def parse_command(
    payload: bytes | str, *, ven_id: str, limits: CommandLimits, now: float
) -> Command:
    """The command in `payload`, received at `now` (epoch s).

    Raises CommandRejected with the reason; it is the only error.
    """
    message = _decode(payload, limits)
    label = _op(message)

    def reject(reason: str, kind: Refusal = Refusal.BAD_FIELD) -> CommandRejected:
        return CommandRejected(reason, **_labels(message), kind=kind)

    model = _OPS.get(label)
    if model is None:
        given = isinstance(message.get("op"), str) and message["op"]
        named = f"unknown op {label!r}" if given else "op is missing or not a text"
        raise reject(f"{named}: use one of {', '.join(_OPS)}", Refusal.UNKNOWN_OP)
    foreign = message.get("venId", message.get("ven_id"))
    if foreign is not None and foreign != ven_id:
        reason = f"the command is for venId {str(foreign)[:128]!r}, this is {ven_id!r}"
        raise reject(reason, Refusal.OTHER_VEN)
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


def _decode(payload: bytes | str, limits: CommandLimits) -> dict[str, Any]:
    """The message's fields, those of `data` included (a field at the top wins)."""
    try:
        message = decode(payload, max_bytes=limits.max_payload_bytes)
    except WireError as error:
        labels = _labels(_fields(error.readable))
        raise CommandRejected(str(error), **labels, kind=error.kind) from None
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


def event_window(command: ShedCommand, now: float) -> tuple[float, float]:
    """(start, end) of the event in epoch seconds; an end given wins over a duration."""
    start_ts = now if command.start_ts is None else command.start_ts
    if command.end_ts is not None:
        return start_ts, command.end_ts
    duration_sec = DEFAULT_DURATION_SEC if command.duration_sec is None else command.duration_sec
    return start_ts, start_ts + duration_sec
