"""What the tests of the outbox say in a word."""

from __future__ import annotations

from collections.abc import Iterable

from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank, OutboxWaitingMessage


def message(text: str, rank: OutboxRank = OutboxRank.TELEMETRY, topic: str = "t") -> OutboxMessage:
    return OutboxMessage(topic, text.encode(), rank)


def texts(waiting: list[OutboxWaitingMessage]) -> list[str]:
    return [one.payload.decode() for one in waiting]


def waiting(outbox: Outbox, limit: int, skip: Iterable[int] = ()) -> list[OutboxWaitingMessage]:
    """As the link takes them: what is urgent, then telemetry, then what may be late."""
    skip = list(skip)
    taken = outbox.urgent(limit, skip)
    taken += outbox.telemetry(limit - len(taken), skip)
    return taken + outbox.bulk(limit - len(taken), skip)


def waiting_texts(outbox: Outbox) -> list[str]:
    return texts(waiting(outbox, 1_000))
