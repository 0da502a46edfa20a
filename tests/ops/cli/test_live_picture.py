"""What `watch` shows: power, event, circuits, connection; plainly marked when old or offline."""

from __future__ import annotations

import io
import os
import sys
import termios
from typing import Any

import pytest
from rich.console import Console

from ops.cli.live_picture import LINES_KEPT, LivePicture, _keys
from ops.host.condition import wait_for_condition
from VenAgent.contract.topics import Topics

NOW = 1_760_000_000.0
TOPICS = Topics.for_ven("site-1")
TELEMETRY: dict[str, Any] = {
    "venId": "site-1",
    "timestamp": NOW,
    "usedPowerKw": 17.6,
    "shedPowerKw": 5.0,
    "requestedReductionKw": 5.0,
    "eventId": "evt-1",
    "baselinePowerKw": 22.6,
    "batterySOC": 85.0,
    "panelMaxKw": 48.0,
    "quality": "good",
    "circuits": [
        {"id": "heater1", "name": "Water Heater", "currentKw": 0.0, "enabled": False},
        {"id": "fridge1", "name": "Refrigerator", "currentKw": None, "enabled": True,
         "critical": True},
    ],
    "loads": [{"id": "heater1", "priority": 5}, {"id": "fridge1", "priority": 1}],
}  # fmt: skip
ACK = {
    "venId": "site-1",
    "op": "event",
    "status": "accepted",
    "event_id": "evt-1",
    "end_ts": NOW + 90,
    "ts": NOW,
    "actual_shed_kw": 4.5,
    "shed_basis": "predicted",
    "circuits_curtailed": [{"id": "heater1"}],
}


@pytest.fixture
def picture() -> LivePicture:
    return LivePicture("site-1", "127.0.0.1:1883", interval_sec=5.0)


def drawn(
    picture: LivePicture, now: float = NOW + 1, width: int = 100, height: int | None = None
) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(picture.draw(now, width, height))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def line_with(text: str, words: str) -> str:
    return next(line for line in text.splitlines() if words in line)


def test_power_event_circuits_and_connection_are_shown(picture: LivePicture) -> None:
    picture.take(TOPICS, TOPICS.ack, ACK, NOW)
    picture.take(TOPICS, TOPICS.metering, TELEMETRY, NOW)
    text = drawn(picture)
    assert "online, 1 s ago" in text
    assert "17.60 kW" in line_with(text, "power ")
    assert "22.60 kW" in line_with(text, "baseline")
    assert "85 %" in line_with(text, "battery")
    assert "event evt-1: 5.00 kW asked for, 1:29 left" in text
    assert "off, shed" in line_with(text, "Water Heater")
    refrigerator = line_with(text, "Refrigerator")
    assert "unknown" in refrigerator
    assert "on, critical" in refrigerator
    assert "4.50 kW predicted" in text


def test_old_figures_are_marked_and_so_is_a_ven_that_is_offline(picture: LivePicture) -> None:
    assert "waiting" in drawn(picture)
    picture.take(TOPICS, TOPICS.metering, TELEMETRY, NOW)
    assert "STALE: nothing heard for 16 s" in drawn(picture, NOW + 16)
    picture.take(TOPICS, TOPICS.status, {"venId": "site-1", "status": "offline"}, NOW + 17)
    assert "OFFLINE: figures are 20 s old" in drawn(picture, NOW + 20)
    picture.take(TOPICS, TOPICS.status, {"venId": "site-1", "status": "online"}, NOW + 21)
    picture.take(TOPICS, TOPICS.metering, {**TELEMETRY, "quality": "stale"}, NOW + 21)
    assert "the meter is stale" in drawn(picture, NOW + 22)


def test_an_event_that_is_over_is_gone_with_its_countdown(picture: LivePicture) -> None:
    picture.take(TOPICS, TOPICS.ack, ACK, NOW)
    picture.take(TOPICS, TOPICS.ack, {**ACK, "status": "completed"}, NOW + 91)
    over = {**TELEMETRY, "eventId": None}
    picture.take(TOPICS, TOPICS.metering, over, NOW + 92)
    text = drawn(picture, NOW + 92)
    assert "no event" in text
    assert "left" not in text
    assert "completed" in text


LIMIT_ACK = {**ACK, "op": "limit", "event_id": "14a", "end_ts": None, "limit_state": "limited"}


@pytest.mark.parametrize(
    ("limits", "asked_kw", "words"),
    [
        (
            {"importLimitKw": 15.0},
            0.0,
            "the site at or under 15.00 kW until further notice",
        ),
        (
            {"exportLimitKw": 2.0},
            0.0,
            "Keeping what the site feeds in at or under 2.00 kW until further notice",
        ),
        (
            {"importLimitKw": 15.0, "exportLimitKw": 0.0},
            0.0,
            "the site at or under 15.00 kW, 0.00 kW fed in until further notice",
        ),
        ({"exportLimitKw": 2.0}, 5.0, "event 14a: 5.00 kW asked for, at or under 2.00 kW fed in"),
        (
            {"importLimitKw": 9.0, "exportLimitKw": 2.0},
            -3.0,
            "event 14a: 3.00 kW more asked for, at or under 9.00 kW drawn and 2.00 kW fed in",
        ),
    ],
)
def test_limits_of_both_directions_are_shown(
    picture: LivePicture, limits: dict[str, float], asked_kw: float, words: str
) -> None:
    telemetry = {**TELEMETRY, "eventId": "14a", "requestedReductionKw": asked_kw, **limits}
    picture.take(TOPICS, TOPICS.ack, LIMIT_ACK, NOW)
    picture.take(TOPICS, TOPICS.metering, telemetry, NOW)
    assert words in drawn(picture, width=118)


def test_failsafe_is_shown_until_it_is_left_or_its_limit_is_over(picture: LivePicture) -> None:
    failsafe = {**LIMIT_ACK, "status": "adjusted", "limit_state": "failsafe"}
    limited = {**TELEMETRY, "eventId": "14a", "requestedReductionKw": 0.0, "importLimitKw": 4.2}
    shed = {**TELEMETRY, "importLimitKw": 4.2}
    over = {**LIMIT_ACK, "status": "completed", "limit_state": "failsafe"}
    for end in (LIMIT_ACK, over):
        picture.take(TOPICS, TOPICS.ack, failsafe, NOW)
        picture.take(TOPICS, TOPICS.metering, limited, NOW)
        assert "the failsafe limit, as nothing is heard of its sender" in drawn(picture, width=118)
        picture.take(TOPICS, TOPICS.ack, ACK, NOW)  # a shed beside it
        picture.take(TOPICS, TOPICS.metering, shed, NOW)
        assert "5.00 kW asked for, at or under 4.20 kW drawn (failsafe)" in drawn(picture)
        picture.take(TOPICS, TOPICS.ack, end, NOW)
        picture.take(TOPICS, TOPICS.metering, shed, NOW)
        assert "(failsafe)" not in drawn(picture)


def test_an_event_that_ran_before_is_counted_down_too(picture: LivePicture) -> None:
    picture.asked = "get-1"
    event = {"event_id": "evt-1", "end_ts": NOW + 90, "circuits": [{"circuit_id": "heater1"}]}
    answer = {"op": "get", "status": "success", "venId": "site-1", "ts": NOW}
    answer |= {"correlationId": "get-1", "data": {"active_event": event}}
    for first, second in ((TOPICS.metering, TOPICS.ack), (TOPICS.ack, TOPICS.metering)):
        for topic in (first, second):
            message = TELEMETRY if topic == TOPICS.metering else answer
            picture.take(TOPICS, topic, message, NOW)
        if first == TOPICS.metering:
            assert "1:29 left" in line_with(drawn(picture), "event evt-1")
            assert "off, shed" in line_with(drawn(picture), "Water Heater")
    assert picture.said == [], "a question of our own is no news"
    picture.take(TOPICS, TOPICS.ack, {**answer, "data": None}, NOW)
    picture.take(TOPICS, TOPICS.ack, {**answer, "correlationId": "get-2"}, NOW)
    assert "get" in picture.said[0]


def test_another_vens_messages_are_passed_over(picture: LivePicture) -> None:
    picture.take(TOPICS, TOPICS.metering, {**TELEMETRY, "venId": "neighbour"}, NOW)
    assert "waiting" in drawn(picture)


def test_an_alert_is_shown_with_its_time(picture: LivePicture) -> None:
    alert = {"venId": "site-1", "ts": NOW, "severity": "warning", "message": "the meter is stale"}
    picture.take(TOPICS, TOPICS.alerts, alert, NOW)
    assert "warning: the meter is stale" in drawn(picture)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 30), (120, 24), (200, 50), (60, 12)])
@pytest.mark.parametrize("circuits", [2, 8, 40])
def test_it_fits_the_terminal_and_keeps_what_came_last(
    picture: LivePicture, width: int, height: int, circuits: int
) -> None:
    listed = [{"id": f"c{n}", "name": f"Circuit {n}", "currentKw": 1.0} for n in range(circuits)]
    for _ in range(LINES_KEPT):
        picture.take(TOPICS, TOPICS.ack, {**ACK, "reason": "a long reason " * 20}, NOW)
    picture.take(TOPICS, TOPICS.ack, {**ACK, "status": "adjusted"}, NOW)
    picture.take(TOPICS, TOPICS.metering, {**TELEMETRY, "circuits": listed}, NOW)
    text = drawn(picture, width=width, height=height)
    shown = text.count("Circuit ")
    assert f"… and {circuits - shown} more" in text or shown == circuits
    if height >= 24:
        assert len(text.splitlines()) <= height
        assert "adjusted" in text
    assert "event evt-1" in text


def test_a_key_is_read_unechoed_and_the_terminal_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(theirs)
        with _keys() as pressed:
            assert not termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON)
            assert pressed() == ""
            os.write(ours, b"q")
            assert wait_for_condition(lambda: "q" in pressed(), 60)
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_an_event_that_is_over_tells_how_many_circuits_are_on_again(picture: LivePicture) -> None:
    three = [{"id": name, "enabled": False} for name in ("heater1", "heater2", "ev1")]
    picture.take(TOPICS, TOPICS.ack, {**ACK, "circuits_curtailed": three}, NOW)
    for on, said in ((0, "0 of 3 circuits on"), (1, "1 of 3 circuits on"), (3, "over since")):
        circuits = [{**each, "enabled": number < on} for number, each in enumerate(three)]
        picture.take(TOPICS, TOPICS.metering, {**TELEMETRY, "circuits": circuits}, NOW + 90)
        line = line_with(drawn(picture, NOW + 91), "event evt-1")
        assert said in line
        assert "left" not in line
        assert ("circuits on" in line) == (on < 3)
