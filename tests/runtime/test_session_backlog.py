"""An undated event that may have waited at the broker while the agent was away is not begun."""

from __future__ import annotations

from typing import Any

from tests.contract.builders import NOW, parse
from tests.support.each_case import each_case
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.effects import SaveFactEffect
from VenAgent.runtime.session_backlog import (
    LAST_BOOT,
    LAST_CONNECTED,
    MachineRun,
    SessionBacklog,
    machine_run,
)

UNDATED = {"op": "event", "shed_kw": 5}
MAX_AGE_SEC = 900.0


def code(
    backlog: SessionBacklog, message: dict[str, Any], at: float = 100.0, from_session: bool = True
) -> ReasonCode | None:
    refusal = backlog.refusal(parse(message), from_session=from_session, monotonic=at)
    return None if refusal is None else refusal.code


def run_of(boot_id: str, since_boot_sec: float, clock_is_set: bool = True) -> MachineRun:
    return MachineRun(boot_id, since_boot_sec, clock_is_set)


def connected_after(away_sec: float | None) -> SessionBacklog:
    """In one run of the machine, whatever its clock says."""
    backlog = SessionBacklog(MAX_AGE_SEC)
    if away_sec is not None:
        backlog.recall({LAST_CONNECTED: NOW - away_sec, LAST_BOOT: ["one", 5_000.0]})
    backlog.connected(NOW, 100.0, run_of("one", 5_000.0 + max(0.0, away_sec or 0.0)))
    return backlog


@each_case("away_sec", [901.0, 12 * 3600.0, None])
def test_after_a_long_absence_an_undated_event_is_refused(away_sec: float | None) -> None:
    backlog = connected_after(away_sec)
    assert code(backlog, UNDATED) is ReasonCode.STALE_UNDATED_COMMAND


@each_case("away_sec", [0.0, 5.0, 900.0, -3600.0])
def test_after_a_short_reconnect_it_is_obeyed(away_sec: float) -> None:
    assert code(connected_after(away_sec), UNDATED) is None


@each_case(
    "dated",
    [
        {"issued_ts": NOW - 5},
        {"expires_ts": NOW + 60},
        {"start_ts": NOW + 60},
        {"end_ts": NOW + 60},
    ],
)
def test_an_event_that_says_when_it_is_for_is_obeyed(dated: dict[str, Any]) -> None:
    assert code(connected_after(None), {**UNDATED, **dated}) is None


@each_case(
    "message",
    [
        {"op": "setLoad", "loadId": "ev1", "enabled": False},
        {"op": "set", "report_interval_sec": 10},
        {"op": "limit", "import_kw": 5},
        {"op": "loadUp", "raise_kw": 5},
        {"op": "shedLoad", "loadId": "ev1", "shed_kw": 5},
    ],
)
def test_so_is_all_that_changes_something_now(message: dict[str, Any]) -> None:
    assert code(connected_after(43_200.0), message) is ReasonCode.STALE_UNDATED_COMMAND
    assert code(connected_after(43_200.0), {**message, "issued_ts": NOW - 5}) is None
    assert code(connected_after(60.0), message) is None


@each_case(
    ("wall_sec", "clock_is_set", "expected"),
    [
        (60.0, True, None),
        (43_200.0, True, ReasonCode.STALE_UNDATED_COMMAND),
        # Off for the night: the clock goes on from its last stop, or from the year of its make.
        (12.0, False, ReasonCode.STALE_UNDATED_COMMAND),
        (-1e9, False, ReasonCode.STALE_UNDATED_COMMAND),
        (-1e9, True, ReasonCode.STALE_UNDATED_COMMAND),
    ],
)
def test_after_a_start_of_the_machine_its_clock_counts_if_it_is_set(
    wall_sec: float, clock_is_set: bool, expected: ReasonCode | None
) -> None:
    backlog = SessionBacklog(MAX_AGE_SEC)
    backlog.recall({LAST_CONNECTED: NOW - wall_sec, LAST_BOOT: ["one", 9_000.0]})
    backlog.connected(NOW, 100.0, run_of("two", 40.0, clock_is_set))
    assert code(backlog, UNDATED) is expected
    kept_sec = backlog.kept_sec(NOW - wall_sec, NOW, run_of("two", 40.0, clock_is_set))
    assert (kept_sec > MAX_AGE_SEC) is (expected is not None)


def test_a_clock_that_was_set_back_while_we_were_away_for_a_night_deceives_nobody() -> None:
    backlog = SessionBacklog(MAX_AGE_SEC)
    backlog.recall({LAST_CONNECTED: NOW + 60.0, LAST_BOOT: ["one", 9_000.0]})
    backlog.connected(NOW, 100.0, run_of("one", 9_000.0 + 43_200.0))
    assert code(backlog, UNDATED) is ReasonCode.STALE_UNDATED_COMMAND


def test_what_an_earlier_version_wrote_down_counts_by_the_clock() -> None:
    for away_sec, expected in ((60.0, None), (-60.0, ReasonCode.STALE_UNDATED_COMMAND)):
        backlog = SessionBacklog(MAX_AGE_SEC)
        backlog.recall({LAST_CONNECTED: NOW - away_sec})
        backlog.connected(NOW, 100.0, run_of("one", 5.0, clock_is_set=False))
        assert code(backlog, UNDATED) is expected


def test_the_machine_tells_its_run() -> None:
    one, two = machine_run(), machine_run()
    assert one.boot_id == two.boot_id != ""
    assert 0.0 < one.since_boot_sec <= two.since_boot_sec
    assert isinstance(one.clock_is_set, bool)


@each_case("op", ["restore", "cancel", "ping", "get"])
def test_other_commands_are_obeyed_however_old(op: str) -> None:
    assert code(connected_after(None), {"op": op}) is None


def test_without_a_session_at_the_broker_nothing_was_kept() -> None:
    assert code(connected_after(None), UNDATED, from_session=False) is None


def test_a_broker_that_begins_late_pauses_or_is_slow_hands_out_nothing_that_is_obeyed() -> None:
    """eclipse-mosquitto/mosquitto #2519: ten to fifteen minutes until all of a queue has come."""
    for times in ((106.0,), (101.0, 108.0), (100.5, 420.0), (100.0 + MAX_AGE_SEC, 1050.0, 1100.0)):
        backlog = connected_after(12 * 3600.0)
        for at in times:
            # As it is asked every second, and for all that comes in between.
            for second in range(100, int(at)):
                backlog.note_online(NOW + second, float(second), run_of("one", 5.0 + second))
                assert code(backlog, {"op": "ping"}, float(second)) is None
            assert code(backlog, UNDATED, at) is ReasonCode.STALE_UNDATED_COMMAND, times


def test_what_comes_later_than_a_command_may_be_old_is_new() -> None:
    backlog = connected_after(None)
    for at in (100.1, 400.0, 999.0):
        assert code(backlog, UNDATED, at) is ReasonCode.STALE_UNDATED_COMMAND
    assert code(backlog, UNDATED, 1_060.0) is None
    assert code(backlog, UNDATED, 1_060.1) is None


def test_a_command_that_waited_for_its_turn_here_counts_by_when_it_came() -> None:
    """In a burst: it came from the queue, and is dealt with when all of the queue has come."""
    backlog = connected_after(12 * 3600.0)
    assert code(backlog, UNDATED, 700.0) is ReasonCode.STALE_UNDATED_COMMAND
    backlog.note_online(NOW + 1_100, 1_200.0, run_of("one", 1_100.0))
    assert code(backlog, UNDATED, 705.0) is ReasonCode.STALE_UNDATED_COMMAND
    assert code(backlog, UNDATED, 1_201.0) is None


def test_a_busy_sender_is_not_refused_for_ever() -> None:
    backlog = connected_after(None)
    codes = [code(backlog, UNDATED, 100.0 + 4 * n) for n in range(1_000)]
    assert codes[0] is codes[800] is ReasonCode.STALE_UNDATED_COMMAND
    assert codes[-1] is None


def test_being_connected_is_written_down_every_minute() -> None:
    backlog = SessionBacklog(MAX_AGE_SEC)
    run = run_of("one", 5.0)
    assert backlog.note_online(NOW, 1.0, run) == [
        SaveFactEffect(LAST_CONNECTED, NOW),
        SaveFactEffect(LAST_BOOT, ["one", 5.0]),
    ]
    assert backlog.note_online(NOW + 30, 31.0, run) == []
    saved = backlog.note_online(NOW + 61, 62.0, run_of("one", 66.0))
    assert saved[0] == SaveFactEffect(LAST_CONNECTED, NOW + 61)
    backlog.connected(NOW + 100, 5.0, run_of("one", 105.0))
    assert code(backlog, UNDATED, 5.1) is None


def test_a_connection_that_breaks_off_leaves_the_rest_of_the_backlog_as_old_as_it_was() -> None:
    """Away for a night, then a line that flaps: the second connection brings what the first did
    not, and we were away for seconds only before it."""
    backlog = connected_after(12 * 3600.0)
    assert code(backlog, UNDATED, at=100.5) is ReasonCode.STALE_UNDATED_COMMAND
    backlog.note_online(NOW + 2, 102.0, run_of("one", 2.0))
    backlog.connected(NOW + 65, 165.0, run_of("one", 65.0))
    assert code(backlog, UNDATED, at=165.5) is ReasonCode.STALE_UNDATED_COMMAND
    # Connected for longer than a command may be old: all has come.
    backlog.note_online(NOW + 980, 1_080.0, run_of("one", 980.0))
    backlog.connected(NOW + 990, 1_090.0, run_of("one", 990.0))
    assert code(backlog, UNDATED, at=1_090.5) is None


def test_what_lay_in_the_inbox_over_a_restart_is_as_old_as_it_lay() -> None:
    backlog = SessionBacklog(MAX_AGE_SEC)  # not connected yet

    def refusal(message: dict[str, Any], kept_sec: float) -> ReasonCode | None:
        found = backlog.refusal(
            parse(message),
            from_session=True,
            monotonic=1.0,
            kept_sec=kept_sec,
        )
        return None if found is None else found.code

    assert refusal(UNDATED, 901.0) is ReasonCode.STALE_UNDATED_COMMAND
    assert refusal(UNDATED, 899.0) is None
    assert refusal({**UNDATED, "issued_ts": NOW}, 901.0) is None
    assert refusal({"op": "restore"}, 901.0) is None
