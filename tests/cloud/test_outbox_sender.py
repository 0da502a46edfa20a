"""What is sent when: acks first, live telemetry at once, the backlog beside it."""

from __future__ import annotations

from pathlib import Path

from tests.cloud.line import Line, names
from VenAgent.cloud.outbox import OutboxRank
from VenAgent.cloud.outbox_sender import (
    BACKLOG_WINDOW,
    LIVE_SEC,
    LIVE_WINDOW,
    URGENT_WINDOW,
    OutboxSenderPace,
)


def test_after_an_outage_acks_and_alerts_go_first_and_in_order(unpaced: Line) -> None:
    unpaced.put(*names("t", 50))
    unpaced.put("a0", rank=OutboxRank.ACK)
    unpaced.put("a1", rank=OutboxRank.ALERT)
    unpaced.put("a2", rank=OutboxRank.ACK)
    unpaced.connect()
    came = unpaced.run(2.0)
    assert came[:3] == ["a0", "a1", "a2"]
    assert came[3:] == names("t", 50)
    assert unpaced.outbox.depth() == 0


def test_what_may_be_late_goes_last_and_is_paced(paced: Line) -> None:
    paced.put(*names("b", 3), rank=OutboxRank.BULK)
    paced.put(*names("t", 30))
    paced.connect()
    came = paced.run(2.0)
    assert came == names("t", 30) + names("b", 3)
    paced.put(*names("b", 100), rank=OutboxRank.BULK)
    assert len(paced.run(1.0)) <= 63  # 50 a second, and a burst of 12
    paced.put("ack", rank=OutboxRank.ACK)
    assert paced.pump()[0] == "ack"


def test_live_telemetry_goes_before_the_backlog(paced: Line) -> None:
    paced.put(*names("old", 1_000))
    paced.connect()
    paced.run(1.0)
    paced.put("live1", "live2")
    assert paced.pump()[:2] == ["live1", "live2"]


def test_live_telemetry_is_not_paced(tmp_path: Path) -> None:
    line = Line(tmp_path / "slow.sqlite", OutboxSenderPace(messages_per_sec=0.1))
    line.put(*names("t", 20))
    assert line.pump() == names("t", 20)
    line.close()


def test_an_ack_finds_room_when_the_window_is_full_of_telemetry(unpaced: Line) -> None:
    unpaced.put(*names("old", 100))
    unpaced.connect()
    assert len(unpaced.pump()) == BACKLOG_WINDOW
    unpaced.put(*names("live", 100))
    assert len(unpaced.pump(confirm=False)) == LIVE_WINDOW - BACKLOG_WINDOW
    unpaced.put("ack", rank=OutboxRank.ACK)
    assert unpaced.pump(confirm=False) == ["ack"]


def test_no_more_than_the_window_is_in_flight(unpaced: Line) -> None:
    unpaced.put(*names("a", 100), rank=OutboxRank.ACK)
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
