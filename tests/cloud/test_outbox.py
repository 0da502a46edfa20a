"""The outbox: nothing is lost in it, and everything leaves it in order."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cloud.outboxes import message, texts, waiting, waiting_texts
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.outbox_file import unused_outbox_file_seq

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = Outbox(path, synced=True)
    yield outbox
    outbox.close()


# ---- what is put in -----------------------------------------------------------------------------


def test_a_message_waits_as_it_was_put_in(path: Path, outbox: Outbox) -> None:
    outbox.put(
        [OutboxMessage("a/b", b"\x00\xff{}", OutboxRank.ACK, retain=True), OutboxMessage("c", b"")]
    )
    first, second = waiting(Outbox(path, synced=False), 10)
    assert (first.topic, first.payload, first.retain) == ("a/b", b"\x00\xff{}", True)
    assert (second.topic, second.payload, second.retain) == ("c", b"", False)


def test_acks_go_first_then_states_then_telemetry_each_in_order(outbox: Outbox) -> None:
    outbox.put([message("t1"), message("a1", OutboxRank.ACK)])
    outbox.put([message("s1", OutboxRank.STATE, "shadow"), message("t2")])
    outbox.put(
        [
            message("a2", OutboxRank.ACK),
            message("s2", OutboxRank.STATE, "other"),
            message("a3", OutboxRank.ACK),
        ]
    )
    assert waiting_texts(outbox) == ["a1", "a2", "a3", "s1", "s2", "t1", "t2"]


def test_a_state_takes_the_place_of_the_waiting_one_of_its_topic(outbox: Outbox) -> None:
    outbox.put(
        [message("old", OutboxRank.STATE, "shadow"), message("beside", OutboxRank.STATE, "other")]
    )
    outbox.put([message("new", OutboxRank.STATE, "shadow")])
    assert waiting_texts(outbox) == ["beside", "new"]


def test_a_state_replaces_no_ack_and_no_telemetry_of_its_topic(outbox: Outbox) -> None:
    outbox.put([message("ack", OutboxRank.ACK), message("telemetry")])
    outbox.put([message("state", OutboxRank.STATE)])
    assert waiting_texts(outbox) == ["ack", "state", "telemetry"]


def test_acks_and_telemetry_of_one_topic_all_stay(outbox: Outbox) -> None:
    outbox.put(
        [message("1", OutboxRank.ACK), message("2", OutboxRank.ACK), message("3"), message("4")]
    )
    assert waiting_texts(outbox) == ["1", "2", "3", "4"]


def test_the_puback_of_a_replaced_state_deletes_nothing_else(outbox: Outbox) -> None:
    outbox.put([message("old", OutboxRank.STATE)])
    (in_flight,) = waiting(outbox, 1)
    outbox.put([message("new", OutboxRank.STATE)])
    outbox.delete([in_flight.id])
    assert waiting_texts(outbox) == ["new"]


def test_a_number_is_never_given_twice(path: Path, outbox: Outbox) -> None:
    """A late PUBACK must not delete another message."""
    outbox.put([message("first")])
    (first,) = waiting(outbox, 1)
    outbox.delete([first.id])
    outbox.close()
    again = Outbox(path, synced=True)
    again.put([message("second")])
    again.delete([first.id])
    assert waiting_texts(again) == ["second"]


def test_messages_are_put_in_all_or_none(path: Path, outbox: Outbox) -> None:
    outbox.put([message("state", OutboxRank.STATE)])

    def fails_in_the_middle() -> Iterator[OutboxMessage]:
        yield message("ack", OutboxRank.ACK)
        yield message("newer", OutboxRank.STATE)
        raise RuntimeError("no third message")

    with pytest.raises(RuntimeError):
        outbox.put(fails_in_the_middle())
    assert waiting_texts(outbox) == ["state"]
    assert waiting_texts(Outbox(path, synced=False)) == ["state"]
    outbox.put([message("after", OutboxRank.ACK)])
    assert waiting_texts(outbox) == ["after", "state"]


# ---- what is taken out --------------------------------------------------------------------------


def test_only_so_many_are_taken_as_asked_for(outbox: Outbox) -> None:
    outbox.put([message(str(number)) for number in range(5)])
    assert texts(waiting(outbox, 2)) == ["0", "1"]
    assert texts(waiting(outbox, 0)) == []


def test_messages_in_flight_are_skipped_and_still_there(outbox: Outbox) -> None:
    outbox.put([message(str(number)) for number in range(5)])
    in_flight = [one.id for one in waiting(outbox, 5)][1:3]
    assert texts(waiting(outbox, 2, skip=in_flight)) == ["0", "3"]
    assert texts(waiting(outbox, 5, skip=iter(in_flight))) == ["0", "3", "4"]
    assert outbox.depth() == 5


def test_a_deleted_message_is_gone_for_good(path: Path, outbox: Outbox) -> None:
    outbox.put([message(str(number)) for number in range(3)])
    outbox.delete([waiting(outbox, 3)[1].id])
    assert waiting_texts(outbox) == ["0", "2"]
    outbox.close()
    assert waiting_texts(Outbox(path, synced=False)) == ["0", "2"]


def test_the_depth_counts_what_is_not_deleted(outbox: Outbox) -> None:
    assert outbox.depth() == 0
    outbox.put([message("1"), message("2", OutboxRank.ACK), message("3", OutboxRank.STATE)])
    outbox.put([message("4", OutboxRank.STATE)])
    assert outbox.depth() == 3
    outbox.delete([waiting(outbox, 1)[0].id])
    assert outbox.depth() == 2


# ---- seq ----------------------------------------------------------------------------------------


def put_telemetry(outbox: Outbox, parts: int = 1) -> None:
    outbox.put_numbered(
        lambda seq: ([message(str(number)) for number in range(seq, seq + parts)], parts)
    )


def test_seq_begins_at_one_and_grows_by_one(outbox: Outbox) -> None:
    for _ in range(3):
        put_telemetry(outbox)
    assert waiting_texts(outbox) == ["1", "2", "3"]


def test_seq_of_an_agent_whose_data_was_removed_repeats_no_number(path: Path) -> None:
    ms = unused_outbox_file_seq()
    assert abs(ms - time.time() * 1e3) < 60_000
    first = Outbox(path, synced=False, first_seq=ms)
    put_telemetry(first, parts=2)
    first.close()
    again = Outbox(path, synced=False, first_seq=ms + 5_000)
    put_telemetry(again)
    assert waiting_texts(again) == [str(ms), str(ms + 1), str(ms + 2)], "the file knows better"
    again.close()
    for file in path.parent.iterdir():
        file.unlink()
    anew = Outbox(path, synced=False, first_seq=ms + 5_000)
    put_telemetry(anew)
    assert waiting_texts(anew) == [str(ms + 5_000)]


def test_a_telemetry_in_parts_uses_as_many_numbers(outbox: Outbox) -> None:
    put_telemetry(outbox, parts=3)
    put_telemetry(outbox)
    assert waiting_texts(outbox) == ["1", "2", "3", "4"]


def test_seq_goes_on_after_reopening_though_the_outbox_is_empty(path: Path, outbox: Outbox) -> None:
    put_telemetry(outbox, parts=2)
    for one in waiting(outbox, 10):
        outbox.delete([one.id])
    outbox.close()
    again = Outbox(path, synced=True)
    put_telemetry(again)
    assert waiting_texts(again) == ["3"]


def test_a_telemetry_that_cannot_be_made_uses_no_number(outbox: Outbox) -> None:
    put_telemetry(outbox)

    def fails(seq: int) -> tuple[list[OutboxMessage], int]:
        raise RuntimeError(f"no telemetry {seq}")

    with pytest.raises(RuntimeError, match="no telemetry 2"):
        outbox.put_numbered(fails)
    put_telemetry(outbox)
    assert waiting_texts(outbox) == ["1", "2"]


def test_a_message_that_cannot_be_kept_uses_no_number(outbox: Outbox) -> None:
    put_telemetry(outbox)
    broken = OutboxMessage("t", None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        outbox.put_numbered(lambda seq: ([message("fine"), broken], 2))
    put_telemetry(outbox)
    assert waiting_texts(outbox) == ["1", "2"]


# ---- two threads, and a kill --------------------------------------------------------------------


def test_two_connections_in_two_threads_lose_nothing_and_send_nothing_twice(path: Path) -> None:
    puts = 150
    made, done = threading.Event(), threading.Event()

    def put_all() -> int:
        outbox = Outbox(path, synced=True)
        made.set()
        try:
            for number in range(puts):
                outbox.put([message(f"a{number}", OutboxRank.ACK)])
                outbox.put_numbered(lambda seq: ([message(f"t{seq}")], 1))
                if number % 10 == 0:
                    waiting(outbox, 20)
            return outbox.depth()
        finally:
            done.set()
            outbox.close()

    def take_all() -> list[str]:
        assert made.wait(60)  # as in the agent: only one makes a file, SQLite waits for no other
        outbox = Outbox(path, synced=False)
        taken: list[str] = []
        while True:
            last_look = done.is_set()
            found = waiting(outbox, 20)
            for one in found:
                taken.append(one.payload.decode())
                outbox.delete([one.id])
            if last_look and not found:
                outbox.close()
                return taken

    with ThreadPoolExecutor(2) as threads:
        taking = threads.submit(take_all)
        putting = threads.submit(put_all)
        putting.result(timeout=60)
        taken = taking.result(timeout=60)
    assert [text for text in taken if text[0] == "a"] == [f"a{n}" for n in range(puts)]
    assert [text for text in taken if text[0] == "t"] == [f"t{n}" for n in range(1, puts + 1)]
    assert Outbox(path, synced=False).depth() == 0


def test_a_put_waits_for_the_other_side_to_finish(path: Path, outbox: Outbox) -> None:
    """It does not fail because the other connection is writing at that moment."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    finished = threading.Event()

    def finish() -> None:
        time.sleep(0.2)
        finished.set()
        other.execute("COMMIT")

    thread = threading.Thread(target=finish)
    thread.start()
    outbox.put([message("late")])
    assert finished.is_set(), "it has waited"
    thread.join()
    other.close()
    assert waiting_texts(outbox) == ["late"]


PUTTER = """
import sys
from pathlib import Path
from VenAgent.cloud.outbox import OutboxMessage, Outbox, OutboxRank
from VenAgent.cloud.outbox_file import unused_outbox_file_seq

outbox = Outbox(Path(sys.argv[1]), synced=True)
told = 0
while True:
    told += 1
    outbox.put_numbered(lambda seq: ([OutboxMessage("t", b"%d" % seq)], 1))
    outbox.put([OutboxMessage("a", b"a%d" % told, OutboxRank.ACK)])
    print(told, flush=True)
"""


@pytest.mark.long
def test_killed_at_any_moment_it_has_all_that_was_put_in(path: Path) -> None:
    told = 0
    for least in (1, 23, 50):
        with subprocess.Popen(
            [sys.executable, "-c", PUTTER, str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as putter:
            assert putter.stdout is not None
            lines = [putter.stdout.readline() for _ in range(least)]
            putter.kill()
            lines += putter.stdout.read().splitlines()
        told += len(lines)
    outbox = Outbox(path, synced=True)
    taken = waiting_texts(outbox)
    telemetry = [int(text) for text in taken if text[0] != "a"]
    # Over three lives: no gap, no repetition; at most one more a life than it could tell of.
    assert telemetry == list(range(1, len(telemetry) + 1))
    assert told <= len(telemetry) <= told + 3
    assert told <= len(taken) - len(telemetry) <= len(telemetry)
    outbox.close()
