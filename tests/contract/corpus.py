"""The corpus: commands as peers and people write them, each with its right answer.

`command_corpus.jsonl` has one a line: `command` (an object) or `payload` (text as it came), and
either `read` (the op and fields that it is read as) or `refused` (the reason's code) with what the
reason must name. Its clock stands at `builders.NOW`; `moved` sets a command to another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.contract.builders import NOW
from VenAgent.contract.command_fields import SPELLINGS, command_field_time

_TIMES = {
    key for name in ("start_ts", "end_ts", "issued_ts", "expires_ts") for key in SPELLINGS[name]
}
_UNITS = ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (1e20, 10**9))


@dataclass(frozen=True)
class CorpusEntry:
    name: str
    payload: str
    command: Mapping[str, Any] | None
    """None: it is no JSON object, or two readers could take it differently."""
    read: Mapping[str, Any] | None
    refused: str | None
    names: str

    def __str__(self) -> str:
        return self.name


def _entry(line: str) -> CorpusEntry:
    row = json.loads(line)
    command = row.get("command")
    payload = row["payload"] if command is None else json.dumps(command)
    return CorpusEntry(
        row["name"], payload, command, row.get("read"), row.get("refused"), row.get("names", "")
    )


CORPUS = [
    _entry(line)
    for line in (Path(__file__).parent / "command_corpus.jsonl").read_text().splitlines()
]
AS_OBJECTS = [entry for entry in CORPUS if entry.command is not None]


def moved(command: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The same command, written when the clock stands at `now`."""
    return {
        key: moved(value, now)
        if isinstance(value, dict)
        else _moved_time(value, now - NOW)
        if key in _TIMES
        else value
        for key, value in command.items()
    }


def _moved_time(value: Any, by_sec: float) -> Any:
    try:
        moment = command_field_time(value)
    except ValueError:
        return value
    if not isinstance(moment, (int, float)) or abs(moment - NOW) > 40 * 366 * 86_400:
        return value
    if isinstance(value, str) and not value.isdigit():
        return datetime.fromtimestamp(moment + by_sec, timezone.utc).isoformat()
    factor = next(factor for below, factor in _UNITS if abs(float(value)) < below)
    shifted = round((moment + by_sec) * factor) if factor > 1 else moment + by_sec
    return str(shifted) if isinstance(value, str) else shifted
