"""The event engine: devices that drop a limit which is not written again."""

from __future__ import annotations

from dataclasses import replace

from tests.dr.builders import limit, panel_of, switch
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.event_state import EventState
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite

VALID_SEC = 60.0


class DroppingHouse(House):
    """What its charger was sent counts for a minute."""

    def __init__(self, renew_sec: float | None) -> None:
        car = replace(limit("car1", 50.0, priority=5), renew_sec=renew_sec)
        panel = panel_of(car, switch("other1", priority=3), limit("heat1", priority=1))
        super().__init__(panel, {"car1": 7.2, "other1": 3.0, "heat1": 4.0})
        self.sent_ts: float | None = None

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        failures = super()._write(writes)
        if any(w.circuit_id == "car1" and w.circuit_id not in failures for w in writes):
            self.sent_ts = self.now
        return failures

    def read(self) -> PanelReading:
        if self.sent_ts is not None and self.now - self.sent_ts >= VALID_SEC:
            self.limits["car1"] = 100.0
        return super().read()


@each_case("lost", [False, True])
def test_a_limit_that_its_device_drops_is_written_again_before(lost: bool) -> None:
    """It was "changed by hand" a minute into each event, and others were shed instead."""
    house = DroppingHouse(renew_sec=20.0)
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=900.0)
    limited = house.limits["car1"]
    assert limited < 100.0
    acked = list(house.statuses())
    house.wait(100.0)
    if lost:  # two of three
        house.broken = {"car1"}
        house.wait(39.0)
        house.broken = set()
    house.wait(700.0)
    assert house.limits == {"car1": limited, "heat1": 100.0}
    assert house.opened() == set()
    assert house.alerts == {}
    assert house.statuses() == acked
    assert 40 <= len(house.written) <= 50
    house.wait(200.0)
    assert house.limits["car1"] == 100.0
    known = len(house.written)
    house.wait(600.0)
    assert len(house.written) == known


def test_an_event_that_is_ended_while_a_limit_is_written_again_gives_it_back() -> None:
    house = DroppingHouse(renew_sec=20.0)
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=900.0)
    house.hold = True
    house.wait(25.0)
    assert house.engine.running is not None
    assert house.engine.running.state is EventState.SHEDDING
    house.send("restore", event_id="e1", correlationId="x")
    house.hold = False
    house.work()
    house.wait(10.0)
    assert house.replies_to("x") == ["success"]
    assert house.limits["car1"] == 100.0
    assert house.written[-1].value == 100.0


@each_case("is_done", [False, True])
def test_a_kill_while_a_limit_is_written_again_changes_nothing(is_done: bool) -> None:
    house = DroppingHouse(renew_sec=20.0)
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=900.0)
    limited = house.limits["car1"]
    house.hold = True
    house.wait(25.0)
    house.hold = False
    house.restart(work_was_done=is_done)
    house.wait(200.0)
    assert house.limits["car1"] == limited
    assert house.statuses().count("accepted") == 1


def test_without_the_setting_nothing_is_written_again() -> None:
    house = DroppingHouse(renew_sec=None)
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=900.0)
    known = len(house.written)
    house.wait(50.0)
    assert len(house.written) == known


@each_case("read_sec", [5.0, 30.0, 60.0])
@each_case("renew_sec", [5.0, 20.0])
def test_what_a_person_sets_is_not_written_over(renew_sec: float, read_sec: float) -> None:
    """It was looked at only when it was written over already."""
    for phase_sec in (0.0, 3.0, 7.0, 12.0):
        house = DroppingHouse(renew_sec)
        house.report_sec = read_sec
        house.wait(600.0)
        send_event(house, 4.0, duration_sec=1_800.0)
        house.wait(200.0 + phase_sec)
        house.limits["car1"], house.sent_ts = 60.0, None
        house.wait(300.0)
        assert house.limits["car1"] == 60.0, phase_sec
        assert ("circuit.manual_override", "car1") in house.alerts
