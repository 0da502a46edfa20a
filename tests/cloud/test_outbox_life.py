"""The outbox, whatever happens in whatever order: put, taken, confirmed, failed, begun again."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.cloud.outboxes import message, texts, waiting, waiting_texts
from tests.support.example_count import example_count
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""No power fails here: the disk would only take time."""

RANKS = st.sampled_from(list(OutboxRank))
TOPICS = st.sampled_from(["x", "y"])
KINDS = st.lists(st.tuples(RANKS, TOPICS), max_size=4)


class OutboxLife(RuleBasedStateMachine):
    """Two connections to one file, as the agent and the thread have, beside a list that says what
    must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self.path = Path(self.folder.name) / "outbox.sqlite"
        self.expected: list[tuple[OutboxRank, str, str]] = []
        self.in_flight: dict[int, str] = {}
        self.put_so_far = 0
        self.seq = 0
        self.open()

    def open(self) -> None:
        self.agent_side = Outbox(self.path, synced=False)
        self.thread_side = Outbox(self.path, synced=False)

    def teardown(self) -> None:
        self.agent_side.close()
        self.thread_side.close()
        self.folder.cleanup()

    def expect(self, rank: OutboxRank, topic: str, text: str) -> None:
        if rank is OutboxRank.STATE:
            self.expected = [one for one in self.expected if one[:2] != (rank, topic)]
        self.expected.append((rank, topic, text))

    def in_order(self) -> list[str]:
        return [text for _, _, text in sorted(self.expected, key=lambda one: one[0])]

    def new_message(self, rank: OutboxRank, topic: str) -> OutboxMessage:
        self.put_so_far += 1
        return message(f"m{self.put_so_far}", rank, topic)

    @rule(kinds=KINDS)
    def put(self, kinds: list[tuple[OutboxRank, str]]) -> None:
        messages = [self.new_message(rank, topic) for rank, topic in kinds]
        self.agent_side.put(messages)
        for one in messages:
            self.expect(one.rank, one.topic, one.payload.decode())

    @rule(kinds=KINDS)
    def put_but_fail(self, kinds: list[tuple[OutboxRank, str]]) -> None:
        broken = OutboxMessage("x", None)  # type: ignore[arg-type]
        messages = [self.new_message(rank, topic) for rank, topic in kinds]
        with pytest.raises(sqlite3.Error):
            self.agent_side.put([*messages, broken])

    @rule(parts=st.integers(1, 3), fails=st.booleans())
    def put_telemetry(self, parts: int, fails: bool) -> None:
        def make(seq: int) -> tuple[list[OutboxMessage], int]:
            assert seq == self.seq + 1
            if fails:
                raise RuntimeError
            return [message(f"seq{seq + part}") for part in range(parts)], parts

        if fails:
            with pytest.raises(RuntimeError):
                self.agent_side.put_numbered(make)
            return
        self.agent_side.put_numbered(make)
        for _ in range(parts):
            self.seq += 1
            self.expect(OutboxRank.TELEMETRY, "t", f"seq{self.seq}")

    @rule(limit=st.integers(0, 5))
    def take(self, limit: int) -> None:
        flying = set(self.in_flight.values())
        left = [text for text in self.in_order() if text not in flying]
        found = waiting(self.thread_side, limit, skip=self.in_flight)
        assert texts(found) == left[:limit]
        self.in_flight |= {one.id: one.payload.decode() for one in found}

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def puback(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.in_flight)))
        text = self.in_flight.pop(number)
        self.thread_side.delete([number])
        self.expected = [one for one in self.expected if one[2] != text]

    @rule()
    def restart(self) -> None:
        """What was in flight is sent again: nobody knows whether it arrived."""
        self.agent_side.close()
        self.thread_side.close()
        self.in_flight.clear()
        self.open()

    @invariant()
    def all_that_was_not_deleted_is_there_in_order(self) -> None:
        assert waiting_texts(self.thread_side) == self.in_order()
        late = [
            topic for rank, topic, _ in self.expected if (rank, topic) == (OutboxRank.BULK, "x")
        ]
        assert self.agent_side.bulk_waits("x") == len(late)
        assert self.agent_side.depth() == len(self.expected)


OutboxLife.TestCase.settings = settings(
    max_examples=example_count(100), stateful_step_count=25, deadline=None
)
TestOutboxLife = OutboxLife.TestCase
