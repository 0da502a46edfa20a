"""How fast it is sent: the backlog keeps to a pace, and everything to the limits of AWS."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cloud.line import Line, names
from VenAgent.cloud.outbox import OutboxMessage, OutboxRank
from VenAgent.cloud.outbox_sender import BURST_SEC, IDLE_SEC, OutboxSenderPace
from VenAgent.cloud.token_bucket import TokenBucket


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
    line = Line(tmp_path / "slow.sqlite", OutboxSenderPace(bytes_per_sec=10_000.0))
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


@pytest.mark.long
@pytest.mark.parametrize("rank", [OutboxRank.ACK, OutboxRank.STATE, OutboxRank.TELEMETRY])
@pytest.mark.parametrize("size", [8_000, 60_000])
def test_aws_limits_hold_in_any_second_whatever_is_sent(
    paced: Line, rank: OutboxRank, size: int
) -> None:
    """100 messages and 512 KiB a second: AWS discards the rest, which would come late and out of
    order."""
    paced.put(*names("old", 100), size=size)
    paced.connect()
    paced.outbox.put(
        [
            OutboxMessage(f"t{n}", f"m{n}".encode().ljust(size), rank)
            for n in range(2_000_000 // size)
        ]
    )
    times: list[float] = []
    for _ in range(400):
        times += [paced.now] * len(paced.pump(0.01))
    assert len(times) > 10
    assert in_any_second(times, [1] * len(times)) <= 100
    assert in_any_second(times, [size + 8] * len(times)) <= 512 * 1024


def test_acks_that_wait_for_the_limit_wake_the_link_when_it_allows_the_next(paced: Line) -> None:
    paced.put(*names("a", 30), rank=OutboxRank.ACK)
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
