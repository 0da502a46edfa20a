"""A device that was away for less than a reading may be old, from its points to the decision."""

from __future__ import annotations

import pytest

from tests.dr.builders import VEN_ID
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.config import AgentConfig
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.point_readings import PointReadings

METER, WALLBOX, HEAT_PUMP = "site/meter", "site/wallbox", "site/heat_pump"
CONFIG = AgentConfig.load(
    {
        "ven_id": VEN_ID,
        "panel": {"device": METER, "amperage": 200, "voltage": 240, "power_point": "kw"},
        "circuits": [
            {
                "id": "car",
                "name": "Car",
                "breaker_amps": 40,
                "priority": 5,
                "control": "limit",
                "limit_point": "amps",
                "limit_unit": "amps",
                "device": WALLBOX,
                "power_point": "kw",
            },
            {
                "id": "heat",
                "name": "Heat",
                "breaker_amps": 30,
                "priority": 1,
                "critical": True,
                "control": "limit",
                "limit_point": "percent",
                "device": HEAT_PUMP,
                "power_point": "kw",
            },
        ],
    },
    {},
)


class WrittenPointsHouse(House):
    """Its points know what was written to them."""

    def __init__(self, config: AgentConfig, demand_kw: dict[str, float]) -> None:
        super().__init__(config.build_panel(), demand_kw)
        self.points = PointReadings(config)

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        failures = super()._write(writes)
        written = {w.point: w.value for w in writes if w.circuit_id not in failures}
        self.points.written(written, self.now)
        return failures


class PublishedHouse(WrittenPointsHouse):
    """Its driver publishes each device every 5 s."""

    def __init__(self) -> None:
        super().__init__(CONFIG, {"car": 7.2, "heat": 5.0})
        self.limits["car"] = 32.0
        self.unheard: set[str] = set()

    def read(self) -> PanelReading:
        values = {
            METER: {"kw": self.power_kw},
            WALLBOX: {"kw": self.drawn_kw("car"), "amps": self.limits["car"]},
            HEAT_PUMP: {"kw": self.drawn_kw("heat"), "percent": self.limits["heat"]},
        }
        for device in values.keys() - self.unheard:
            self.points.update(device, values[device], self.now, self.now, published=True)
        return self.points.reading(self.now)


@pytest.mark.long
@each_case("comes_back_with", [32.0, 6.0])
@each_case("away_sec", [9.0, 18.0, 28.0, 45.0])
def test_a_wallbox_that_restarted_is_limited_again_and_given_back(
    away_sec: float, comes_back_with: float
) -> None:
    """ "Changed by hand": the critical heat pump was limited instead, and the car kept the limit
    that its wallbox has without a link, also after the event."""
    house = PublishedHouse()
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=1_800.0)
    house.wait(120.0)
    limited = house.limits["car"]
    house.unheard = {WALLBOX}
    house.wait(away_sec)
    house.limits["car"], house.unheard = comes_back_with, set()
    house.wait(30.0)
    assert house.limits == {"car": limited, "heat": 100.0}
    assert "circuit.manual_override" not in house.alerted
    house.wait(1_800.0)
    assert house.limits == {"car": 32.0, "heat": 100.0}


@each_case("changed_to", [32.0, 6.0])
def test_a_hand_on_one_that_is_heard_all_the_time_is_a_hand(changed_to: float) -> None:
    house = PublishedHouse()
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=1_800.0)
    house.wait(120.0)
    house.limits["car"] = changed_to
    house.wait(30.0)
    assert "circuit.manual_override" in house.alerted
    assert house.limits["car"] == changed_to


BOARD = "site/board"
BOARD_CONFIG = AgentConfig.load(
    {
        "ven_id": VEN_ID,
        "panel": {"device": METER, "amperage": 200, "voltage": 240, "power_point": "kw"},
        "circuits": [
            {
                "id": name,
                "name": name,
                "breaker_amps": 30,
                "priority": priority,
                "power_point": f"{name}_kw",
                "control_device": BOARD,
                "switch_point": f"{name}_on",
            }
            for name, priority in (("heater", 5), ("other", 4))
        ],
    },
    {},
)


class ChangesHouse(WrittenPointsHouse):
    """Its board publishes a relay when that changes; `uptime`, which nobody uses, every 5 s."""

    def __init__(self, interval_sec: float) -> None:
        super().__init__(BOARD_CONFIG, {"heater": 4.5, "other": 3.0})
        self.points.expect_intervals({METER: 5.0, BOARD: interval_sec})
        self.published: dict[str, bool | float] = {}
        self.scraped_ts = self.now
        self.is_there = True

    def read(self) -> PanelReading:
        powers_kw = {f"{name}_kw": self.drawn_kw(name) for name in self.closed}
        metered = {"kw": self.power_kw, **powers_kw}
        self.points.update(METER, metered, self.now, self.now, published=True)
        board = {**{f"{n}_on": on for n, on in self.closed.items()}, "uptime": self.now}
        new = {name: value for name, value in board.items() if self.published.get(name) != value}
        if new and self.is_there:
            self.points.update(BOARD, new, self.now, self.now, published=True)
            self.published |= new
        if self.is_there and self.now - self.scraped_ts >= 300.0:
            self.scraped_ts = self.now
            self.points.update(BOARD, board, self.now, self.now, complete=True)
        return self.points.reading(self.now)


@pytest.mark.long
@each_case("interval_sec", [5.0, 60.0])
@each_case("quiet_sec", [30.0, 200.0, 250.0, 400.0])
def test_a_hand_at_a_relay_that_comes_only_when_it_changes_is_a_hand(
    quiet_sec: float, interval_sec: float
) -> None:
    """It was "restarted", and the relay was opened again against the person: the relay had nothing
    to say, while its board was there all the time."""
    house = ChangesHouse(interval_sec)
    house.wait(400.0)
    send_event(house, 4.4, duration_sec=3_600.0)
    house.wait(120.0 + quiet_sec)
    assert house.opened() == {"heater"}
    house.closed["heater"] = True
    house.wait(120.0)
    assert house.closed["heater"], "as the person left it"
    assert ("circuit.manual_override", "heater") in house.alerts


def test_a_board_that_was_silent_and_comes_back_closed_has_restarted() -> None:
    house = ChangesHouse(5.0)
    house.wait(400.0)
    send_event(house, 4.4, duration_sec=3_600.0)
    house.wait(120.0)
    house.is_there = False
    house.closed["heater"] = True
    house.wait(40.0)
    house.is_there = True
    house.wait(60.0)
    assert house.opened() == {"heater"}
    assert "circuit.manual_override" not in house.alerted
