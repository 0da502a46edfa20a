"""How commands leave: an interface, and the choice between its two kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class CommandPublisherMessage:
    topic: str
    payload: bytes


@dataclass(frozen=True)
class CommandPublisherOutcome:
    """What became of a message: when it was handed over, and why it was not confirmed."""

    sent_at: datetime
    error: str | None = None


class CommandPublisher(Protocol):
    @property
    def at_once(self) -> int:
        """How many messages a call of `publish` may have, to be done in its time limit."""

    async def open(self) -> None:
        """Begin to connect, where there is something to connect to."""

    async def publish(
        self, messages: Sequence[CommandPublisherMessage]
    ) -> list[CommandPublisherOutcome]:
        """Publish at QoS 1; an outcome each, in order. Without an error: the broker has it.

        After the time limit nothing of it is handed over any more.
        """

    def problem(self) -> str | None:
        """Why nothing can be published now; None when it can, as far as is known."""

    async def close(self) -> None: ...
