"""One VOLTTRON 11 for all tests of this folder: driver, simulated panel, broker, and the agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.platform11.site11 import DRIVER, VEN, Operator, Site11, broker, simulated_panel


class Built:
    """The site and both its ends."""

    def __init__(self, site: Site11, operator: Operator, panel: SimulatedPanelControl) -> None:
        self.site, self.operator, self.panel = site, operator, panel


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    folder = Path(os.environ["TMPDIR"]) / "v"  # short: VOLTTRON makes socket names below it
    folder.mkdir()
    with simulated_panel() as (modbus_port, panel), broker(folder) as broker_port:
        site = Site11(folder, broker_port, modbus_port)
        operator = Operator(broker_port)
        try:
            with site.platform():
                site.follow_the_page()
                site.wait_for_health("GOOD")
                yield Built(site, operator, panel)
                for identity in (VEN, DRIVER):
                    if site.pid(identity) is not None:
                        site.stop(identity)
        finally:
            operator.close()
            site.run("pip", "uninstall", "-y", "venagent")


@pytest.fixture
def site(built: Built) -> Iterator[Site11]:
    yield built.site
    built.panel.clear()
    if built.site.pid(VEN) is None:
        built.site.start(VEN)
    built.operator.command("restore")
    built.panel.wait_until(lambda state: all(state["contactors"].values()), 60.0)


@pytest.fixture
def operator(built: Built) -> Operator:
    return built.operator


@pytest.fixture
def panel(built: Built) -> SimulatedPanelControl:
    return built.panel
