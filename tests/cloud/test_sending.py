"""What is sent when: acks first, live telemetry at its cadence, the backlog beside it and paced."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from VenAgent.cloud.outbox import Message, Outbox, Rank, Waiting
from VenAgent.cloud.sending import (
    BACKLOG_WINDOW,
    BURST_SEC,
    IDLE_SEC,
    LIVE_SEC,
    LIVE_WINDOW,
    URGENT_WINDOW,
    Pace,
    Sender,
    TokenBucket,
)

UNPACED = Pace(messages_per_sec=1e9, bytes_per_sec=1e12)


class FarEnd:
    """A broker that takes everything and confirms when told."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.unconfirmed: list[int] = []

    def publish(self, waiting: Waiting) -> int:
        mid = len(self.came) + 1
        self.came.append(waiting.payload.rstrip(b" ").decode())
        self.unconfirmed.append(mid)
        return mid


class Line:
    """An outbox, a sender on it, and the time."""

    def __init__(self, path: Path, pace: Pace) -> None:
        self.outbox = Outbox(path, synced=False)
        self.far_end = FarEnd()
        self.pace = pace
        self.now = 1_000.0
        self.connect()

    def connect(self) -> None:
        self.far_end.unconfirmed.clear()
        self.sender = Sender(self.outbox, self.far_end.publish, self.pace, self.now)

    def put(self, *texts: str, rank: Rank = Rank.TELEMETRY, size: int = 0) -> None:
        self.outbox.put([Message("t", text.encode().ljust(size), rank) for text in texts])

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


@pytest.fixture
def paced(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "outbox.sqlite", Pace())
    yield line
    line.close()


@pytest.fixture
def unpaced(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "outbox.sqlite", UNPACED)
    yield line
    line.close()


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


# ---- order --------------------------------------------------------------------------------------


def test_after_an_outage_acks_and_alerts_go_first_and_in_order(unpaced: Line) -> None:
    unpaced.put(*names("t", 50))
    unpaced.put("a0", rank=Rank.ACK)
    unpaced.put("a1", rank=Rank.ALERT)
    unpaced.put("a2", rank=Rank.ACK)
    unpaced.connect()
    came = unpaced.run(2.0)
    assert came[:3] == ["a0", "a1", "a2"]
    assert came[3:] == names("t", 50)
    assert unpaced.outbox.depth() == 0


def test_what_may_be_late_goes_last_and_is_paced(paced: Line) -> None:
    paced.put(*names("b", 3), rank=Rank.BULK)
    paced.put(*names("t", 30))
    paced.connect()
    came = paced.run(2.0)
    assert came == names("t", 30) + names("b", 3)
    paced.put(*names("b", 100), rank=Rank.BULK)
    assert len(paced.run(1.0)) <= 63  # 50 a second, and a burst of 12
    paced.put("ack", rank=Rank.ACK)
    assert paced.pump()[0] == "ack"


def test_live_telemetry_goes_before_the_backlog(paced: Line) -> None:
    paced.put(*names("old", 1_000))
    paced.connect()
    paced.run(1.0)
    paced.put("live1", "live2")
    assert paced.pump()[:2] == ["live1", "live2"]


def test_live_telemetry_is_not_paced(tmp_path: Path) -> None:
    line = Line(tmp_path / "slow.sqlite", Pace(messages_per_sec=0.1))
    line.put(*names("t", 20))
    assert line.pump() == names("t", 20)
    line.close()


def test_an_ack_finds_room_when_the_window_is_full_of_telemetry(unpaced: Line) -> None:
    unpaced.put(*names("old", 100))
    unpaced.connect()
    assert len(unpaced.pump()) == BACKLOG_WINDOW
    unpaced.put(*names("live", 100))
    assert len(unpaced.pump(confirm=False)) == LIVE_WINDOW - BACKLOG_WINDOW
    unpaced.put("ack", rank=Rank.ACK)
    assert unpaced.pump(confirm=False) == ["ack"]


def test_no_more_than_the_window_is_in_flight(unpaced: Line) -> None:
    unpaced.put(*names("a", 100), rank=Rank.ACK)
    unpaced.put(*names("t", 100))
    assert unpaced.pump() == names("a", URGENT_WINDOW)
    assert unpaced.pump(confirm=False) == []
    assert unpaced.outbox.depth() == 200


def test_what_was_in_flight_when_the_connection_went_is_sent_again_first(unpaced: Line) -> None:
    unpaced.put(*names("t", 30))
    unpaced.connect()
    assert unpaced.pump() == names("t", 20)
    unpaced.connect()
    assert unpaced.run(1.0) == names("t", 30)


def test_a_puback_after_the_next_pump_deletes_its_message(unpaced: Line) -> None:
    unpaced.put("t0", "t1")
    unpaced.pump()
    unpaced.sender.confirmed(2)
    unpaced.pump(confirm=False)
    assert [one.payload for one in unpaced.outbox.telemetry(10)] == [b"t0"]
    unpaced.sender.confirmed(99)  # the birth message has no row
    assert unpaced.pump(confirm=False) == []


def test_telemetry_that_a_slow_link_could_not_take_becomes_backlog(unpaced: Line) -> None:
    """Nothing is confirmed for a while; afterwards the newest do not wait behind the old."""
    unpaced.put(*names("stuck", 100))
    assert len(unpaced.pump()) == LIVE_WINDOW
    for _ in range(int(LIVE_SEC) + 6):
        unpaced.pump(1.0, confirm=False)
    unpaced.put("live")
    assert unpaced.pump()[0] == "live"


def test_which_message_has_waited_longest_for_its_puback(unpaced: Line) -> None:
    assert unpaced.sender.oldest is None
    unpaced.put("t0")
    unpaced.pump()
    unpaced.put("t1")
    unpaced.pump(5.0, confirm=False)
    assert unpaced.sender.oldest is not None
    assert (unpaced.sender.oldest.topic, unpaced.sender.oldest.at) == ("t", unpaced.now - 5.0)
    unpaced.confirm()
    assert unpaced.sender.oldest is None


# ---- pace ---------------------------------------------------------------------------------------


def test_the_backlog_keeps_to_50_messages_a_second(paced: Line) -> None:
    paced.put(*names("t", 1_000))
    paced.connect()
    came = paced.run(10.0)
    assert came == names("t", len(came))
    assert 495 <= len(came) <= 500 + 50 * BURST_SEC + 1


def test_the_backlog_keeps_to_256_kib_a_second(paced: Line) -> None:
    paced.put(*names("t", 200), size=16 * 1024)
    paced.connect()
    came = paced.run(10.0)
    assert 158 <= len(came) <= 160 + 16 * BURST_SEC + 1


def test_a_message_larger_than_a_second_of_the_pace_passes(tmp_path: Path) -> None:
    line = Line(tmp_path / "slow.sqlite", Pace(bytes_per_sec=10_000.0))
    line.put("large", "next", size=100_000)
    line.connect()
    assert line.run(5.0) == ["large"]
    assert line.run(6.0) == ["next"]
    line.close()


def test_live_telemetry_counts_in_the_pace_so_that_both_together_keep_it(paced: Line) -> None:
    paced.put(*names("old", 1_000))
    paced.connect()
    came = []
    for second in range(10):
        paced.put(*names(f"live{second}.", 20))
        came += paced.run(1.0)
    assert len([text for text in came if text.startswith("live")]) == 200
    assert 490 <= len(came) <= 500 + 50 * BURST_SEC + 20


def in_any_second(times: list[float], sizes: list[int]) -> int:
    """The most of `sizes` that a second holds."""
    return max(
        sum(size for at, size in zip(times, sizes, strict=True) if begin <= at < begin + 1.0)
        for begin in times
    )


@pytest.mark.parametrize("rank", [Rank.ACK, Rank.STATE, Rank.TELEMETRY])
@pytest.mark.parametrize("size", [8_000, 60_000])
def test_aws_limits_hold_in_any_second_whatever_is_sent(paced: Line, rank: Rank, size: int) -> None:
    """100 messages and 512 KiB a second: AWS discards the rest, which would come late and out of
    order."""
    paced.put(*names("old", 100), size=size)
    paced.connect()
    paced.outbox.put(
        [Message(f"t{n}", f"m{n}".encode().ljust(size), rank) for n in range(2_000_000 // size)]
    )
    times: list[float] = []
    for _ in range(400):
        times += [paced.now] * len(paced.pump(0.01))
    assert len(times) > 10
    assert in_any_second(times, [1] * len(times)) <= 100
    assert in_any_second(times, [size + 8] * len(times)) <= 512 * 1024


def test_acks_that_wait_for_the_limit_wake_the_link_when_it_allows_the_next(paced: Line) -> None:
    paced.put(*names("a", 30), rank=Rank.ACK)
    assert len(paced.pump()) == 20
    assert 0 < paced.wait_sec < 0.05
    assert paced.sender.held_back, "a link that stops waits for it"
    came = paced.run(1.0)
    assert came == names("a", 30)[20:]
    assert not paced.sender.held_back


def test_it_wakes_for_the_backlog_ten_times_a_second_and_no_more(paced: Line) -> None:
    paced.put(*names("t", 1_000))
    paced.connect()
    paced.pump()
    assert 0.1 <= paced.wait_sec <= 0.2
    paced.run(1.0)


def test_without_a_backlog_it_is_idle(paced: Line) -> None:
    paced.pump()
    assert paced.wait_sec == IDLE_SEC
    paced.put("t")
    paced.pump()
    paced.pump(1.0)
    assert paced.wait_sec == IDLE_SEC


@given(
    rate=st.floats(1.0, 1_000.0),
    steps=st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 50.0)), max_size=60),
)
def test_a_bucket_never_gives_more_than_its_rate(
    rate: float, steps: list[tuple[float, float]]
) -> None:
    capacity, now, spent = rate * BURST_SEC, 0.0, 0.0
    bucket = TokenBucket(rate, capacity, now)
    for passed, amount in steps:
        now += passed
        wait_sec = bucket.wait_sec(now)
        if wait_sec == 0.0:
            assert spent <= now * rate + capacity + 1e-6
            spent += amount
            bucket.spend(amount)
        else:
            now += wait_sec
            assert bucket.wait_sec(now) < 1e-5


# ---- whatever happens in whatever order ---------------------------------------------------------

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""No power fails here: the disk would only take time."""


class LineLife(RuleBasedStateMachine):
    """The agent puts, the link pumps, PUBACKs come or not, connections and processes end."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self.line = Line(Path(self.folder.name) / "outbox.sqlite", Pace(messages_per_sec=40.0))
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

    @rule(rank=st.sampled_from([Rank.ACK, Rank.ALERT]), count=st.integers(1, 3))
    def put_urgent(self, rank: Rank, count: int) -> None:
        texts = [f"u{len(self.urgent) + number}" for number in range(count)]
        self.line.put(*texts, rank=rank)
        self.urgent += texts

    @rule(reports=st.integers(1, 30))
    def report(self, reports: int) -> None:
        for _ in range(reports):
            self.line.outbox.put_numbered(self.make)
            self.seq += 1

    def make(self, seq: int) -> tuple[list[Message], int]:
        assert seq == self.seq + 1
        return [Message(topic, f"{seq}.{topic}".encode()) for topic in ("a", "b")], 1

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


LineLife.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestLineLife = LineLife.TestCase
