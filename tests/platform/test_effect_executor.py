"""The executor when the disk is full: nothing more is shed, what is shed is restored."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.platform.site import ROOT, wait_for
from VenAgent.cloud.outbox import Outbox, OutboxRank
from VenAgent.config import AgentConfig
from VenAgent.contract.command_reader import read_command
from VenAgent.dr.engine import Engine
from VenAgent.dr.panel import PanelCircuitReading, PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.policy import Policy
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.runtime.recovery import recover_from_journal
from VenAgent.storage.ended_events import EndedEvents
from VenAgent.storage.journal import Journal

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
POLICY = Policy(restore_stagger_sec=0.0)
INSERT_TELEMETRY = (
    "INSERT INTO outbox (rank, nth, put_ts, retain, topic, payload) VALUES (2, 1, 0, 0, ?, ?)"
)


class Building:
    """Meter and actuator of a panel that draws 3 kW on each closed circuit."""

    failure: str | None = None

    def __init__(self) -> None:
        self.points: dict[str, Any] = {}
        self.written: list[PointWrite] = []

    def fresh_reading(self, devices: Iterable[str] | None = None) -> PanelReading:
        circuits = {
            circuit.id: PanelCircuitReading(power_kw=3.0, closed=True, limit=100.0)
            for circuit in CONFIG.circuits
        }
        return PanelReading(time.time(), 24.0, circuits)

    plan_reading = fresh_reading

    def read_now(self) -> bool:
        return True

    def reserve(self, task_id: str, until_ts: float, now: float, **_: Any) -> None:
        return None

    def release(self, task_id: str) -> None:
        return None

    def write(self, writes: Iterable[PointWrite], *_: Any) -> dict[str, str]:
        for write in writes:
            self.written.append(write)
            self.points[write.point] = write.value
        return {}

    put_back = write

    def arm(self) -> None:
        pass

    give_back = arm


class Hands:
    """A executor with real journal and outbox, whose disk can be full."""

    def __init__(self, folder: Path) -> None:
        self.building = Building()
        self.engine = Engine(CONFIG.build_panel(), CONFIG.ven_id, POLICY)
        self.journal = Journal(folder / "journal.sqlite")
        self.ended = EndedEvents(folder / "ended-events.jsonl")
        self.outbox = Outbox(folder / "outbox.sqlite", synced=True)
        building: Any = self.building
        self.executor = EffectExecutor(
            self.engine,
            self.journal,
            self.ended,
            self.outbox,
            building,
            building,
            building,
            ActiveAlerts(CONFIG.ven_id, lambda alert: None),
            CONFIG.topic_names().ack,
            announce=lambda event: None,
            wake_link=lambda: None,
        )

    def send(self, **fields: Any) -> None:
        now = time.time()
        command = read_command(
            json.dumps(fields), ven_id=CONFIG.ven_id, limits=CONFIG.command_limits(), now=now
        )
        self.executor.perform(self.engine.command(command, now))

    def disk_is_full(self, full: bool) -> None:
        """SQLite's own bound on the file's pages: it answers with its own SQLITE_FULL."""
        for database in (self.journal._db, self.outbox._db):
            used = database.execute("PRAGMA page_count").fetchone()[0]
            most = used if full else 1_000_000
            database.execute(f"PRAGMA max_page_count = {most}")

    def acks(self) -> list[str]:
        """The correlation ids of the acks in the outbox, in order."""
        rows = self.outbox._db.execute(
            "SELECT payload FROM outbox WHERE rank = ?", (OutboxRank.ACK,)
        )
        return [json.loads(row[0])["correlationId"] for row in rows]

    def fill(self) -> None:
        """Use up what is left of the pages that are there."""
        for database, statement in (
            (self.journal._db, "INSERT INTO events VALUES (?, 0, 1, ?)"),
            (self.outbox._db, INSERT_TELEMETRY),
        ):
            for size in (20_000, 1_000, 100, 10):
                for number in range(400):
                    row = (f"{size}-{number}", "x" * size)
                    try:
                        database.execute(statement, row)
                    except sqlite3.OperationalError:  # full
                        break


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


def test_with_a_full_disk_nothing_is_shed_and_what_is_shed_is_restored(hands: Hands) -> None:
    hands.send(op="event", event_id="first", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running and hands.engine.running.active_ts, "the event is active")
    shed = {write.point for write in hands.building.written}
    assert shed

    hands.disk_is_full(True)
    hands.fill()
    hands.send(op="restore")
    wait_for(lambda: hands.engine.running is None, "the event is over")
    assert {hands.building.points[point] for point in shed} <= {True, 100.0}
    assert hands.executor.storage_failure is not None
    assert "full" in hands.executor.storage_failure

    writes = len(hands.building.written)
    hands.send(op="event", event_id="second", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running is None, "the second event is refused")
    later = hands.building.written[writes:]
    assert all(write.value in (True, 100.0) for write in later), "nothing may be shed"

    hands.disk_is_full(False)
    hands.send(op="event", event_id="third", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running and hands.engine.running.active_ts, "the third works")
    assert hands.executor.storage_failure is None
    left = {event["event_id"] for event in hands.journal.unfinished()}
    assert left == {"third"}, "what could not be written down then is made up for"


def test_an_ack_that_the_outbox_does_not_take_follows_as_soon_as_it_does_in_order(
    hands: Hands, tmp_path: Path
) -> None:
    locker = sqlite3.connect(tmp_path / "outbox.sqlite", isolation_level=None)
    hands.outbox._db.execute("PRAGMA busy_timeout = 0")
    locker.execute("BEGIN IMMEDIATE")
    for number in range(3):
        hands.send(op="ping", correlationId=f"p{number}")
    assert "locked" in str(hands.executor.storage_failure)
    assert hands.acks() == []

    hands.executor.send_waiting()
    assert hands.executor.storage_failure is not None
    locker.execute("ROLLBACK")
    locker.close()
    hands.executor.send_waiting()
    assert hands.acks() == ["p0", "p1", "p2"]
    assert hands.executor.storage_failure is None
    hands.executor.send_waiting()
    hands.send(op="ping", correlationId="p3")
    assert hands.acks() == ["p0", "p1", "p2", "p3"]
    hands.journal.close()
    assert Journal(tmp_path / "journal.sqlite").unsent() == []


def test_what_is_announced_comes_after_the_writes_under_way_and_in_order(tmp_path: Path) -> None:
    hands = Hands(tmp_path)
    told: list[tuple[str, int]] = []
    hands.executor._announce = lambda event: told.append(
        (event.state.value, len(hands.building.written))
    )
    hands.send(op="event", event_id="first", shed_kw=3, duration_sec=600)
    wait_for(lambda: len(told) >= 2, "it is announced")
    states, written = zip(*told, strict=True)
    assert states == ("shedding", "active")
    assert all(written)


def test_a_journal_that_was_copied_before_the_event_s_end_does_not_begin_it_again(
    hands: Hands, tmp_path: Path
) -> None:
    """`vctl install --force` copies the running agent's folder first, and stops the agent then."""
    hands.send(op="event", event_id="over", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running and hands.engine.running.active_ts, "the event is active")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("journal.sqlite*"):
        shutil.copy(file, copy)
    hands.executor.perform(hands.engine.stop(time.time()))
    wait_for(lambda: hands.engine.running is None, "the event is over")

    assert [e["event_id"] for e in Journal(copy / "journal.sqlite").unfinished()] == ["over"]
    ended = EndedEvents(tmp_path / "ended-events.jsonl")
    recovered, damage = recover_from_journal(Journal(copy / "journal.sqlite"), ended)
    assert (list(recovered.events), damage) == ([], None)
    again = Engine(CONFIG.build_panel(), CONFIG.ven_id, POLICY)
    again.resume(recovered, time.time())
    assert again.running is None
    assert ("over", 0) in list(recovered.past)


def test_a_fault_while_an_event_is_made_ready_does_not_leave_it_waiting(hands: Hands) -> None:
    """An exception in its greenlet: the event was waited for by all others for ever."""
    reserve, faults = hands.building.reserve, [OverflowError("timestamp out of range")]

    def faulty(*args: Any, **named: Any) -> Any:
        if faults:
            raise faults.pop()
        return reserve(*args, **named)

    hands.building.reserve = faulty  # type: ignore[method-assign]
    hands.send(op="event", event_id="e1", shed_kw=3.0, correlationId="c1")
    wait_for(lambda: "c1" in hands.acks(), "that it cannot be carried out is said", 20.0)
    assert not faults
    hands.send(op="event", event_id="e2", shed_kw=3.0, correlationId="c2")
    wait_for(lambda: "c2" in hands.acks(), "the next one", 20.0)
    assert hands.engine.running is not None
    assert hands.engine.running.event_id == "e2"


def test_a_kill_in_mid_event_leaves_it_to_the_next_start(hands: Hands, tmp_path: Path) -> None:
    hands.send(op="event", event_id="on", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running and hands.engine.running.active_ts, "the event is active")
    recovered, _ = recover_from_journal(
        Journal(tmp_path / "journal.sqlite"), EndedEvents(tmp_path / "ended-events.jsonl")
    )
    assert [event.event_id for event in recovered.events] == ["on"]
