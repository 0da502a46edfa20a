"""Whatever happens in whatever order: nothing that was put is lost, nothing comes out of order."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.cloud.line import Line
from tests.support.example_count import example_count
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.outbox_sender import URGENT_WINDOW, OutboxSenderPace

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""No power fails here: the disk would only take time."""


class LineLife(RuleBasedStateMachine):
    """The agent puts, the link pumps, PUBACKs come or not, connections and processes end."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self.line = Line(
            Path(self.folder.name) / "outbox.sqlite", OutboxSenderPace(messages_per_sec=40.0)
        )
        self.urgent: list[str] = []
        self.seq = 0
        self.thinned = 0
        self.lost_in_flight: Counter[str] = Counter()

    def teardown(self) -> None:
        self.lose_connection()
        came_before = len(self.line.far_end.came)
        while self.line.outbox.depth():
            self.line.pump(0.5)
        self.check(self.line.far_end.came, came_before)
        self.line.close()
        self.folder.cleanup()

    def check(self, came: list[str], drained_from: int) -> None:
        firsts = list(dict.fromkeys(came))
        assert [text for text in firsts if text[0] == "u"] == self.urgent, "acks: all, in order"
        reports = {f"{seq}.{topic}" for seq in range(1, self.seq + 1) for topic in "ab"}
        assert len(reports - set(came)) <= self.thinned, "only what was thinned is missing"
        assert set(came) == (reports & set(came)) | set(self.urgent)
        for text, times in Counter(came).items():
            assert times <= 1 + self.lost_in_flight[text], f"{text} came {times} times"
        rest = [int(text.split(".")[0]) for text in came[drained_from:] if text[0] != "u"]
        assert rest == sorted(rest), "the backlog goes oldest first"

    @rule(rank=st.sampled_from([OutboxRank.ACK, OutboxRank.ALERT]), count=st.integers(1, 3))
    def put_urgent(self, rank: OutboxRank, count: int) -> None:
        texts = [f"u{len(self.urgent) + number}" for number in range(count)]
        self.line.put(*texts, rank=rank)
        self.urgent += texts

    @rule(reports=st.integers(1, 30))
    def report(self, reports: int) -> None:
        for _ in range(reports):
            self.line.outbox.put_numbered(self.make)
            self.seq += 1

    def make(self, seq: int) -> tuple[list[OutboxMessage], int]:
        assert seq == self.seq + 1
        return [OutboxMessage(topic, f"{seq}.{topic}".encode()) for topic in ("a", "b")], 1

    @rule(seconds=st.floats(0.0, 3.0))
    def pump(self, seconds: float) -> None:
        self.line.pump(seconds, confirm=False)

    @precondition(lambda self: self.line.far_end.unconfirmed)
    @rule(data=st.data())
    def puback(self, data: st.DataObject) -> None:
        mids = self.line.far_end.unconfirmed
        for mid in data.draw(st.lists(st.sampled_from(mids), unique=True)):
            mids.remove(mid)
            self.line.sender.confirmed(mid)

    @precondition(lambda self: self.line.outbox.depth())
    @rule(most=st.integers(1, 20))
    def thin(self, most: int) -> None:
        self.thinned += self.line.outbox.thin(most)

    @rule()
    def lose_connection(self) -> None:
        """What the broker has not confirmed, or what was not deleted yet, may come once more."""
        came = self.line.far_end.came
        self.lost_in_flight.update(came[mid - 1] for mid in self.line.far_end.unconfirmed)
        self.lost_in_flight.update(self.confirmed_but_there())
        self.line.connect()

    def confirmed_but_there(self) -> list[str]:
        there = self.line.outbox.urgent(10_000) + self.line.outbox.telemetry(10_000)
        came, flying = self.line.far_end.came, self.line.far_end.unconfirmed
        unconfirmed = {came[mid - 1] for mid in flying}
        waiting = {one.payload.decode() for one in there}
        return [text for text in set(came) & waiting if text not in unconfirmed]

    @rule()
    def crash(self) -> None:
        self.line.outbox.close()
        self.line.outbox = Outbox(Path(self.folder.name) / "outbox.sqlite", synced=False)
        self.lose_connection()

    @invariant()
    def no_more_than_the_window_is_in_flight(self) -> None:
        assert self.line.sender.in_flight <= URGENT_WINDOW
        assert len(self.line.far_end.unconfirmed) == self.line.sender.in_flight


LineLife.TestCase.settings = settings(
    max_examples=example_count(100), stateful_step_count=25, deadline=None
)
TestLineLife = LineLife.TestCase
