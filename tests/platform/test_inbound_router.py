"""Commands of this platform and of the broker, as the router takes them in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from tests.contract.builders import parse
from tests.contract.corpus import AS_OBJECTS, CORPUS, CorpusEntry, moved
from tests.platform.test_effect_executor import CONFIG, Hands
from VenAgent.agent import VenAgent
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.contract.reasons import ReasonCode
from VenAgent.runtime import inbound_router
from VenAgent.runtime.inbound_router import InboundRouter
from VenAgent.runtime.session_backlog import machine_run


class Doors:
    """A router over a real engine and executor."""

    def __init__(self, folder: Path) -> None:
        self.hands = Hands(folder)
        self.acknowledged: list[InboundMessage] = []
        updates: Any = None
        bridge: Any = SimpleNamespace(filters=())
        self.router = InboundRouter(
            self.hands.engine,
            self.hands.executor,
            updates,
            get=lambda what: {"what": what},
            check_clock=lambda: None,
            on_change=lambda: None,
        )
        self.router.reconfigure(CONFIG, None, bridge)

    def deliver(
        self, session_present: bool = True, expires_in_sec: float | None = None, **fields: Any
    ) -> None:
        topic = CONFIG.topic_names().command
        payload = json.dumps(fields).encode()
        expires_at = None if expires_in_sec is None else time.monotonic() + expires_in_sec
        inbound = InboundMessage(topic, payload, 1, 1, session_present, expires_at)
        self.router.receive(inbound, self.acknowledged.append)


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    doors = Doors(tmp_path)
    yield doors
    doors.hands.journal.close()
    doors.hands.outbox.close()


SHED = {"op": "event", "shed_kw": 3.0, "duration_sec": 600.0}


def test_the_same_call_twice_within_a_second_is_one_event(doors: Doors) -> None:
    first, second = gevent.joinall(
        [gevent.spawn(doors.router.command, SHED) for _ in range(2)], timeout=60
    )
    assert first.value == second.value
    assert first.value["status"] == "accepted"
    assert doors.router.command(SHED) == first.value
    assert len(doors.hands.journal.unfinished()) == 1


def test_the_same_call_after_another_is_another_command(doors: Doors) -> None:
    one = doors.router.command({"op": "get", "what": "loads"})
    doors.router.command({"op": "ping"})
    other = doors.router.command({"op": "get", "what": "loads"})
    assert one["correlationId"] != other["correlationId"]


class _Clock:
    """The router's, which moves when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 1_000.0
        clock = SimpleNamespace(monotonic=lambda: self._now, time=time.time)
        monkeypatch.setattr(inbound_router, "time", clock)

    def wait(self, seconds: float) -> None:
        self._now += seconds


def test_the_same_call_again_and_again_is_the_same_for_a_second_only(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ids = _Clock(monkeypatch), []
    for _ in range(6):
        ids.append(doors.router.command({"op": "restore"})["correlationId"])
        clock.wait(0.45)
    assert [ids.index(each) for each in ids] == [0, 0, 0, 3, 3, 3]


def test_a_call_again_and_again_is_written_down_and_told_once(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, journal = _Clock(monkeypatch), doors.hands.journal
    for fields in (
        {"op": "setLoad", "loadId": "ev1", "priority": 4},
        {"op": "setLoad", "loadId": "nobody", "enabled": True},
        {"op": "restore"},
    ):
        first = doors.router.command(fields)
        for _ in range(50):
            assert doors.router.command(fields) == first
        clock.wait(2.0)
    assert len(doors.hands.acks()) == 3
    assert len(journal.replies()) == 3
    # What this platform asked for is asked under another id the next time.
    assert journal.fingerprints() == []


def test_what_is_so_already_is_not_written_down_again(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, journal = _Clock(monkeypatch), doors.hands.journal
    before = journal._db.total_changes
    for _ in range(3):
        doors.router.opt_in()
        clock.wait(2.0)
    assert journal._db.total_changes - before <= 1
    fields = {"op": "setLoad", "loadId": "ev1", "priority": 4}
    counts = []
    for _ in range(3):
        before = journal._db.total_changes
        doors.router.command(fields)
        counts.append(journal._db.total_changes - before)
        clock.wait(2.0)
    assert counts[1] == counts[2] == 2, "the ack, and that the one before was sent"


def test_a_call_is_another_one_when_an_event_has_begun_in_between(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Clock(monkeypatch)
    assert doors.router.command({"op": "restore"})["reason_code"] == "no_event"
    doors.deliver(**SHED, correlationId="in between", issued_ts=time.time())
    clock.wait(0.4)
    ack = doors.router.command({"op": "restore"})
    assert (ack["status"], ack["event_id"]) == ("success", "evt-in between")


def test_an_event_that_begins_by_itself_makes_a_call_another_one(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Clock(monkeypatch)
    start_ts = time.time() + 0.5
    doors.router.command({**SHED, "event_id": "later", "start_ts": start_ts})
    assert doors.router.command({"op": "restore"})["reason_code"] == "no_event"
    doors.hands.executor.perform(doors.hands.engine.tick(start_ts))
    clock.wait(0.4)
    ack = doors.router.command({"op": "restore"})
    assert (ack["status"], ack["event_id"]) == ("success", "later")


def test_a_person_who_opts_out_by_a_call_made_twice_gets_one_answer(doors: Doors) -> None:
    event_id = doors.router.command(SHED)["event_id"]
    first, second = (doors.router.opt_out("guests", 600.0) for _ in range(2))
    assert first == second
    assert (first["event_id"], first["status"]) == (event_id, "opted_out")
    doors.router.opt_in()
    again = doors.router.opt_out("guests", 600.0)
    assert again["until_ts"] > first["until_ts"]


def test_who_opts_out_under_a_limit_is_not_told_that_it_was_left(doors: Doors) -> None:
    doors.router.command({"op": "limit", "import_kw": 3.0, "event_id": "grid"})
    running = doors.hands.engine.running
    assert running is not None
    assert doors.router.opt_out("guests")["event_id"] is None
    assert doors.hands.engine.running is running


def test_a_call_with_an_unknown_field_is_refused_by_name(doors: Doors) -> None:
    ack = doors.router.command({"op": "event", "shed_kw": 3, "durationSecs": 5})
    assert (ack["status"], ack["reason_code"]) == ("rejected", "unknown_field")
    assert "durationSecs" in ack["reason"]
    assert doors.router.refused == {"command.unknown_field": 1}


def test_an_undated_event_from_the_brokers_queue_is_refused_after_a_long_absence(
    doors: Doors,
) -> None:
    doors.router.backlog.connected(1_760_000_000.0, 0.0, machine_run())
    doors.router.backlog._heard_at = float("inf")  # it comes at once
    doors.router.backlog._connected_at = float("inf")
    doors.deliver(**SHED, correlationId="old")
    doors.deliver(op="ping", correlationId="p")
    doors.deliver(**SHED, correlationId="new", session_present=False)
    assert doors.router.refused == {"command.stale_undated_command": 1}
    assert doors.hands.engine.replies.sent_to("old") is None
    assert len(doors.acknowledged) == 3
    assert [each["event_id"] for each in doors.hands.journal.unfinished()] == ["evt-new"]


def test_a_command_whose_message_expiry_has_passed_is_refused_by_name(doors: Doors) -> None:
    doors.deliver(**SHED, correlationId="late", expires_in_sec=-0.5)
    assert doors.router.refused == {"command.expired": 1}
    assert len(doors.acknowledged) == 1
    assert doors.hands.journal.unfinished() == []


def test_an_undated_event_with_a_message_expiry_is_as_good_as_a_dated_one(doors: Doors) -> None:
    doors.router.backlog.connected(1_760_000_000.0, 0.0, machine_run())
    doors.router.backlog._heard_at = float("inf")
    doors.router.backlog._connected_at = float("inf")
    doors.deliver(**SHED, correlationId="held", expires_in_sec=60.0)
    assert doors.router.refused == {}
    assert [each["event_id"] for each in doors.hands.journal.unfinished()] == ["evt-held"]


class _RpcSite:
    """The agent's exports, over the router of the test."""

    def __init__(self, doors: Doors) -> None:
        self._ven = SimpleNamespace(inbound=doors.router)
        self._command = lambda fields: VenAgent._command(self, fields)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: getattr(VenAgent, name)(self, *args, **kwargs)


def test_by_rpc_a_name_that_was_not_found_is_not_the_active_event(doors: Doors) -> None:
    rpc = _RpcSite(doors)
    for number, odd in enumerate((None, "", " ", True, ["a"], {"id": "a"}, "e\n1", "e" * 300)):
        assert rpc.send_event(3.0, 600.0, f"e{number}")["status"] == "accepted"
        ack = rpc.restore(odd)
        assert (ack["status"], ack["reason_code"]) == ("rejected", "bad_field"), odd
        assert rpc.restore(event_id=odd)["status"] == "rejected", odd
        assert [each["event_id"] for each in doors.hands.journal.unfinished()] == [f"e{number}"]
        assert rpc.restore()["status"] == "success"
    assert rpc.send_event(3.0, 600.0, "named")["status"] == "accepted"
    assert rpc.restore("named")["status"] == "success"


def test_by_rpc_an_opt_out_is_read_as_the_page_reads_it(doors: Doors) -> None:
    rpc = _RpcSite(doors)
    for odd in (0, -5.0, float("nan"), float("inf"), 1e300, 4e7, True, "600", "PT1H", [600]):
        refused = rpc.opt_out("guests", odd)
        assert (refused["status"], refused["reason_code"]) == ("rejected", "bad_field"), odd
        assert "duration_sec" in refused["reason"]
    for odd in (None, "", " ", 5, ["guests"], "g" * 201, "two\nlines", "\ud800"):
        refused = rpc.opt_out(odd)
        assert (refused["status"], refused["reason_code"]) == ("rejected", "bad_field"), odd
        assert "reason" in refused["reason"]
    assert doors.hands.engine.opted_out(time.time()) is None
    for duration_sec in (600, 600.0, None):
        assert rpc.opt_out(" guests ", duration_sec)["status"] == "opted_out"
        opted_out = doors.hands.engine.opted_out(time.time())
        assert opted_out is not None
        assert "guests" in opted_out.text
        assert rpc.opt_in()["ok"] is True


def _supported(entry: CorpusEntry) -> str | None:
    """The corpus's answer, at an agent whose engine does not do everything yet."""
    if entry.refused is not None:
        return entry.refused
    command = parse(entry.payload)
    missing = command.features - CONFIG.command_limits().supported
    return ReasonCode.NOT_SUPPORTED.value if missing else None


REFUSED_HERE = [entry for entry in CORPUS if _supported(entry) is not None]


@pytest.mark.parametrize("entry", REFUSED_HERE, ids=str)
def test_what_the_corpus_refuses_is_refused_from_the_broker_and_changes_nothing(
    doors: Doors, entry: CorpusEntry
) -> None:
    payload = entry.payload
    if entry.command is not None:
        payload = json.dumps(moved(entry.command, time.time())).replace("site-1", CONFIG.ven_id)
    topic = CONFIG.topic_names().command
    inbound = InboundMessage(topic, payload.encode(), 1, 1, True)
    doors.router.receive(inbound, doors.acknowledged.append)
    assert doors.router.refused == {f"command.{_supported(entry)}": 1}
    assert doors.acknowledged == [inbound]
    assert doors.hands.journal.unfinished() == doors.hands.journal.finished() == []
    assert doors.hands.building.written == []


def test_what_the_corpus_refuses_is_refused_as_a_call_with_its_code(doors: Doors) -> None:
    for entry in REFUSED_HERE:
        if entry.command is None:
            continue
        fields = moved(entry.command, time.time())
        text = json.dumps(fields).replace("site-1", CONFIG.ven_id)
        ack = doors.router.command(json.loads(text), f"call-{entry.name}"[:200])
        assert (ack["status"], ack["reason_code"]) == ("rejected", _supported(entry)), entry.name
        assert entry.names in ack["reason"]
    assert doors.hands.building.written == []


def test_what_the_corpus_reads_is_not_refused_by_the_reader_at_either_door(doors: Doors) -> None:
    """What the engine makes of it is its own tests' matter: there may be no such circuit here."""
    read = [e for e in AS_OBJECTS if _supported(e) is None and e.command and e.read]
    for entry in read:
        if str((entry.read or {})["op"]).startswith("set"):
            continue  # it writes to the config store
        fields = json.loads(
            json.dumps(moved(entry.command or {}, time.time())).replace("site-1", CONFIG.ven_id)
        )
        ack = doors.router.command(fields, f"call-{entry.name}"[:200])
        assert ack["status"] != "rejected" or ack["reason_code"] in OF_THE_ENGINE, (entry, ack)
        doors.router.command({"op": "restore"}, f"end-{entry.name}"[:200])
    assert not doors.router.refused


OF_THE_ENGINE = (
    *("unknown_circuit", "critical", "unknown_event", "event_over", "not_controllable"),
    "not_supported",
)
