"""Messages of the VOLTTRON bus on their way to MQTT: a bounded queue, emptied into batches.

Taking one in costs as little as can be, so that a flood costs little; a message is made JSON only
when its batch is, and what does not find room is dropped, oldest first, and counted.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from VenAgent.contract import MAX_PAYLOAD_BYTES, SCHEMA_VERSION

MAX_ENTRY_BYTES = 32_768
"""A larger message of the bus is dropped: it is not what this bridge is for."""
MAX_LEVELS = 12


class BusBatches:
    """The queue of one bridge. Times are epoch seconds."""

    def __init__(self, ven_id: str, queue_length: int) -> None:
        self._ven_id = ven_id
        self._queue: deque[tuple[str, float, Mapping[str, Any], Any]] = deque()
        self._queue_length = queue_length
        self.forwarded = 0
        self.dropped = 0
        """For want of room or time, since the bridge began."""
        self.unfit = 0
        """Too large, or not JSON."""

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, topic: str, ts: float, headers: Mapping[str, Any], message: Any) -> None:
        if len(self._queue) >= self._queue_length:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((topic, ts, headers, message))

    def take(self, limit: int) -> Iterator[bytes | None]:
        """The next batch's payload, of up to `limit` messages, as the last thing yielded.

        It yields None now and then on the way: a chance for others.
        """
        entries: list[bytes] = []
        size = 512  # of the frame
        while self._queue and len(entries) < limit:
            entry = _entry(*self._queue[0])
            if entry is None:
                self.unfit += 1
            elif size + len(entry) + 1 > MAX_PAYLOAD_BYTES:
                break
            else:
                entries.append(entry)
                size += len(entry) + 1
            self._queue.popleft()
            yield None
        if entries:
            self.forwarded += len(entries)
            yield self._frame(entries)

    def _frame(self, entries: list[bytes]) -> bytes:
        head = {
            "schemaVersion": SCHEMA_VERSION,
            "venId": self._ven_id,
            "forwarded": self.forwarded,
            "dropped": self.dropped,
        }
        frame = json.dumps(head, separators=(",", ":")).encode()[:-1]
        return frame + b',"messages":[' + b",".join(entries) + b"]}"


def _entry(topic: str, ts: float, headers: Mapping[str, Any], message: Any) -> bytes | None:
    """One message of the bus as JSON; None if it cannot be."""
    entry = {"topic": topic, "ts": round(ts, 3), "headers": dict(headers), "message": message}
    try:
        text = json.dumps(_finite(entry), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        return None
    encoded = text.encode()
    return encoded if len(encoded) <= MAX_ENTRY_BYTES else None


def _finite(value: Any, level: int = 0) -> Any:
    """`value` with null for NaN and infinity, which drivers publish and JSON has no word for.

    Raises ValueError for what is nested too deep.
    """
    if level > MAX_LEVELS:
        raise ValueError("nested too deep")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner, level + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner, level + 1) for inner in value]
    return value
