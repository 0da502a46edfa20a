"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """`ok` is None where it could not be looked at, or there is nothing to look at."""

    name: str
    ok: bool | None
    text: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
