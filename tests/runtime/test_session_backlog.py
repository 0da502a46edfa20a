"""An undated event that may have waited at the broker while the agent was away is not begun."""

from __future__ import annotations

from typing import Any

from tests.contract.builders import NOW, parse
from tests.support.each_case import each_case
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.effects import SaveFactEffect
from VenAgent.runtime.session_backlog import LAST_CONNECTED, SessionBacklog

UNDATED = {"op": "event", "shed_kw": 5}
MAX_AGE_SEC = 900.0


def code(
    backlog: SessionBacklog, message: dict[str, Any], at: float = 100.0, from_session: bool = True
) -> ReasonCode | None:
    refusal = backlog.refusal(
        parse(message), from_session=from_session, max_age_sec=MAX_AGE_SEC, monotonic=at
    )
    return None if refusal is None else refusal.code


def connected_after(away_sec: float | None) -> SessionBacklog:
    backlog = SessionBacklog()
    backlog.last_connected_ts = None if away_sec is None else NOW - away_sec
    backlog.connected(NOW, 100.0)
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


@each_case("op", ["restore", "cancel", "ping", "get"])
def test_other_commands_are_obeyed_however_old(op: str) -> None:
    assert code(connected_after(None), {"op": op}) is None


def test_without_a_session_at_the_broker_nothing_was_kept() -> None:
    assert code(connected_after(None), UNDATED, from_session=False) is None


def test_what_comes_after_a_pause_is_new() -> None:
    backlog = connected_after(None)
    for at in (100.1, 104.0, 108.0):
        assert code(backlog, UNDATED, at) is ReasonCode.STALE_UNDATED_COMMAND
    assert code(backlog, UNDATED, 113.5) is None
    assert code(backlog, UNDATED, 113.6) is None


def test_a_busy_sender_is_not_refused_for_ever() -> None:
    backlog = connected_after(None)
    codes = [code(backlog, UNDATED, 100.0 + 4 * n) for n in range(100)]
    assert codes[0] is ReasonCode.STALE_UNDATED_COMMAND
    assert codes[-1] is None


def test_being_connected_is_written_down_every_minute() -> None:
    backlog = SessionBacklog()
    assert backlog.note_online(NOW, 1.0) == [SaveFactEffect(LAST_CONNECTED, NOW)]
    assert backlog.note_online(NOW + 30, 31.0) == []
    assert backlog.note_online(NOW + 61, 62.0) == [SaveFactEffect(LAST_CONNECTED, NOW + 61)]
    backlog.connected(NOW + 100, 5.0)
    assert code(backlog, UNDATED, 5.1) is None


def test_a_connection_that_breaks_off_leaves_the_rest_of_the_backlog_as_old_as_it_was() -> None:
    """Away for a night, then a line that flaps: the second connection brings what the first did
    not, and we were away for seconds only before it."""
    backlog = connected_after(12 * 3600.0)
    assert code(backlog, UNDATED, at=100.5) is ReasonCode.STALE_UNDATED_COMMAND
    backlog.note_online(NOW + 2, 102.0)
    backlog.connected(NOW + 65, 165.0)
    assert code(backlog, UNDATED, at=165.5) is ReasonCode.STALE_UNDATED_COMMAND
    backlog.note_online(NOW + 80, 180.0)  # nothing came for so long: all has come
    backlog.connected(NOW + 90, 190.0)
    assert code(backlog, UNDATED, at=190.5) is None


def test_what_lay_in_the_inbox_over_a_restart_is_as_old_as_it_lay() -> None:
    backlog = SessionBacklog()  # not connected yet

    def refusal(message: dict[str, Any], kept_sec: float) -> ReasonCode | None:
        found = backlog.refusal(
            parse(message),
            from_session=True,
            max_age_sec=MAX_AGE_SEC,
            monotonic=1.0,
            kept_sec=kept_sec,
        )
        return None if found is None else found.code

    assert refusal(UNDATED, 901.0) is ReasonCode.STALE_UNDATED_COMMAND
    assert refusal(UNDATED, 899.0) is None
    assert refusal({**UNDATED, "issued_ts": NOW}, 901.0) is None
    assert refusal({"op": "restore"}, 901.0) is None
