"""One message as it arrived, and why one is not stored."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class IngestMessageRefused(Exception):
    """A message that is not stored; the text is the reason."""


class IngestMessageKind(Enum):
    TELEMETRY = "telemetry"
    LOADS = "loads"
    ACK = "ack"
    STATUS = "status"
    ALERT = "alert"
    SHADOW = "shadow"


class IngestMessage(NamedTuple):
    """One message as it arrived. `received` is the server's clock, epoch s."""

    topic: str
    payload: bytes
    received: float
