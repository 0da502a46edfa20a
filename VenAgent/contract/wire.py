"""What every message shares: how it is written to bytes, and the frozen model it is made from."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """A frozen message. Field names are ours, with units; on the wire they are camelCase."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )

    def to_wire(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, mode="json")


def encode(message: dict[str, Any]) -> bytes:
    """UTF-8 JSON without blanks. Raises ValueError for NaN and infinity: JSON has none."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def rounded(value: float | None, digits: int = 3) -> float | None:
    """`value` for the wire: rounded, and None for what is not a number."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
