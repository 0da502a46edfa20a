"""What every message shares: how it is written and read, and the frozen model it is made from.

Nothing that comes from outside is parsed but by `decode_json`: its size is bounded before it is
looked at, its depth before it is parsed, and what two readers could understand differently is
refused.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import ReasonCode

MAX_INPUT_BYTES = 131_072
"""AWS IoT Core's limit for a message."""
MAX_DEPTH = 16
"""Of nested objects and lists. Commands need 3, a shadow with its metadata 7."""
MAX_NUMBER_DIGITS = 64
"""Python's conversion of a longer number takes a time that grows with the square."""

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
"""An unfinished string is matched to its end: no text makes this search anything twice."""

_BAD = object()


class JsonModel(BaseModel):
    """A frozen message. Field names are ours, with units; on the wire they are camelCase."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )

    def to_wire(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, mode="json")


def encode_json(message: dict[str, Any]) -> bytes:
    """UTF-8 JSON without blanks. Raises ValueError for NaN and infinity: JSON has none."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def decode_json(
    payload: bytes | str, *, max_bytes: int = MAX_INPUT_BYTES, max_depth: int = MAX_DEPTH
) -> dict[str, Any]:
    """The JSON object in `payload`. Raises MessageRefused, and nothing else."""
    size = len(payload) if isinstance(payload, bytes) else len(payload.encode(errors="replace"))
    if size > max_bytes:
        raise MessageRefused(ReasonCode.TOO_LARGE, f"the message is larger than {max_bytes} bytes")
    try:
        text = payload.decode("utf-8-sig") if isinstance(payload, bytes) else payload
    except UnicodeDecodeError as error:
        raise MessageRefused(ReasonCode.NOT_JSON, f"not JSON: not UTF-8 ({error.reason})") from None
    if _is_deeper(text, max_depth):
        raise MessageRefused(
            ReasonCode.TOO_DEEP, f"objects and lists are nested more than {max_depth} deep"
        )
    strict = _Strict()
    try:
        message = json.loads(
            text,
            object_pairs_hook=strict.object,
            parse_int=strict.whole,
            parse_float=strict.fraction,
            parse_constant=strict.constant,
        )
    except ValueError as error:
        raise MessageRefused(ReasonCode.NOT_JSON, f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise MessageRefused(ReasonCode.NOT_AN_OBJECT, "not a JSON object")
    if strict.found is not None:
        raise MessageRefused(*strict.found, readable=message)
    return message


class _Strict:
    """Hooks for json.loads that note the first thing that the JSON standard leaves open.

    They do not stop at it: the rest of the message tells whom to answer.
    """

    def __init__(self) -> None:
        self.found: tuple[ReasonCode, str] | None = None
        self._unnamed = ""
        """Of a bad number, until the object that it stands in tells its key."""

    def _note(self, code: ReasonCode, reason: str) -> None:
        if self.found is None:
            self.found = (code, reason)

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The object without the keys that stand in it twice: no one knows which was meant."""
        fields = dict(pairs)
        if len(fields) < len(pairs):
            times = Counter(key for key, _ in pairs)
            for key in [key for key, count in times.items() if count > 1]:
                del fields[key]
                self._note(ReasonCode.DUPLICATE_KEY, f"the key {key[:64]!r} stands twice")
        bad = [key for key, value in fields.items() if value is _BAD]
        for key in bad:
            del fields[key]
        if bad and self.found == (ReasonCode.BAD_NUMBER, self._unnamed):
            self.found = (ReasonCode.BAD_NUMBER, f"{bad[0][:64]}: {self._unnamed}")
        return fields

    def _bad(self, reason: str) -> Any:
        if self.found is None:
            self._unnamed = reason
        self._note(ReasonCode.BAD_NUMBER, reason)
        return _BAD

    def whole(self, text: str) -> Any:
        if len(text) <= MAX_NUMBER_DIGITS:
            return int(text)
        return self._bad(f"a number of {len(text)} digits; it must be finite and sensible")

    def fraction(self, text: str) -> Any:
        number = float(text)
        return number if math.isfinite(number) else self._bad(f"{text[:32]} must be finite")

    def constant(self, text: str) -> Any:
        return self._bad(f"{text} is not JSON: a number must be finite")


def _is_deeper(text: str, max_depth: int) -> bool:
    """Whether anything stands deeper than that; counted without recursion, before parsing."""
    if text.count("{") + text.count("[") <= max_depth:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        bracket = match.group()
        if bracket in ("{", "["):
            depth += 1
            if depth > max_depth:
                return True
        elif bracket in ("}", "]"):
            depth -= 1
    return False


def json_number(value: float | None, digits: int = 3) -> float | None:
    """`value` for the wire: rounded, and None for what is not a number."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0


def json_time(ts: float) -> tuple[int, int]:
    """A moment (epoch s) as peers read it: whole seconds, and ms beside them for what measures."""
    ts_ms = round(ts * 1_000)
    return ts_ms // 1_000, ts_ms
