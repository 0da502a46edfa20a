"""A message of the broker, as it came."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class InboundMessage:
    """A message as it came, for `acknowledge`."""

    topic: str
    payload: bytes
    mid: int
    """0 for QoS 0, which has nothing to acknowledge."""
    connection: int = 0
    """Which one it came on: the number `mid` means something else on the next."""
    session_present: bool = False
    """Whether the broker had a session of ours then, and may have kept messages for us."""
    expires_at: float | None = None
    """Until when its sender wants it delivered (monotonic s), by MQTT 5's message expiry."""
    kept_ts: float | None = None
    """When it came (epoch s), if an earlier process left it in the inbox."""
    came_at: float = field(default_factory=time.monotonic, compare=False)
    """Monotonic s."""
