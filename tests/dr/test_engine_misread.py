"""The event engine: a point that is misread for a while, a meter that shows a shed late."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from tests.dr.builders import TOTAL_KW
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
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


@each_case("late_sec", [10.0, 30.0])
def test_a_shed_that_shows_late_leaves_what_is_critical_and_ends_at_what_was_asked(
    late_sec: float,
) -> None:
    """All went off, the critical too, and stayed off when the meter showed it."""
    house = LateMeterHouse(late_sec)
    house.wait(300.0)
    send_event(house, 4.5, duration_sec=1_800.0)
    for _ in range(60):
        house.wait(5.0)
        assert house.limits["hvac1"] == 100.0
    house.wait(900.0)
    assert TOTAL_KW - house.power_kw == pytest.approx(4.5, abs=0.5)
    assert ("circuit.not_responding", "heater1") not in house.alerts


def test_a_meter_that_stands_still_leaves_what_is_critical() -> None:
    house = LateMeterHouse(10_000.0)
    house.wait(300.0)
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(590.0)
    assert house.limits["hvac1"] == 100.0
    house.wait(100.0)
    assert house.opened() == set()
