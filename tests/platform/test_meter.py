"""A read at once, and the driver's publications that come while it is under way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.platform.site import ROOT
from VenAgent.config import AgentConfig
from VenAgent.dr.panel import Reading
from VenAgent.site.meter import Meter
from VenAgent.volttron_compat import RemoteError, format_timestamp, get_aware_utc_now

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
DEVICE = CONFIG.panel.device
OPEN = {"total_kw": 18.0, "heater1_contactor": 0}
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


def meter_of(driver: Any, heard: list[Reading]) -> Meter:
    return Meter(None, driver, CONFIG, heard.append)


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
    assert [reading.power_kw for reading in heard] == [pytest.approx(18.0)]


def test_what_is_read_at_once_is_told_as_publications_are() -> None:
    heard: list[Reading] = []
    meter = meter_of(Driver(CLOSED), heard)
    assert meter.read_now()
    assert [reading.power_kw for reading in heard] == [pytest.approx(22.5)]
