"""A small gateway in front of several unit ids: how it is limited. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class GatewayLimits:
    """What a small gateway does: a few connections, and one request at a time."""

    busy_sec: float
    """How long it is busy with each request, whatever the unit."""
    connections: int = 1
    refuse: bool = False
    """A connection too many is refused; otherwise it is accepted and closed."""

    def listed(self) -> dict[str, Any]:
        """In the words of the control port."""
        extra = "refuse" if self.refuse else "close"
        connections = self.connections
        return {
            "kind": "gateway",
            "seconds": self.busy_sec,
            "connections": connections,
            "extra": extra,
        }
