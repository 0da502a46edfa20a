"""Writes where the platform driver reserves its devices; a real one is in tests/platform11."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.platform.site import ROOT, VEN
from VenAgent.config import AgentConfig
from VenAgent.config.site_config import SiteLeaseConfig
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.actuator import Actuator
from VenAgent.site.device_requests import DeviceRequests
from VenAgent.site.failsafe import Failsafe
from VenAgent.volttron_compat import RemoteError

DRIVER = "platform.driver"
CONFIG = AgentConfig.load(
    json.loads((ROOT / "config").read_text()) | {"actuator_identity": DRIVER}, {}
)
DEVICE = CONFIG.panel.device
OFF = [PointWrite(name, f"{DEVICE}/{name}_contactor", value=False) for name in ("heater1", "ev1")]
BACK = PointWrite("heater1", f"{DEVICE}/heater1_contactor", value=True, relinquish=True)


class Answer:
    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, timeout: float) -> Any:
        if isinstance(self._value, RemoteError):
            raise self._value
        return self._value


class Driver2:
    """2.0.0rc9 with `reservation_required_for_write`: no single point is written, several are."""

    def __init__(self, holder: str | None = None) -> None:
        self.tasks = {} if holder is None else {"task": holder}
        self.overridden: list[str] = []
        self.is_ready = True
        self.points: dict[str, Any] = {}
        self.reverted: list[str] = []

    def call(self, peer: str, method: str, *args: Any) -> Answer:
        return Answer(getattr(self, method)(*args))

    def request_new_schedule(self, _: str, task: str, priority: str, slots: list[Any]) -> Any:
        if not self.is_ready:
            return self._unready()
        if self.tasks:
            by_agent = {holder: {held: slots} for held, holder in self.tasks.items()}
            return [False, by_agent, "CONFLICTS_WITH_EXISTING_RESERVATIONS"]
        self.tasks[task] = VEN
        return [True, {}, ""]

    def request_cancel_schedule(self, _: str, task: str) -> Any:
        return [self.tasks.pop(task, None) is not None, {}, ""]

    def get_override_devices(self) -> Any:
        return self.overridden if self.is_ready else self._unready()

    def set_point(self, *_: Any) -> RemoteError:
        if not self.is_ready:
            return self._unready()
        return RemoteError("", exc_type="ReservationLockError", exc_args=["none is found"])

    revert_point = set_point

    def set_multiple_points(self, _: str, values: list[Any]) -> dict[str, str]:
        self.points |= {topic.rpartition("/")[2]: value for topic, value in values}
        return {}

    def scrape_all(self, device: str) -> dict[str, Any]:
        return {f"devices/{device}/{point}": value for point, value in self.points.items()}

    def revert(self, topics: list[str]) -> dict[str, str]:
        self.reverted += topics
        return {}

    @staticmethod
    def _unready() -> RemoteError:
        text = "'NoneType' object has no attribute 'reserved_by'"
        return RemoteError(text, exc_type="builtins.AttributeError", exc_args=[text])


def actuator_of(driver: Any) -> Actuator:
    return Actuator(driver, DeviceRequests(driver, CONFIG), CONFIG, VEN)


@pytest.mark.parametrize("holder", [VEN, None], ids=["for our event", "forgotten in a restart"])
@pytest.mark.parametrize("count", [1, 2])
def test_where_a_reservation_is_required_ours_is_written_under(
    count: int, holder: str | None
) -> None:
    driver = Driver2(holder)
    assert actuator_of(driver).put_back(OFF[:count]) == {}
    assert driver.points == dict.fromkeys(["heater1_contactor", "ev1_contactor"][:count], False)
    assert list(driver.tasks.values()) == ([VEN] if holder else [])


def test_where_a_reservation_is_required_a_point_is_reverted_under_ours() -> None:
    driver = Driver2(VEN)
    assert actuator_of(driver).put_back([BACK]) == {}
    assert driver.reverted == [f"devices/{BACK.point}"]


def test_what_another_agent_holds_is_not_written_and_it_is_named() -> None:
    driver = Driver2("lighting")
    failures = actuator_of(driver).put_back(OFF[:1])
    assert failures["heater1"].code is ReasonCode.DEVICE_RESERVED
    assert "lighting" in failures["heater1"].text
    assert driver.points == {}


@pytest.mark.parametrize("count", [1, 2])
def test_an_override_is_kept_for_one_point_and_for_several(count: int) -> None:
    driver = Driver2(VEN)
    driver.overridden = [f"devices/{DEVICE}"]
    for failures in (actuator_of(driver).write(OFF[:count]), actuator_of(driver).put_back([BACK])):
        assert {why.code for why in failures.values()} == {ReasonCode.DRIVER_OVERRIDE}
    assert (driver.points, driver.reverted) == ({}, [])


def test_a_driver_that_has_not_finished_its_start_leaves_nothing_off() -> None:
    """It reserves nothing and holds no override then, and takes several points."""
    driver = Driver2()
    driver.is_ready = False
    assert actuator_of(driver).put_back(OFF) == {}
    assert actuator_of(driver).put_back(OFF[:1]) == {}
    assert actuator_of(driver).put_back([BACK]) == {}
    assert set(driver.points) == {"heater1_contactor", "ev1_contactor"}


def test_a_lease_is_renewed_where_a_reservation_is_required() -> None:
    driver = Driver2(VEN)
    lease = SiteLeaseConfig(device=DEVICE, heartbeat_point="heartbeat", timeout_sec=60.0)
    failsafe = Failsafe(DeviceRequests(driver, CONFIG), [lease], DRIVER)  # type: ignore[arg-type]
    failsafe.renew()
    assert failsafe.failure is None
    assert driver.points == {"heartbeat": 1}
