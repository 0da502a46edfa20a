"""The event engine: devices that keep what they are sent to a step of their own, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.dr.builders import limit, panel_of, switch
from tests.dr.flexible_house import FlexibleHouse, shop_panel, thermostat
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.panel import Panel, PanelLimitScale, PanelLimitUnit
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.setpoint_control import SetpointControl

CHARGER = PanelLimitScale(PanelLimitUnit.AMPS, 12.0, 240.0, 1.0, lowest=6.0, unlimited=(65_535.0,))
HEATING = SetpointControl(
    minimum=15.0, maximum=25.0, rises=False, offset=-3.0, settle_sec=300.0, configured_kw=2.0
)


def charger_panel() -> Panel:
    car = replace(limit("car1", 50.0, priority=5), limit=CHARGER)
    return panel_of(car, switch("other1", priority=3))


class KeptOtherwise:
    """A mixin: `keeps` is what the device makes of what it is sent, `late_sec` after it."""

    keeps: Callable[[float], float]
    late_sec = 0.0
    refuses: float | None = None

    def _write(self: Any, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        refused = [write for write in writes if write.value == self.refuses]
        failures: dict[str, str] = super()._write(  # type: ignore[misc]
            tuple(write for write in writes if write not in refused)
        )
        for write in writes:
            self.sent = {**getattr(self, "sent", {}), write.circuit_id: self.now}
        self._settle()
        return failures | {write.circuit_id: "illegal data value" for write in refused}

    def read(self: Any) -> Any:
        self._settle()
        return super().read()  # type: ignore[misc]

    def _settle(self: Any) -> None:
        for circuit_id, sent_ts in getattr(self, "sent", {}).items():
            if circuit_id in self.limits and self.now >= sent_ts + self.late_sec:
                self.limits[circuit_id] = self.keeps(self.limits[circuit_id])


class RoundingThermostats(KeptOtherwise, FlexibleHouse):
    pass


class OwnWayHouse(KeptOtherwise, House):
    pass


def whole_fahrenheit(celsius: float) -> float:
    return round((round(celsius * 9.0 / 5.0 + 32.0) - 32.0) * 5.0 / 9.0, 2)


def halves(celsius: float) -> float:
    return round(celsius * 2.0) / 2.0


@pytest.mark.long
@each_case("late_sec", [0.0, 7.0, 20.0])
@each_case(
    ("keeps", "before"),
    [(halves, 21.7), (halves, 21.8), (whole_fahrenheit, 21.11), (whole_fahrenheit, 20.0)],
)
def test_what_a_thermostat_makes_of_a_setpoint_is_no_hand_and_is_back(
    keeps: Callable[[float], float], before: float, late_sec: float
) -> None:
    """ "Changed by hand", and left lowered for ever; or written once a minute for ever."""
    draws_kw = {"heat1": 5.0, "range1": 1.0, "outlets1": 1.0, "fridge1": 0.2}
    house = RoundingThermostats(shop_panel(thermostat("heat1", HEATING)), draws_kw, {"heat1": 2.0})
    house.keeps, house.late_sec = keeps, late_sec
    house.limits["heat1"] = house.own["heat1"] = before
    house.wait(300.0)
    send_event(house, 2.0, duration_sec=1_800.0)
    house.wait(900.0)
    assert house.limits["heat1"] == pytest.approx(before - 3.0, abs=0.3)
    house.wait(1_000.0)
    assert "circuit.manual_override" not in house.alerted
    assert "restore.failed" not in house.alerted
    assert house.limits["heat1"] == pytest.approx(before, abs=0.3)
    assert house.statuses()[-1] == "completed"
    known = len(house.written)
    house.limits["heat1"] = 17.0  # its programme
    house.wait(3_600.0)
    assert len(house.written) == known


def test_one_step_by_hand_is_a_hand() -> None:
    draws_kw = {"heat1": 5.0, "range1": 1.0, "outlets1": 1.0, "fridge1": 0.2}
    house = FlexibleHouse(shop_panel(thermostat("heat1", HEATING)), draws_kw, {"heat1": 2.0})
    house.limits["heat1"] = house.own["heat1"] = 21.0
    house.wait(300.0)
    send_event(house, 2.0, duration_sec=1_800.0)
    house.wait(60.0)
    house.limits["heat1"] += 0.5
    house.wait(60.0)
    assert "circuit.manual_override" in house.alerted


@each_case(
    ("before", "keeps", "kept"),
    [
        (15.7, lambda amps: float(round(amps)), 16.0),  # whole amps
        (32.0, lambda amps: min(amps, 25.0), 25.0),  # its cable or its switch allows no more now
        (30.0, lambda amps: max(amps, 10.0), 30.0),  # never less than its own least
    ],
)
def test_a_limit_that_its_device_keeps_otherwise_is_given_back_and_not_fought_over(
    before: float, keeps: Callable[[float], float], kept: float
) -> None:
    house = OwnWayHouse(charger_panel(), {"car1": 3.7, "other1": 3.0})
    house.keeps = keeps
    house.limits["car1"] = before
    house.wait(300.0)
    send_event(house, 2.0)
    house.wait(700.0)
    assert house.limits["car1"] == kept
    assert house.statuses()[-1] == "completed"
    assert house.alerts == {}
    known = len(house.written)
    house.limits["car1"] = 12.0  # the building's own load management
    house.wait(3_600.0)
    assert (house.limits["car1"], len(house.written)) == (12.0, known)


@each_case("restarted", [False, True])
def test_of_one_that_is_given_back_late_what_others_set_then_stays(restarted: bool) -> None:
    """It was away at the end, and its load management had set another limit."""
    house = OwnWayHouse(charger_panel(), {"car1": 7.0, "other1": 3.0})
    house.keeps = lambda amps: min(amps, 25.0)
    house.limits["car1"] = 32.0
    house.wait(300.0)
    send_event(house, 4.0)
    house.broken = {"car1"}
    house.wait(900.0)
    assert ("restore.failed", "car1") in house.alerts
    if restarted:
        house.restart()
    house.broken = set()
    house.wait_until_all_are_back()
    assert house.limits["car1"] == 25.0
    known = len(house.written)
    house.limits["car1"] = 6.0
    house.wait(3_600.0)
    assert (house.limits["car1"], len(house.written)) == (6.0, known)
    assert house.alerts == {}


@each_case("restarted", [False, True])
@each_case("is_late", [False, True])
def test_no_limit_that_its_device_shows_but_does_not_take_is_given_back_as_full_scale(
    is_late: bool, restarted: bool
) -> None:
    """A charger that shows 65535 for unset and takes 6 to 50 A was limited for ever."""
    house = OwnWayHouse(charger_panel(), {"car1": 7.2, "other1": 3.0})
    house.keeps = lambda amps: amps
    house.limits["car1"] = house.refuses = 65_535.0
    house.wait(300.0)
    send_event(house, 4.0)
    assert house.limits["car1"] < 30.0
    if is_late:
        house.broken = {"car1"}
        house.wait(900.0)
    if restarted:
        house.restart()
    house.broken = set()
    house.wait(900.0)
    house.wait_until_all_are_back()
    assert house.limits["car1"] == 50.0
    assert house.power_kw == pytest.approx(10.2)
    assert house.alerts == {}
    assert house.statuses()[-1] == "completed"
