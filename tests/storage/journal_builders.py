"""Records, acks and questions for the tests of the journal."""

from __future__ import annotations

from typing import Any

from VenAgent.dr.effects import SendAckEffect
from VenAgent.storage.journal import Journal

NOW = 1_760_000_000.0


def record(event_id: str, state: str = "active", **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "state": state, **fields}


def ack(number: int, *, is_reply: bool = True) -> SendAckEffect:
    return SendAckEffect({"correlationId": f"c{number}", "status": "success"}, is_reply=is_reply)


def event_ids(journal: Journal) -> list[str]:
    return [event["event_id"] for event in journal.unfinished()]


def unsent_ids(journal: Journal) -> list[str]:
    return [body["correlationId"] for _, body in journal.unsent()]
