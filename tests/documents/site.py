"""What is at a site before a reader comes: devices, and the files that the pages let one write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.host.condition import wait_for_condition
from ops.host.ports import port_is_listening
from tests.config.builders import ROOT
from tests.documents.reader import Reader, process


@contextmanager
def a_panel(reader: Reader) -> Iterator[None]:
    """The simulated panel, as a device that is there already."""
    port, control = reader.ports["VEN_PANEL_PORT"], reader.ports["VEN_PANEL_CONTROL_PORT"]
    command = ["python", "-m", "simulator", "--port", str(port), "--control-port", str(control)]
    environment = reader.surroundings("python")
    with process(command, cwd=reader.clone, env=environment, stdout=reader.log("panel")) as panel:
        assert wait_for_condition(
            lambda: panel.poll() is not None or port_is_listening("127.0.0.1", port), 20
        )
        assert panel.poll() is None
        yield


def copied_model(folder: Path, port: int) -> None:
    """As docs/devices.md says: the model's folder under another name, with the device's address."""
    shutil.copytree(ROOT / "MeterDriverConfigs/simulated_panel", folder)
    driver = json.loads((folder / "driver.json").read_text())
    driver["registry_config"] = f"config://{folder.name}.csv"
    driver["driver_config"]["port"] = port
    (folder / "driver.json").write_text(json.dumps(driver))
    shutil.copy(ROOT / "config", folder / "agent.json")
