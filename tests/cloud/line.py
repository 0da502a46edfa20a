"""An outbox, a sender on it and a far end that takes everything, without a broker."""

from __future__ import annotations

from pathlib import Path

from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank, OutboxWaitingMessage
from VenAgent.cloud.outbox_sender import OutboxSender, OutboxSenderPace


class FarEnd:
    """A broker that takes everything and confirms when told."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.unconfirmed: list[int] = []

    def publish(self, waiting: OutboxWaitingMessage) -> int:
        mid = len(self.came) + 1
        self.came.append(waiting.payload.rstrip(b" ").decode())
        self.unconfirmed.append(mid)
        return mid


class Line:
    """An outbox, a sender on it, and the time."""

    def __init__(self, path: Path, pace: OutboxSenderPace) -> None:
        self.outbox = Outbox(path, synced=False)
        self.far_end = FarEnd()
        self.pace = pace
        self.now = 1_000.0
        self.connect()

    def connect(self) -> None:
        self.far_end.unconfirmed.clear()
        self.sender = OutboxSender(self.outbox, self.far_end.publish, self.pace, self.now)

    def put(self, *texts: str, rank: OutboxRank = OutboxRank.TELEMETRY, size: int = 0) -> None:
        self.outbox.put([OutboxMessage("t", text.encode().ljust(size), rank) for text in texts])

    def pump(self, after_sec: float = 0.0, *, confirm: bool = True) -> list[str]:
        """What came by it; the broker confirms all before."""
        self.now += after_sec
        if confirm:
            self.confirm()
        before = len(self.far_end.came)
        self.wait_sec = self.sender.pump(self.now)
        return self.far_end.came[before:]

    def confirm(self) -> None:
        while self.far_end.unconfirmed:
            self.sender.confirmed(self.far_end.unconfirmed.pop(0))

    def run(self, seconds: float) -> list[str]:
        """Pump as the link does, whenever it is due, with PUBACKs at once."""
        came, end = self.pump(), self.now + seconds
        while self.now < end:
            due = 0.001 if self.far_end.unconfirmed else self.wait_sec
            came += self.pump(min(due, end - self.now))
        return came

    def close(self) -> None:
        self.outbox.close()


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]
