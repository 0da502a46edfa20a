"""What the building's parts learn from a driver that is being started."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.platform.site import ROOT, wait_for
from VenAgent.config import AgentConfig
from VenAgent.site import building as building_module
from VenAgent.site.building import Building
from VenAgent.volttron_compat import RemoteError

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
DEVICE = CONFIG.panel.device


class StartingDriver:
    """Its first readings fail, as those of driver 2 do until its Modbus proxy runs."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.vip = SimpleNamespace(
            rpc=self, pubsub=SimpleNamespace(subscribe=self.listen, unsubscribe=self.listen)
        )
        onviperror = SimpleNamespace(connect=lambda _: None)
        self.core = SimpleNamespace(identity="ven.agent", onviperror=onviperror)

    def listen(self, **_: Any) -> Answer:
        return Answer(None)

    def call(self, peer: str, method: str, *args: Any) -> Answer:
        if method != "scrape_all":
            return Answer({})
        self.failures -= 1
        if self.failures >= 0:
            return Answer(RemoteError("", exc_type="DriverInterfaceError", exc_args=["no proxy"]))
        return Answer({"total_kw": 18.0})


class Answer:
    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, timeout: float) -> Any:
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


def test_how_long_a_device_takes_is_learnt_soon_after_a_driver_that_refused_while_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise nobody is told for 5 minutes that what shares a connection is polled too fast."""
    monkeypatch.setattr(building_module, "READ_AGAIN_SEC", 0.01)
    building = Building(StartingDriver(failures=7), CONFIG, lambda _: None)
    building.start()
    try:
        wait_for(
            lambda: building.device_answers()[DEVICE]["answer_sec"] is not None, "it is read", 5
        )
    finally:
        building.stop()
