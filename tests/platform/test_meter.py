"""A read at once, and the driver's publications that come while it is under way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.lock import RLock

from tests.platform.site import ROOT
from VenAgent.config import AgentConfig
from VenAgent.dr.panel import PanelReading
from VenAgent.site.device_requests import DeviceRequestFailure, DeviceRequests, request_by_device
from VenAgent.site.gateway_turns import GatewayTurns
from VenAgent.site.meter import Meter
from VenAgent.volttron_compat import RemoteError, format_timestamp, get_aware_utc_now

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
DEVICE = CONFIG.panel.device
OPEN = {"total_kw": 18.0, "heater1_contactor": 0}
FULL = (
    dict.fromkeys(
        (
            point
            for circuit in CONFIG.circuits
            for point in (*circuit.power_points, circuit.switch_point, circuit.limit_point)
            if point
        ),
        1,
    )
    | dict.fromkeys(("voltage", "current_amps", "battery_soc"), 1.0)
    | OPEN
)
"""All points that the agent is configured to read."""
CLOSED = {"total_kw": 22.5, "heater1_contactor": 1}


class Driver:
    """Scrapes when it is asked; `meanwhile` happens before its answer is there."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.meanwhile: Callable[[], None] = lambda: None

    def call(self, peer: str, method: str, device: str) -> Driver:
        assert (method, device) == ("scrape_all", DEVICE)
        return self

    def get(self, timeout: float) -> Any:
        assert timeout > 0
        self.meanwhile()
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


LEARNING_SEC = 30.0
"""Who waits longer than this does it to learn."""


class LateDriver(Driver):
    """Answers after `after_sec`, to who waits for so long; it hangs, or gives signs of life."""

    def __init__(self, after_sec: float, *, hangs: bool = False) -> None:
        super().__init__(CLOSED)
        self._after_sec = after_sec
        self._hangs = hangs
        self.waited_sec: list[float] = []
        """By request, without what is learnt afterwards."""

    @property
    def asked(self) -> int:
        return len(self.waited_sec)

    def call(self, peer: str, method: str, *device: str) -> Any:
        if method == "health.get_status":
            assert peer == "platform.driver"
            gone = gevent.Timeout(1.0) if self._hangs else None
            return SignOfLife(gone)
        self.waited_sec.append(0.0)
        super().call(peer, method, *device)
        return self

    def get(self, timeout: float) -> Any:
        if timeout > LEARNING_SEC:
            if timeout < self._after_sec:
                raise gevent.Timeout(timeout)
            return super().get(timeout)
        self.waited_sec[-1] += timeout
        if self.waited_sec[-1] < self._after_sec:
            raise gevent.Timeout(timeout)
        return super().get(timeout)


class SignOfLife:
    def __init__(self, failure: gevent.Timeout | None) -> None:
        self._failure = failure

    def get(self, timeout: float) -> Any:
        assert timeout == 0.0
        if self._failure is not None:
            raise self._failure
        return {"status": "GOOD"}


def meter_of(driver: Any, heard: list[PanelReading]) -> Meter:
    return Meter(None, DeviceRequests(driver, CONFIG), CONFIG, heard.append)


def publish(meter: Meter, values: dict[str, Any]) -> None:
    """As the driver does when its scrape is done: the time is that of its end."""
    headers = {"TimeStamp": format_timestamp(get_aware_utc_now())}
    meter._published("pubsub", "platform.driver", "", f"devices/{DEVICE}/all", headers, [values])


def test_a_publication_that_was_read_before_the_write_is_not_what_is_read_after_it() -> None:
    """The driver was scraping a slow device when the contactor was closed again."""
    driver = Driver(CLOSED)
    meter = meter_of(driver, [])
    publish(meter, OPEN)
    driver.meanwhile = lambda: publish(meter, OPEN)
    fresh = meter.fresh_reading()
    assert fresh.power_kw == pytest.approx(22.5)
    assert fresh.circuit("heater1").closed is True


def test_without_an_answer_nothing_is_read_whatever_was_published() -> None:
    driver, heard = Driver(RemoteError("gone", exc_type="IOError", exc_args=["gone"])), []
    meter = meter_of(driver, heard)
    driver.meanwhile = lambda: publish(meter, OPEN)
    fresh = meter.fresh_reading()
    assert fresh.power_kw is None
    assert fresh.circuit("heater1").closed is None
    assert "gone" in str(meter.failure)
    assert {reading.power_kw for reading in heard} == {18.0}


def test_what_was_published_since_our_last_write_serves_a_plan_when_an_answer_is_lost() -> None:
    driver = Driver(RemoteError("lost", exc_type="IOError", exc_args=["lost"]))
    meter = meter_of(driver, [])
    publish(meter, FULL)
    assert meter.plan_reading().power_kw == pytest.approx(18.0)
    assert meter.plan_reading().circuit("heater1").closed is False
    assert meter.fresh_reading().power_kw is None, "but it proves nothing"
    meter.written({f"{DEVICE}/heater1_contactor": True}, time.time())
    assert meter.plan_reading().power_kw is None
    publish(meter, FULL)
    assert meter.plan_reading().power_kw == pytest.approx(18.0)


def test_a_point_that_an_answer_lacks_is_planned_with_as_it_was_published() -> None:
    lacking = {name: value for name, value in FULL.items() if name != "heater1_kw"}
    meter = meter_of(Driver(lacking), [])
    assert meter.plan_reading().circuit("heater1").power_kw is None
    publish(meter, FULL)
    known_kw = meter.reading(time.time()).circuit("heater1").power_kw
    assert known_kw is not None
    assert meter.plan_reading().circuit("heater1").power_kw == known_kw
    assert meter.fresh_reading().circuit("heater1").power_kw is None, "but it proves nothing"


def test_a_slow_device_is_given_the_time_that_it_needs() -> None:
    """Its answers come, though later than they are waited for at first."""
    driver = LateDriver(22.0)
    requests = DeviceRequests(driver, CONFIG)  # type: ignore[arg-type]
    with pytest.raises(DeviceRequestFailure, match="no answer within 10 s"):
        requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE)
    gevent.sleep(0)  # it is waited for all the same, to learn from it
    requests._readings_sec[DEVICE].append(6.0)
    assert requests.limit_sec(DEVICE) == 12.0
    assert requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE) == CLOSED
    assert driver.waited_sec == [10.0, 24.0]


def test_an_answer_that_waits_behind_anothers_lost_one_comes_in_time() -> None:
    """The driver stands still for 3 s for each that is lost: for its own scrape, and for ours."""
    driver = LateDriver(6.1)
    requests = DeviceRequests(driver, CONFIG)  # type: ignore[arg-type]
    assert requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE) == CLOSED
    assert driver.asked == 1, "and is not asked again: the driver would do it twice"


def test_a_driver_that_hangs_is_given_up_sooner_than_one_that_waits_for_a_lost_answer() -> None:
    driver = LateDriver(1_000.0, hangs=True)
    requests = DeviceRequests(driver, CONFIG)  # type: ignore[arg-type]
    with pytest.raises(DeviceRequestFailure, match="no answer within 5 s") as failed:
        requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE)
    assert failed.value.is_silence
    assert driver.waited_sec == [5.0]


def test_a_driver_that_is_busy_with_a_slow_device_is_waited_for() -> None:
    """It answers nothing meanwhile, not even for itself."""
    driver = LateDriver(9.0, hangs=True)
    requests = DeviceRequests(driver, CONFIG)  # type: ignore[arg-type]
    requests._readings_sec["site/building/slow"].append(5.0)
    assert requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE) == CLOSED


def test_a_device_that_was_silent_keeps_others_waiting_for_less() -> None:
    driver = LateDriver(1_000.0)
    requests = DeviceRequests(driver, CONFIG)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(DeviceRequestFailure):
            requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE)
    assert driver.waited_sec == [10.0, 5.0]


def test_the_plan_of_a_slow_device_takes_what_it_published() -> None:
    driver = Driver(CLOSED)
    meter = meter_of(driver, [])
    publish(meter, FULL)
    asked: list[None] = []
    driver.meanwhile = lambda: asked.append(None)
    meter._requests._readings_sec[DEVICE].append(2.0)
    assert meter.plan_reading().power_kw == pytest.approx(18.0)
    assert asked == []
    meter.written({f"{DEVICE}/heater1_contactor": True}, time.time())
    assert meter.plan_reading().power_kw == pytest.approx(22.5)
    assert asked == [None]


def test_a_request_that_fails_alone_is_made_again_at_once() -> None:
    class Lossy(Driver):
        def __init__(self) -> None:
            super().__init__(CLOSED)
            self.asked = 0

        def get(self, timeout: float) -> Any:
            self.asked += 1
            if self.asked == 1:
                raise RemoteError("lost", exc_type="IOError", exc_args=["no response"])
            return CLOSED

    driver = Lossy()
    assert meter_of(driver, []).fresh_reading().power_kw == pytest.approx(22.5)
    assert driver.asked == 2


def test_an_answer_without_a_value_is_a_failure_and_teaches_nothing() -> None:
    """Driver 2 of VOLTTRON 11 keeps its errors to itself, and its own time limit of 30 s too."""
    driver = Driver({})
    requests = DeviceRequests(driver, CONFIG)  # type: ignore[arg-type]
    asked: list[None] = []
    driver.meanwhile = lambda: asked.append(None)
    with pytest.raises(DeviceRequestFailure, match="could read none of its points") as failed:
        requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE)
    assert (failed.value.may_be_alone, len(asked)) == (True, 3), "it may be one that got lost"
    assert requests.slowest_sec(DEVICE) == 0.0
    late = LateDriver(22.0)
    late._answer = {}
    requests = DeviceRequests(late, CONFIG)  # type: ignore[arg-type]
    with pytest.raises(DeviceRequestFailure, match="no answer within 10 s"):
        requests.ask(DEVICE, "platform.driver", "scrape_all", DEVICE)
    gevent.sleep(0)
    assert requests.limit_sec(DEVICE) == 5.0
    assert requests.answers_of(DEVICE)["failing"] is True


def test_devices_behind_one_gateway_are_asked_one_after_the_other() -> None:
    under_way, most = 0, 0

    class Gateway:
        def call(self, peer: str, method: str, device: str) -> Gateway:
            return self

        def get(self, timeout: float) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            gevent.sleep(0.01)
            under_way -= 1
            return CLOSED

    requests = DeviceRequests(Gateway(), CONFIG)  # type: ignore[arg-type]

    def ask(device: str) -> Any:
        return requests.ask(device, "platform.driver", "scrape_all", device)

    request_by_device(["a", "b", "c"], ask)
    assert most == 3
    requests.share_gateways({"a": "10.0.0.1:502", "b": "10.0.0.1:502", "c": "10.0.0.2:502"})
    most = 0
    request_by_device(["a", "b"], ask)
    assert most == 1
    request_by_device(["a", "c"], ask)
    assert most == 2


def test_writes_go_before_readings_that_wait_behind_a_gateway() -> None:
    """A restore does not wait until all units have been read."""
    asked: list[str] = []

    class Gateway:
        def call(self, peer: str, method: str, device: str) -> Gateway:
            asked.append(f"{method} {device}")
            return self

        def get(self, timeout: float) -> Any:
            gevent.sleep(0.01)
            return CLOSED

    requests = DeviceRequests(Gateway(), CONFIG)  # type: ignore[arg-type]
    requests.share_gateways(dict.fromkeys("abcd", "10.0.0.1:502"))
    reading = gevent.spawn(
        request_by_device,
        "abcd",
        lambda device: requests.ask(device, "platform.driver", "scrape_all", device),
    )
    gevent.sleep(0)  # a is being read
    given_up = gevent.spawn(requests.ask, "b", "platform.driver", "set_point", "b")
    restored = gevent.spawn(requests.ask, "c", "platform.driver", "revert_point", "c")
    gevent.sleep(0)
    given_up.kill()
    reading.get()
    assert restored.ready()
    assert asked == ["scrape_all a", "revert_point c", *(f"scrape_all {d}" for d in "bcd")]
    assert requests.ask("a", "platform.driver", "scrape_all", "a") == CLOSED, "the turn is free"


def test_a_driver_that_queues_by_itself_gets_writes_at_once() -> None:
    asked: list[str] = []

    class Driver11:
        def call(self, peer: str, method: str, device: str) -> Driver11:
            asked.append(f"{method} {device}")
            return self

        def get(self, timeout: float) -> Any:
            gevent.sleep(0.01)
            return CLOSED

    requests = DeviceRequests(Driver11(), CONFIG)  # type: ignore[arg-type]
    requests.share_gateways(dict.fromkeys("ab", "10.0.0.1:502"), driver_queues=True)
    asking = [
        gevent.spawn(requests.ask, device, "platform.driver", method, device)
        for method in ("scrape_all", "set_point")
        for device in "ab"
    ]
    gevent.sleep(0)
    assert asked == ["scrape_all a", "set_point a", "set_point b"]
    gevent.joinall(asking)
    assert asked[3:] == ["scrape_all b"]


def test_the_same_gateways_read_anew_are_the_same_ones() -> None:
    """The driver's entries are read every few minutes, also while somebody waits for its turn."""
    requests = DeviceRequests(Driver(CLOSED), CONFIG)  # type: ignore[arg-type]
    requests.share_gateways(dict.fromkeys("ab", "10.0.0.1:502"))
    turns = requests._gateways["a"]
    requests.share_gateways(dict.fromkeys("ab", "10.0.0.1:502"))
    assert requests._gateways["b"] is turns
    requests.share_gateways({"a": "10.0.0.1:502", "b": "10.0.0.2:502"})
    assert requests._gateways == {}


def test_who_is_given_up_with_the_turn_in_hand_passes_it_on() -> None:
    turns = GatewayTurns()
    had: list[str] = []

    def work(name: str) -> None:
        with turns.turn(is_write=False):
            had.append(name)

    with turns.turn(is_write=True):
        waiting = [gevent.spawn(work, name) for name in "ab"]
        gevent.sleep(0)
        waiting[0].kill(block=False)  # it is given the turn before it ends
    waiting[1].get()
    assert had == ["b"]
    work("c")
    assert had == ["b", "c"]


def test_many_quick_writes_do_not_make_a_slow_reading_seem_quick() -> None:
    requests = DeviceRequests(Driver(CLOSED), CONFIG)  # type: ignore[arg-type]
    for answer_sec in (8.0, 8.1, 8.2):
        requests._learnt(DEVICE, "scrape_all", answer_sec)
    for _ in range(10):
        requests._learnt(DEVICE, "set_point", 0.2)
    assert requests.limit_sec(DEVICE) == pytest.approx(16.2)
    assert requests.is_slow(DEVICE)
    assert requests.answers_of(DEVICE)["answer_sec"] == 8.1


def test_all_devices_together_are_waited_for_as_long_as_they_need_and_no_longer() -> None:
    requests = DeviceRequests(Driver(CLOSED), CONFIG)  # type: ignore[arg-type]
    devices = [f"site/gateway/unit{number}" for number in range(8)]
    assert requests.together_sec(devices) == 30.0
    requests._readings_sec[devices[0]].append(4.0)
    assert requests.together_sec(devices) == 64.0, "the others may be like it"
    for device in devices:
        requests._readings_sec[device].append(4.0)
    assert requests.together_sec(devices) == 64.0
    # 8 units with 40 registers each, at 0.2 s a request
    for device in devices:
        requests._readings_sec[device].extend([8.0] * 3)
    assert requests.together_sec(devices) == 120.0, "64 s and nearly as much again"
    for device in devices:
        requests._readings_sec[device].extend([60.0] * 5)
    assert requests.together_sec(devices) == 120.0, "and no longer, unless their quirks say so"


def test_who_sent_a_command_is_not_kept_waiting_for_the_polls_of_a_driver() -> None:
    waiting: set[str] = set()
    requests = DeviceRequests(Driver(CLOSED), CONFIG, lambda: waiting)  # type: ignore[arg-type]
    devices = ["site/gateway/unit1", "site/gateway/unit2"]
    for device in devices:
        requests._readings_sec[device].extend([33.0] * 3)
    assert requests.together_sec(devices) == 120.0
    waiting.update(devices)
    assert requests.together_sec(devices) == 30.0


def test_who_is_not_done_in_time_is_given_up_and_gives_up_its_turn() -> None:
    turn = RLock()

    def work(device: str) -> str:
        with turn:
            if device == "hangs":
                gevent.sleep(3_600.0)
            return "read"

    def given_up(device: str) -> str:
        return f"{device} was given up"

    assert request_by_device(["hangs", "waits"], work, 0.05, given_up) == {
        "hangs": "hangs was given up",
        "waits": "waits was given up",
    }
    assert request_by_device(["waits"], work, 60.0, given_up) == {"waits": "read"}


def test_what_is_read_at_once_is_told_as_publications_are() -> None:
    heard: list[PanelReading] = []
    meter = meter_of(Driver(CLOSED), heard)
    assert meter.read_now()
    assert [reading.power_kw for reading in heard] == [pytest.approx(22.5)]


def test_a_plan_does_not_wait_for_an_inverter_that_sleeps() -> None:
    """An event of 12 s ended before its first write."""
    inverter = {
        "id": "roof1",
        "name": "Roof",
        "breaker_amps": 16,
        "generates": True,
        "device": "b/pv",
        "power_point": "pv_kw",
        "switch_point": "pv_on",
    }
    contents = json.loads((ROOT / "config").read_text())
    contents["circuits"].append(inverter)
    config = AgentConfig.load(contents, {})
    asked: list[str] = []

    class Asleep(Driver):
        def get(self, timeout: float) -> Any:
            raise gevent.Timeout(timeout)

    class Night(Driver):
        def call(self, peer: str, method: str, *args: Any) -> Any:
            if method == "health.get_status":
                return SignOfLife(gevent.Timeout(1.0))
            asked.append(args[0])
            return self if args[0] == DEVICE else Asleep(None)

    meter = Meter(None, DeviceRequests(Night(FULL), config), config, lambda reading: None)
    assert not meter.read_now()
    meter.plan_reading()
    assert asked.count("b/pv") == 2, "one that was never read may be there by now"
    meter.points.update("b/pv", {"pv_kw": -3.0, "pv_on": 1}, time.time() - 1_000.0)
    asked.clear()
    reading = meter.plan_reading()
    assert asked == [DEVICE]
    assert reading.power_kw == 18.0
    meter.fresh_reading()
    assert asked == [DEVICE, DEVICE]
    assert reading.circuit("roof1").power_kw is None
    meter.points.update("b/pv", {"pv_kw": -3.0, "pv_on": 1}, time.time())
    asked.clear()
    assert meter.plan_reading().circuit("roof1").power_kw == -3.0
    assert "b/pv" in asked, "it is awake"
