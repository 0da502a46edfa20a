"""Commands from `ven/cmd/{venId}`: from bytes to a typed command, or to a refusal with a reason.

Every spelling of docs/mqtt-topics.md is understood; each field may stand at the top of the message
or inside `data`. What is not understood is refused by name: a slip of the pen must not become
another command. `CommandNotRead` carries enough to answer it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from VenAgent.contract.command_fields import (
    LET_THROUGH,
    SPELLINGS,
    VALUE_READERS,
    command_field_number,
)
from VenAgent.contract.command_limits import CommandLimits, command_limit_problem
from VenAgent.contract.commands import COMMAND_OF_OP, Command
from VenAgent.contract.finding_text import finding_text
from VenAgent.contract.json_codec import decode_json
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import Reason, ReasonCode

_ENVELOPE = {key: name for name in ("op", "ven_id") for key in SPELLINGS[name]}
_OF_ANY_OP = {key for model in COMMAND_OF_OP.values() for key in model.spellings()}
_KEY_SHOWN = 64


class CommandNotRead(Exception):
    """A command that changes nothing. `reason` is a sentence a person can act on."""

    def __init__(
        self,
        reason: str,
        *,
        op: str = "unknown",
        correlation_id: str | None = None,
        event_id: str | None = None,
        code: ReasonCode = ReasonCode.BAD_FIELD,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.op = op
        self.correlation_id = correlation_id
        self.event_id = event_id
        self.fingerprint = fingerprint
        """Of its content, if that could be read: its time may have passed since it was obeyed."""


@dataclass(frozen=True)
class _Fields:
    """A message's fields by their names here, and the key under which each stood."""

    values: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: _Fields) -> _Fields:
        """These, and of the other those that are not among them."""
        return _Fields({**other.values, **self.values}, {**other.keys, **self.keys})


def read_command(
    payload: bytes | str, *, ven_id: str, limits: CommandLimits, now: float
) -> Command:
    """The command in `payload`, received at `now` (epoch s).

    Raises CommandNotRead with the reason; it is the only error.
    """
    message = _decode(payload, limits)
    flat = _flat(message)
    op = _op(flat)
    labels = _labels(flat)

    def reject(reason: Reason, fingerprint: str | None = None) -> CommandNotRead:
        return CommandNotRead(reason.text, **labels, code=reason.code, fingerprint=fingerprint)

    model = COMMAND_OF_OP.get(op)
    if model is None:
        given = isinstance(flat.get("op"), str) and flat["op"]
        named = f"unknown op {op!r}" if given else "op is missing or not a text"
        text = f"{named}: use one of {', '.join(COMMAND_OF_OP)}"
        raise reject(Reason(ReasonCode.UNKNOWN_OP, text))
    foreign = flat.get("venId", flat.get("ven_id"))
    if foreign is not None and foreign != ven_id:
        text = f"the command is for venId {str(foreign)[:128]!r}, this is {ven_id!r}"
        raise reject(Reason(ReasonCode.OTHER_VEN, text))
    try:
        fields = _fields(message, op, model)
        command = model.model_validate({**fields.values, "op": op})
    except _Problem as found:
        raise reject(found.reason) from None
    except ValidationError as error:
        raise reject(_explain(error, fields)) from None
    problem = command_limit_problem(command, limits, now)
    if problem is not None:
        raise reject(problem, command.fingerprint)
    return command


class _Problem(Exception):
    def __init__(self, code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason = Reason(code, text)


def _decode(payload: bytes | str, limits: CommandLimits) -> dict[str, Any]:
    try:
        message = decode_json(payload, max_bytes=limits.max_payload_bytes)
    except MessageRefused as error:
        labels = _labels(_flat(error.readable))
        raise CommandNotRead(str(error), **labels, code=error.code) from None
    if not isinstance(message.get("data"), (dict, type(None))):
        raise CommandNotRead("data: must be an object", **_labels(_flat(message)))
    return message


# ---- the fields, under the names that they have here ---------------------------------------------


def _fields(message: Mapping[str, Any], op: str, model: type[Command]) -> _Fields:
    """The message's fields, at the top and in `data`. Raises _Problem for a field that this op does
    not have, and for one that has two different values, by two spellings or in the two places."""
    spellings = {**model.spellings(), **_ENVELOPE}
    inner = message.get("data") or {}
    outer = {key: value for key, value in message.items() if key != "data"}
    for key in (*outer, *inner):
        if key not in spellings and not key.startswith(LET_THROUGH):
            raise _unknown(key, op, model)
    above, below = _level(outer, spellings), _level(inner, spellings)
    for name, value in above.values.items():
        if name in below.values and not _agree(name, value, below.values[name]):
            raise _Problem(
                ReasonCode.CONTRADICTION,
                f"{above.keys[name]} stands at the top and in data, with different values",
            )
    fields = above.over(below)
    values = {name: value for name, value in fields.values.items() if name not in ("op", "ven_id")}
    for name in model.null_is_no_choice:
        nulls = [key for key in (*outer, *inner) if spellings.get(key) == name]
        if nulls and name not in values:
            raise _null(nulls[0], op)
    if values.get("intervals") == []:
        raise _Problem(ReasonCode.BAD_FIELD, "intervals: there are none in it; leave it out")
    if isinstance(values.get("intervals"), list):
        values = _with_intervals(values, adds_highest="shed_kw" in model.model_fields)
    elif "intervals" in values:
        text = "intervals: must be a list, each with duration_sec and shed_kw or import_kw"
        raise _Problem(ReasonCode.BAD_FIELD, text)
    return _Fields(values, fields.keys)


def _level(given: Mapping[str, Any], spellings: Mapping[str, str]) -> _Fields:
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in given.items():
        # A null under one spelling is no value: it must not hide one under another.
        if value is None or key.startswith(LET_THROUGH):
            continue
        name = spellings[key]
        if name in values and not _agree(name, values[name], value):
            raise _Problem(
                ReasonCode.CONTRADICTION,
                f"{keys[name]} and {key} are two names of one field and have different values",
            )
        values.setdefault(name, value)
        keys.setdefault(name, key)
    return _Fields(values, keys)


def _agree(name: str, one: Any, other: Any) -> bool:
    """Whether two values of a field are read as the same."""
    read = VALUE_READERS.get(name)
    try:
        if read is not None:
            return bool(read(one) == read(other))
    except ValueError:
        pass  # what is wrong with it is said where the field is read
    return type(one) is type(other) and bool(one == other)


def _with_intervals(values: dict[str, Any], *, adds_highest: bool) -> dict[str, Any]:
    """Without fields of somebody's own inside them. `adds_highest`: the highest level is what is
    shed in all, where that is not said."""
    intervals = [
        {key: value for key, value in each.items() if not key.startswith(LET_THROUGH)}
        if isinstance(each, dict)
        else each
        for each in values["intervals"]
    ]
    if not adds_highest:
        return {**values, "intervals": intervals}
    given = [each.get("shed_kw") for each in intervals if isinstance(each, dict)]
    try:
        levels: list[Any] = [command_field_number(level) for level in given if level is not None]
        highest = {"shed_kw": max(levels)} if levels else {}
    except (ValueError, TypeError):
        highest = {"shed_kw": 0.0}  # what is wrong with a level is said where it is read
    return {**highest, **values, "intervals": intervals}


def _unknown(key: str, op: str, model: type[Command]) -> _Problem:
    """What to say of a field that the op does not have: the nearest that it has, or all."""
    own = list(model.spellings())
    start = key[:_KEY_SHOWN]
    shown = start if start.isprintable() and start else ascii(start)
    has = f"{op} has {', '.join(_first_names(model))}"
    if key in _OF_ANY_OP:
        return _Problem(
            ReasonCode.FIELD_NOT_APPLICABLE, f"{shown}: {op} has no use for this field; {has}"
        )
    by_lower = {each.lower(): each for each in (*own, *_ENVELOPE)}
    near = difflib.get_close_matches(start.lower(), by_lower, n=1, cutoff=0.6)
    hint = f"did you mean {by_lower[near[0]]}?" if near else has
    return _Problem(ReasonCode.UNKNOWN_FIELD, f"{shown}: there is no such field; {hint}")


def _null(key: str, op: str) -> _Problem:
    """A name that was looked up and not found must not mean "whatever there is"."""
    without = "all circuits" if key in SPELLINGS["circuit_id"] else "the active event"
    text = f"{key}: is null; {op} needs a value here; without the field it means {without}"
    return _Problem(ReasonCode.BAD_FIELD, text)


def _first_names(model: type[Command]) -> Iterator[str]:
    """One spelling of each field that the op has."""
    seen = set()
    for key, name in model.spellings().items():
        if name not in seen and name != "op":
            seen.add(name)
            yield key


_INTERVAL_WORDS = {
    "extra_forbidden": (
        "there is no such field; an interval has duration_sec, shed_kw and import_kw"
    ),
    "model_type": "must be an object with duration_sec and shed_kw or import_kw",
}
"""For what is found of an interval, by pydantic's type of it."""


def _explain(error: ValidationError, fields: _Fields) -> Reason:
    """pydantic's findings as one line: field, what is wrong."""
    findings, code = [], ReasonCode.BAD_FIELD
    errors = error.errors(include_url=False)
    for finding in errors:
        name, *inner = finding["loc"] or ("command",)
        first = SPELLINGS.get(str(name), (str(name),))[0]
        where = ".".join([fields.keys.get(str(name), first), *(str(part) for part in inner)])
        text = _INTERVAL_WORDS.get(finding["type"]) or finding_text(finding)
        findings.append(f"{where}: {text}")
    if all(finding["type"] == "missing" for finding in errors):
        code = ReasonCode.MISSING_FIELD
    elif all(finding["type"] == "extra_forbidden" for finding in errors):
        code = ReasonCode.UNKNOWN_FIELD
    return Reason(code, "; ".join(findings[:8]))


# ---- whom a refusal is answered to ---------------------------------------------------------------


def _flat(message: Mapping[str, Any]) -> dict[str, Any]:
    """All that stands in a message, to tell whom to answer; a field at the top wins."""
    data = message.get("data")
    inner = data.items() if isinstance(data, dict) else ()
    fields = (*inner, *((key, value) for key, value in message.items() if key != "data"))
    return {key: value for key, value in fields if value is not None}


def _op(message: Mapping[str, Any]) -> str:
    op = message.get("op")
    return op[:64] if isinstance(op, str) and op else "unknown"


def _labels(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a refusal is answered under, however wrong the rest of the message is."""
    return {
        "op": _op(message),
        "correlation_id": _label(message, *SPELLINGS["correlation_id"]),
        "event_id": _label(message, *SPELLINGS["event_id"]),
    }


def _label(message: Mapping[str, Any], *names: str) -> str | None:
    """An identifier to answer with, however wrong the rest of the message is."""
    for name in names:
        value = message.get(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)[:256]
    return None
