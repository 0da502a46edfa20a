"""The shed lease, as it is written through the driver."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest

from tests.platform.site import ROOT
from VenAgent.config import AgentConfig
from VenAgent.site.device_requests import DeviceRequests
from VenAgent.site.failsafe import Failsafe
from VenAgent.volttron_compat import RemoteError

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
DEVICE = CONFIG.panel.device


class LeaseDriver:
    """Takes writes, in order; what it refuses together, or at all, is named."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int]] = []
        self.calls: list[str] = []
        self.refused: set[str] = set()
        self.knows_multiple = True
        self.is_silent = False

    def call(self, peer: str, method: str, *args: Any) -> LeaseDriver:
        if method == "health.get_status":
            return self
        self.calls.append(method)
        assert (peer, args[0]) == ("platform.driver", DEVICE)
        self._points = args[1] if method == "set_multiple_points" else [args[1:]]
        return self

    def get(self, timeout: float) -> Any:
        if self.is_silent:
            raise gevent.Timeout(timeout)
        together = self.calls[-1] == "set_multiple_points"
        if together and not self.knows_multiple:
            raise RemoteError("no", exc_type="MethodNotFound", exc_args=["no"])
        errors = {}
        for point, value in self._points:
            if point in self.refused:
                errors[f"{DEVICE}/{point}"] = "refused"
            else:
                self.written.append((point, value))
        if errors and not together:
            raise RemoteError("refused", exc_type="OSError", exc_args=["refused"])
        return errors if together else self._points[0][1]


@pytest.fixture
def driver() -> LeaseDriver:
    return LeaseDriver()


@pytest.fixture
def failsafe(driver: Any) -> Failsafe:
    return Failsafe(DeviceRequests(driver, CONFIG), CONFIG.leases, "platform.driver")


def test_it_is_armed_in_one_call_the_heartbeat_first(
    driver: LeaseDriver, failsafe: Failsafe
) -> None:
    """The driver has one thing less to do before the event's writes."""
    failsafe.arm()
    assert driver.calls == ["set_multiple_points"]
    assert driver.written == [("heartbeat", 1), ("heartbeat_timeout_sec", 120)]
    assert not failsafe.renew()
    assert driver.calls == ["set_multiple_points", "set_point"]
    assert driver.written[-1] == ("heartbeat", 2)
    failsafe.give_back()
    assert driver.written[-1] == ("heartbeat_timeout_sec", 0)


def test_where_the_call_is_missing_or_fails_each_point_is_written_by_itself(
    driver: LeaseDriver, failsafe: Failsafe
) -> None:
    driver.knows_multiple = False
    failsafe.arm()
    assert driver.written == [("heartbeat", 1), ("heartbeat_timeout_sec", 120)]
    assert failsafe.failure is None


@pytest.mark.parametrize("point", ["heartbeat", "heartbeat_timeout_sec"])
def test_a_point_that_is_refused_is_said_so_and_the_other_is_written(
    driver: LeaseDriver, failsafe: Failsafe, point: str
) -> None:
    driver.refused = {point}
    failsafe.arm()
    assert "refused" in str(failsafe.failure)
    assert {name for name, _ in driver.written} == {
        "heartbeat",
        "heartbeat_timeout_sec",
    } - {point}


def test_a_driver_that_is_silent_is_not_asked_for_each_point(
    driver: LeaseDriver, failsafe: Failsafe
) -> None:
    driver.is_silent = True
    failsafe.arm()
    assert driver.calls == ["set_multiple_points"]
    assert "no answer" in str(failsafe.failure)


@pytest.mark.parametrize("edited", ["removed", "renamed"])
def test_a_lease_that_is_edited_away_in_mid_event_is_kept_until_all_is_given_back(
    driver: LeaseDriver, failsafe: Failsafe, edited: str
) -> None:
    """Its device waited for the heartbeat for ever, and went back in each later event."""
    (lease,) = CONFIG.leases
    renamed = lease.model_copy(update={"heartbeat_point": "hb2", "timeout_point": "to2"})
    failsafe.arm()
    failsafe.reconfigure([renamed] if edited == "renamed" else [], "platform.driver")
    assert failsafe.interval_sec == lease.timeout_sec / 3.0
    driver.written.clear()
    failsafe.renew()
    assert ("heartbeat", 2) in driver.written
    failsafe.give_back()
    assert ("heartbeat_timeout_sec", 0) in driver.written
    driver.written.clear()
    failsafe.arm()
    failsafe.renew()
    assert {name for name, _ in driver.written} == (
        {"hb2", "to2"} if edited == "renamed" else set()
    )
