"""check-config compares the driver's pace with the agent's, and counts who shares a connection."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ops.check_config.checked_file import CheckedJsonFile
from ops.check_config.config_findings import ConfigFindings
from ops.check_config.pace_check import check_device_pace
from ops.host.paths import Paths
from tests.ops.check_config.config_folders import MODELS, findings
from tests.ops.conftest import REPO


def test_what_shares_host_and_port_needs_a_limit_of_connections(
    paths: Paths, tmp_path: Path
) -> None:
    """A converter that takes one connection refused 35 of 425 requests, and no one named it."""
    folder = tmp_path / "site"
    shutil.copytree(MODELS / "site_meter_and_relays", folder)
    devices = json.loads((folder / "devices.json").read_text())
    host = {"device_address": "10.0.0.5", "port": 502}
    for unit, entry in enumerate(devices.values(), 1):
        entry["driver_config"] = {**entry.get("driver_config", {}), **host, "slave_id": unit}
    (folder / "devices.json").write_text(json.dumps(devices, indent=2))
    (found,) = findings(paths, folder)
    for words in (*devices, "10.0.0.5:502", '"max_open_sockets"', "platform.driver", "restart"):
        assert words in found
    driver = tmp_path / "platform_driver.json"
    driver.write_text('{"max_open_sockets": 1}')
    assert findings(paths, *folder.iterdir(), driver) == []
    driver.write_text('{"driver_scrape_interval": 0.02}')
    assert "share 10.0.0.5:502" in findings(paths, *folder.iterdir(), driver)[0]
    last = list(devices.values())[-1]
    last["driver_config"].update(device_address=" 10.0.0.5. ", port="502")
    (folder / "devices.json").write_text(json.dumps(devices, indent=2))
    assert "share 10.0.0.5:502" in findings(paths, folder)[0], "however it is spelt"
    last["driver_config"]["device_address"] = "10.0.0.6"
    (folder / "devices.json").write_text(json.dumps(devices, indent=2))
    assert findings(paths, folder) == [], "different hosts are asked at the same time"


def test_driver_and_agent_are_compared(paths: Paths, tmp_path: Path) -> None:
    """A driver's own default of one reading a minute, and a device slower than it is read."""
    folder = tmp_path / "panel"
    shutil.copytree(MODELS / "simulated_panel", folder)
    driver = json.loads((folder / "driver.json").read_text())
    driver["registry_config"] = "config://panel.csv"
    agent = json.loads((REPO / "config").read_text())

    def found(interval: float, **changed: Any) -> list[str]:
        (folder / "driver.json").write_text(json.dumps({**driver, "interval": interval}))
        (tmp_path / "config").write_text(json.dumps({**agent, **changed}))
        return findings(paths, folder / "driver.json", folder / "registry.csv", tmp_path / "config")

    device = agent["panel"]["device"]
    slow = {"quirks": [{"device": device, "answer_within_sec": 6}]}
    assert found(5) == []
    (each,) = found(60)
    assert f"{device} is read every 60 s" in each
    assert '"stale_after_sec" 150' in each
    assert found(60, stale_after_sec=150) == []
    (each,) = found(1, **slow)
    assert f"{device} may take 6 s to answer and is read every 1 s" in each
    assert found(15, **slow) == []


def test_devices_of_one_connection_are_polled_no_faster_than_a_round_of_them_takes() -> None:
    drivers = {
        f"site/unit{number}": {
            "driver_type": "modbus",
            "driver_config": {"device_address": "10.0.0.9", "port": 502, "slave_id": number},
            "interval": 10,
        }
        for number in (1, 2, 3)
    }

    def found(*answers_sec: float) -> list[str]:
        quirks = [
            {"device": device, "answer_within_sec": answer_sec}
            for device, answer_sec in zip(drivers, answers_sec, strict=False)
        ]
        findings = ConfigFindings()
        check_device_pace(
            CheckedJsonFile(Path("config"), {"quirks": quirks}, {}), drivers, findings
        )
        return [each.what for each in findings]

    assert found() == found(4.0, 4.5) == []
    assert found(4.0, 4.5, 2.0) == [
        "site/unit1, site/unit2, site/unit3 share 10.0.0.9:502 and are polled each 10 s, "
        "but one round takes 10.5 s",
    ]
