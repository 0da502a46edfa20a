"""An outbox with a long backlog: what the agent's hub does with it stays small."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from VenAgent.cloud import mqtt_thread as connection_module
from VenAgent.cloud import outbox_file
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.mqtt_thread import MqttThread
from VenAgent.cloud.outbox import CHECKPOINT_SEC, Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.outbox_sender import OutboxSender, OutboxSenderPace
from VenAgent.cloud.thread_handoff import ThreadHandoff
from VenAgent.config.cloud_config import CloudBrokerConfig

ROWS = 20_000
STEPS_AT_ONCE = 100
"""SQLite tells of every hundredth step of its machine."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def steps(outbox: Outbox, work: Callable[[], object]) -> int:
    """What SQLite does for it, in steps of its machine: the same on every computer."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += STEPS_AT_ONCE
        return 0

    outbox._db.set_progress_handler(count, STEPS_AT_ONCE)
    work()
    outbox._db.set_progress_handler(None, STEPS_AT_ONCE)
    return counted


def put_reports(outbox: Outbox, reports: int, size: int = 1) -> None:
    lot = [OutboxMessage(topic, b"x" * size) for topic in ("a", "b")]
    for _ in range(reports):
        outbox.put(lot)


@pytest.fixture
def large(path: Path) -> Outbox:
    """Filled with reports that are numbered as they would be."""
    outbox = Outbox(path, synced=False)
    with outbox._db:
        outbox._db.execute("BEGIN")
        outbox._db.executemany(
            "INSERT INTO outbox (rank, nth, put_ts, retain, topic, payload) VALUES (2,?,0,0,?,'x')",
            [(1 + number // 2, "ab"[number % 2]) for number in range(ROWS)],
        )
    outbox.put([OutboxMessage("late", b"x", OutboxRank.BULK)])
    return outbox


def test_what_is_done_with_each_report_does_not_grow_with_the_backlog(large: Outbox) -> None:
    first = steps(large, lambda: put_reports(large, 1))
    assert first < 15_000, "it learns the numbers of the last reports"
    for work in (
        lambda: put_reports(large, 1),
        lambda: large.bulk_waits("late"),
        lambda: large.urgent(40),
        lambda: large.telemetry(20, range(1, 20)),
        lambda: large.telemetry(30, after=large.newest() - 10),
        large.newest,
        large.backlog,
    ):
        assert steps(large, work) <= 2_000


def test_a_report_goes_on_with_the_numbers_of_its_topic_after_a_start(large: Outbox) -> None:
    put_reports(large, 1)
    newest = large._db.execute("SELECT topic, MAX(nth) FROM outbox WHERE rank = 2 GROUP BY topic")
    assert dict(newest.fetchall()) == {"a": ROWS // 2 + 1, "b": ROWS // 2 + 1}


@pytest.mark.long
def test_thinning_looks_at_no_row_again_for_nothing(large: Outbox) -> None:
    """But for the whole of a level once, and the place of the newest quarter now and then."""
    most = spent = 0
    for _ in range(ROWS * 5 // 8 // 32):
        did = steps(large, lambda: large.thin(32))
        most, spent = max(most, did), spent + did
    assert most < 20 * ROWS
    assert spent < 300 * ROWS


def test_what_a_failed_put_had_chosen_is_thinned_by_the_next(path: Path) -> None:
    outbox = Outbox(path, synced=False)
    put_reports(outbox, 200)
    outbox.max_bytes = 0
    with pytest.raises(sqlite3.Error):
        outbox.put([OutboxMessage("a", b""), OutboxMessage("a", None)])  # type: ignore[arg-type]
    outbox.thin(10)
    left = [one.id for one in outbox.telemetry(10)]
    assert left == [3, 4, 7, 8, 11, 12, 15, 16, 19, 20], "the oldest odd reports are gone"


# ---- the log is copied into the file by the thread, not by the hub -------------------------------


def test_the_putting_side_leaves_the_log_to_the_other(path: Path) -> None:
    outbox, other = Outbox(path, synced=True), Outbox(path, synced=False)
    before = path.stat().st_size
    put_reports(outbox, 120, size=8_000)  # 1,000 pages are SQLite's own limit
    assert path.stat().st_size == before
    other.checkpoint()
    assert path.stat().st_size > 1_000_000


def test_but_not_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1_000 < outbox_file.PUT_CHECKPOINT_PAGES < 2_000
    monkeypatch.setattr(outbox_file, "PUT_CHECKPOINT_PAGES", 40)
    outbox = Outbox(path, synced=True)
    put_reports(outbox, 20, size=8_000)
    assert path.stat().st_size > 100_000


def test_the_thread_copies_it_when_it_has_nothing_to_do(path: Path) -> None:
    outbox, other = Outbox(path, synced=True), Outbox(path, synced=False)
    sender = OutboxSender(other, lambda waiting: waiting.id, OutboxSenderPace(), 0.0)
    before = path.stat().st_size
    put_reports(outbox, 1, size=8_000)
    sender.pump(1.0)
    sender.pump(CHECKPOINT_SEC + 1)
    assert path.stat().st_size == before, "there is something in flight"
    for row in (1, 2):
        sender.confirmed(row)
    sender.pump(CHECKPOINT_SEC + 2)
    assert path.stat().st_size > before


def test_and_while_the_broker_is_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CHECKPOINT_SEC", 0.0)
    outbox = Outbox(path, synced=True)
    before = path.stat().st_size
    put_reports(outbox, 10, size=8_000)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        handoff = ThreadHandoff()
        settings = MqttSettings(
            broker=CloudBrokerConfig(port=unheard.getsockname()[1]),
            ven_id="site-1",
            status_topic="s",
            subscriptions=(),
            outbox_path=path,
            boot_id="b",
        )
        thread = threading.Thread(target=MqttThread(settings, handoff).run)
        thread.start()
        deadline = time.monotonic() + 10
        while path.stat().st_size == before and time.monotonic() < deadline:
            handoff.wake()
            time.sleep(0.01)
        handoff.stopping = True
        handoff.wake()
        thread.join(60)
        handoff.close()
    assert path.stat().st_size > before
    outbox.close()
