"""One real site for all platform tests: VOLTTRON, driver, actuator, panel and broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.patient_platform import started_volttron, stop_volttron
from tests.platform.site import (
    ACTUATOR,
    DEVICE,
    DRIVER,
    ROOT,
    VEN,
    VEN_ID,
    Cloud,
    Site,
    broker,
    simulated_panel,
)
from tests.support.ports import free_port

PANEL_CONFIGS = ROOT / "MeterDriverConfigs" / "simulated_panel"
TRIES = int(os.environ.get("VENAGENT_FAULT_TRIES", "1"))
"""How often the tests of faults are run (benchmarks/faults.py)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--site",
        choices=("with", "without"),
        help="only the tests that use the running VOLTTRON, or only the others; else all",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--site")
    if wanted is None:
        return
    left_out = [
        item
        for item in items
        if ("whole_site" in getattr(item, "fixturenames", ())) != (wanted == "with")
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(TRIES))


@pytest.fixture(scope="session")
def whole_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Started once, as `ven_control.sh start` does it, with short intervals."""
    folder: Path = tmp_path_factory.mktemp("broker")
    with simulated_panel() as (panel_port, panel), broker(folder) as broker_port:
        config = json.loads((ROOT / "config").read_text())
        config.update(ven_id=VEN_ID, report_interval_sec=1.0, shadow_interval_sec=2.0)
        config["web"] = {"port": free_port()}
        config["event"] = {"restore_stagger_sec": 0.0, "rebound_sec": 0.0}
        config["broker"] = {"host": "127.0.0.1", "port": broker_port}
        volttron = started_volttron()
        cloud = Cloud(broker_port)
        try:
            site = Site(volttron, cloud, panel, config, panel_port)
            site.install(DRIVER, "volttron-platform-driver")
            site.install(ACTUATOR, "volttron-actuator")
            driver = json.loads((PANEL_CONFIGS / "driver.json").read_text())
            driver["driver_config"]["port"] = panel_port
            driver["interval"] = 1
            registry = (PANEL_CONFIGS / "registry.csv").read_text()
            site.store(DRIVER, "simulated_panel.csv", registry, "csv")
            site.store(DRIVER, f"devices/{DEVICE}", driver)
            forget_installed_agent()
            site.install(VEN, str(ROOT), config)
            site.wait_for_health("GOOD", timeout_sec=300.0)
            yield site
        finally:
            cloud.close()
            stop_volttron(volttron)


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    """The site as each test finds it: agents up, configuration as installed, panel normal."""
    yield whole_site
    whole_site.panel.clear()
    whole_site.ensure_power()
    for identity in (DRIVER, ACTUATOR, VEN):
        if whole_site.pid(identity) is None:
            whole_site.start(identity)
    whole_site.store(VEN, "config", whole_site.config)
    whole_site.wait_for_health("GOOD", timeout_sec=300.0)
    whole_site.cloud.command("restore")
    whole_site.wait_until_normal()
    whole_site.cloud.telemetry(lambda message: message["eventId"] is None)
    whole_site.cloud.forget()


def forget_installed_agent() -> None:
    """pip keeps an installed package of the same version: an earlier run's code would be tested."""
    pip = [sys.executable, "-m", "pip", "uninstall", "--yes", "venagent"]
    subprocess.run(pip, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
