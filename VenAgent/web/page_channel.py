"""What the agent and the page's process say to each other: JSON, a message a line.

The agent holds one end of a socket pair, the page's process the other; nothing else can reach it.

- to the process: first its settings; then `{"id", "result"}` or `{"id", "error"}`, `{"touched"}`
- from it: `{"id", "read", "of"}`, `{"id", "change", "item", "body"}`, `{"log": [level, text]}`;
  last `{"leaving"}`, if it ends because nobody looks
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gevent.lock import Semaphore

MAX_LINE_BYTES = 8_000_000
"""500 events of a large panel are 2 MB."""


class PageChannel:
    """One end. `messages` is for one greenlet, `send` for any."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._one_at_a_time = Semaphore()

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises OSError when the other end is gone, ValueError for what is no JSON (NaN)."""
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._one_at_a_time:
            self._sock.sendall(line)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What comes, until the other end is gone or breaks the rules."""
        for line in self._lines():
            try:
                message = json.loads(line)
            except ValueError:
                return
            if not isinstance(message, dict):
                return
            yield message

    def _lines(self) -> Iterator[bytes]:
        begun = bytearray()
        while len(begun) <= MAX_LINE_BYTES:
            try:
                part = self._sock.recv(262_144)
            except OSError:
                return
            if not part:
                return
            *whole, rest = part.split(b"\n")
            for line in whole:
                yield bytes(begun) + line
                begun.clear()
            begun += rest

    def close(self) -> None:
        self._sock.close()
