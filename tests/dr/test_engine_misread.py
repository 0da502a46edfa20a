"""The event engine: a point that is misread for a while, a meter that shows a shed late."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from tests.dr.builders import TOTAL_KW
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.meter_delay import MeterDelay
from VenAgent.dr.panel import PanelReading


class MisreadHouse(House):
    """`misread`: circuits whose control point reads otherwise than it is."""

    def __init__(self) -> None:
        super().__init__()
        self.misread: set[str] = set()

    def read(self) -> PanelReading:
        reading = super().read()
        circuits = {
            name: replace(circuit, closed=True, limit=None if circuit.limit is None else 65_535.0)
            if name in self.misread
            else circuit
            for name, circuit in reading.circuits.items()
        }
        return replace(reading, circuits=circuits)


@each_case("restarted", [False, True])
@each_case("until_the_end", [False, True])
def test_what_reads_as_written_again_is_given_back_after_the_event(
    until_the_end: bool, restarted: bool
) -> None:
    """It was "changed by hand", and stayed off for ever without a word."""
    house = MisreadHouse()
    before = house.setting
    house.wait(300.0)
    send_event(house, 12.0, duration_sec=600.0)
    held = {c.circuit_id for c in house.engine.running.held()} if house.engine.running else set()
    house.wait(60.0)
    house.misread = {min(held)}  # several at once are a device that restarted
    house.wait(595.0 - 60.0 - 5.0 if until_the_end else 20.0)
    assert "circuit.manual_override" in house.alerted
    house.misread = set()
    if restarted:
        house.restart()
    house.wait(700.0)
    assert house.setting == before
    assert house.alerts == {}


def test_a_hand_that_stays_stays(house: House) -> None:
    house.wait(300.0)
    send_event(house, 7.5, duration_sec=600.0)
    house.wait(60.0)
    house.closed["heater1"] = True
    house.wait(60.0)
    known = len([w for w in house.written if w.circuit_id == "heater1"])
    house.wait(700.0)
    assert len([w for w in house.written if w.circuit_id == "heater1"]) == known


class LateMeterHouse(House):
    """What its meters show of power is so many seconds old; contactors and limits read true."""

    def __init__(self, late_sec: float) -> None:
        super().__init__()
        self.late_sec = late_sec
        self.shown: deque[tuple[float, PanelReading]] = deque()

    def read(self) -> PanelReading:
        true = super().read()
        self.shown.append((self.now, true))
        while len(self.shown) > 1 and self.shown[1][0] <= self.now - self.late_sec:
            self.shown.popleft()
        old = self.shown[0][1]
        circuits = {
            name: replace(circuit, power_kw=old.circuit(name).power_kw)
            for name, circuit in true.circuits.items()
        }
        return replace(true, power_kw=old.power_kw, circuits=circuits)


@pytest.mark.long
@each_case("late_sec", [5.0, 10.0, 20.0, 30.0, 60.0, 100.0])
def test_a_shed_that_shows_late_leaves_what_is_critical_and_ends_at_what_was_asked(
    late_sec: float,
) -> None:
    """All went off, the critical too, and stayed off, or contactors went to and fro, when the meter
    showed it. How late it is is learned, so that the next event waits for it from the start."""
    house = LateMeterHouse(late_sec)
    house.wait(300.0)
    for number, most_kw, most_writes in ((1, 13.5, 16), (2, 4.6, 1)):
        before = len(house.written)
        name = f"e{number}"
        send_event(house, 4.5, event_id=name, correlationId=name, duration_sec=1_200.0)
        for _ in range(225):
            house.wait(5.0)
            assert house.limits["hvac1"] == 100.0
            assert TOTAL_KW - house.power_kw <= most_kw, number
        assert TOTAL_KW - house.power_kw == pytest.approx(4.5, abs=0.3)
        assert len(house.written) - before <= most_writes, number
        house.wait(1_000.0)
        assert house.opened() == set()
        house.restart()
        house.wait(300.0)
    assert ("circuit.not_responding", "heater1") not in house.alerts
    site = house.engine.site
    assert site.meter_delay.of(site.panel.measured_by) == pytest.approx(late_sec, abs=6.0)


@pytest.mark.long
@each_case("late_sec", [5.0, 20.0, 60.0])
def test_under_a_limit_a_meter_that_is_late_takes_no_circuits_to_and_fro(late_sec: float) -> None:
    house = LateMeterHouse(late_sec)
    house.wait(300.0)
    house.send("limit", event_id="grid", correlationId="grid", import_kw=15.0)
    house.wait(3_600.0)
    written = len(house.written)
    for _ in range(120):
        house.wait(15.0)
        assert 13.5 < house.power_kw <= 15.0
    assert len(house.written) == written


def test_a_meter_that_is_prompt_again_is_waited_for_no_longer() -> None:
    delay = MeterDelay()
    delay.note_late("a", 40.0)
    assert delay.wait_sec("a") == 60.0
    assert delay.wait_sec("b") == 0.0, "another meter"
    for known_sec in (20.0, 10.0, 5.0, 2.5):
        delay.note_shown("a", 1.0)
        assert MeterDelay(delay.as_fact()).of("a") == known_sec
    delay.note_late("a", 10_000.0)
    assert delay.wait_sec("a") == 180.0


def test_a_meter_that_stands_still_leaves_what_is_critical() -> None:
    house = LateMeterHouse(10_000.0)
    house.wait(300.0)
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(590.0)
    assert house.limits["hvac1"] == 100.0
    house.wait(100.0)
    assert house.opened() == set()
