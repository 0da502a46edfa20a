"""Circuits of two control points, a battery's mode and a charger's pause: from registers through
the core to registers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dr.house import send_event
from tests.site.register_house import RegisterHouse, register_config
from tests.site.two_point_home import (
    BATTERY,
    BEFORE,
    CHARGER,
    HEATER,
    REGISTERS,
    own_registers,
    two_point_home,
    two_point_physics,
)
from tests.support.each_case import each_case
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite

# ---- one of two writes is lost -------------------------------------------------------------------


@pytest.mark.long
@each_case("lost", ["mode", "command_w"])
@each_case("away_sec", [6.0, 200.0])
def test_a_battery_that_goes_back_by_half_at_its_reserve_is_no_ones_hand(
    lost: str, away_sec: float
) -> None:
    house = two_point_home()
    send_event(house, 5.0, duration_sec=1200.0)
    house.wait(60.0)
    assert house.registers["mode"] == 4
    house.dead = {lost}
    house.registers["soc"] = 20.0
    house.wait(away_sec)
    house.dead = set()
    house.wait(90.0)
    assert house.registers["mode"] == 1, "it follows its own programme while the event goes on"
    house.wait(3600.0)
    assert own_registers(house) == BEFORE
    assert "manual_override" not in {ack.get("reason_code") for ack in house.acks}
    assert house.alerts == {}


@pytest.mark.long
@each_case("lost", ["pause", "amps"])
def test_a_charger_that_goes_back_by_half_under_a_limit_is_no_ones_hand(lost: str) -> None:
    house = two_point_home(soc=10.0)
    house.send("limit", event_id="L", correlationId="1", import_kw=13.2)
    house.wait(100.0)
    house.send("limit", event_id="L", correlationId="2", import_kw=11.0, modification=1)
    house.wait(100.0)
    assert house.registers["pause"] == 1
    house.dead = {lost}
    house.send("limit", event_id="L", correlationId="3", import_kw=40.0, modification=2)
    told = len(house.acks)
    house.wait(600.0)
    assert len(house.acks) - told <= 2 * 12, "each try is told: one a minute is enough"
    house.dead = set()
    house.wait(120.0)
    assert own_registers(house) == BEFORE
    house.send("cancel", event_id="L", correlationId="x")
    house.wait(3600.0)
    assert own_registers(house) == BEFORE
    assert "manual_override" not in {ack.get("reason_code") for ack in house.acks}
    assert house.alerts == {}


@pytest.mark.long
def test_a_hand_after_a_release_that_failed_whole_is_a_hand() -> None:
    """Nothing of it was written: once it is seen as it was, a change of it is someone's."""
    house = two_point_home()
    send_event(house, 5.0, duration_sec=2400.0)
    house.wait(60.0)
    house.dead = {"mode", "command_w"}
    house.registers["soc"] = 20.0
    house.wait(6.0)
    house.registers["soc"] = 60.0
    house.wait(20.0)
    house.registers["command_w"] = 1000
    house.wait(60.0)
    assert "manual_override" in {ack.get("reason_code") for ack in house.acks}
    house.dead = set()
    house.wait(3600.0)
    assert (house.registers["mode"], house.registers["command_w"]) == (4, 1000), "it is theirs"


# ---- a charger that someone paused ---------------------------------------------------------------


def test_a_charger_that_its_owner_paused_is_not_started_by_a_load_up() -> None:
    """It is switched off by a person; what its register holds beside that is theirs as well."""
    house = two_point_home(pause=1, soc=100.0)
    house.send("loadUp", event_id="u", correlationId="u", raise_kw=2.0, duration_sec=120)
    house.wait(600.0)
    assert own_registers(house) == BEFORE | {"pause": 1}
    assert house.written == []
    assert house.statuses("u")[-1] == "failed"


def test_a_charger_that_was_turned_down_is_raised_and_is_what_it_was() -> None:
    house = two_point_home(amps=8, soc=100.0)
    house.send("loadUp", event_id="u", correlationId="u", raise_kw=1.5, duration_sec=120)
    house.wait(60.0)
    assert house.registers["amps"] == 14
    house.wait(600.0)
    assert own_registers(house) == BEFORE | {"amps": 8}


# ---- a remote mode that lapses -------------------------------------------------------------------

WATCHDOG_SEC = 60.0


class LapsingHouse(RegisterHouse):
    """An inverter's command time-out: a minute without a write, and the battery follows its own
    programme again. What its register holds stays there."""

    sent_ts = 0.0

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        failures = super()._write(writes)
        self.sent_ts = self.now
        return failures

    def read(self) -> PanelReading:
        if self.now - self.sent_ts >= WATCHDOG_SEC:
            self.registers["mode"] = 1
        self.registers["soc"] += 0.01 * self.registers.get("battery_kw", 0.0)
        return super().read()


def lapsing_home(**quirks: Any) -> LapsingHouse:
    house = LapsingHouse(
        register_config(BATTERY, CHARGER, HEATER, **quirks), REGISTERS, two_point_physics
    )
    house.wait(300.0)
    return house


@pytest.mark.long
@each_case("op", ["event", "limit", "loadUp"])
def test_a_battery_whose_remote_mode_lapses_is_written_again_before(op: str) -> None:
    """It idled for the rest of the event, "changed by hand", and others went off in its place."""
    house = lapsing_home(renew_sec=20)
    asked = {
        "event": {"shed_kw": 4.0, "duration_sec": 1_200.0},
        "limit": {"import_kw": 11.0, "duration_sec": 1_200.0},
        "loadUp": {"raise_kw": 3.0, "duration_sec": 1_200.0},
    }
    house.send(op, event_id="e1", correlationId="c1", **asked[op])
    house.wait(200.0)  # a limit makes up for what was drawn before, and then lets some back
    commanded = house.registers["command_w"]
    assert (house.registers["mode"], commanded < 0) == (4, op == "loadUp")
    acked = list(house.statuses())
    for _ in range(95):
        house.wait(10.0)
        assert house.registers["mode"] == 4
    assert (house.registers["command_w"], house.registers["heater_on"]) == (commanded, True)
    assert house.statuses() == acked
    assert house.alerts == {}
    house.wait(600.0)
    assert own_registers(house) == BEFORE
    known = len(house.written)
    house.wait(600.0)
    assert len(house.written) == known


def test_without_the_setting_a_remote_mode_that_lapses_is_given_back_all_the_same() -> None:
    house = lapsing_home()
    send_event(house, 4.0, duration_sec=600.0)
    house.wait(200.0)
    assert house.registers["mode"] == 1
    house.wait(1_200.0)
    assert own_registers(house)["mode"] == BEFORE["mode"]
    assert own_registers(house)["heater_on"] is True


# ---- an inverter whose limit has to be enabled -------------------------------------------------

INVERTER: dict[str, Any] = {
    "id": "pv1",
    "name": "Roof",
    "type": "solar",
    "breaker_amps": 50,
    "generates": True,
    "control": "limit",
    "power_point": "pv_kw",
    "limit_point": "most_percent",
    "limit_full_scale_kw": 10,
    "mode_point": "most_enabled",
    "mode_value": 1,
    "mode_release_value": 0,
}


def inverter_physics(registers: dict[str, float | bool]) -> None:
    most_kw = registers["most_percent"] / 10.0 if registers["most_enabled"] == 1 else 10.0
    registers["pv_kw"] = -min(float(registers["sun_kw"]), most_kw)
    registers["total_kw"] = 0.5 + registers["pv_kw"]


@pytest.mark.long
def test_an_inverters_limit_is_enabled_with_it_also_after_a_night_and_given_back() -> None:
    """SunSpec's WMaxLim_Ena: 0 when it is delivered, and again after each night."""
    registers = {"most_percent": 100, "most_enabled": 0, "sun_kw": 8.0}
    house = RegisterHouse(register_config(INVERTER), registers, inverter_physics)
    house.wait(300.0)
    house.send("limit", event_id="e1", correlationId="c1", export_kw=2.0)
    for _ in range(2):
        house.wait(300.0)
        assert house.registers["most_enabled"] == 1
        assert 1.4 < -float(house.registers["total_kw"]) <= 2.0
        house.registers["sun_kw"] = 0.0
        house.wait(3_600.0)
        house.registers["most_enabled"] = 0
        house.wait(60.0)
        house.registers["sun_kw"] = 8.0
    house.wait(300.0)
    house.send("cancel", event_id="e1", correlationId="c2")
    house.wait(300.0)
    assert (house.registers["most_enabled"], house.registers["pv_kw"]) == (0, -8.0), "it is free"
    assert house.alerts == {}
