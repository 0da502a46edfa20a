"""The simulated panel, `simulator/`: a Modbus TCP device in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.host import staging
from ops.host.child_environment import child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.ports import is_listening, require_free, wait_for
from ops.host.processes import GENTLY, Record, end_all, is_running, running, spawn
from ops.host.site_settings import LOOPBACK, Settings, read_json

NAME = "panel"
FOLDER = "simulated_panel"
CONTROL_PORT = 5021


def is_wanted(settings: Settings) -> bool:
    """Only the simulated panel's own driver configuration needs it."""
    return settings.panel and Path(settings.devices).name == FOLDER


def modbus_port(paths: Paths, settings: Settings) -> int:
    """Where the driver's configuration expects it, unless VEN_PANEL_PORT says otherwise."""
    driver: dict[str, Any] = read_json(paths.repo / "MeterDriverConfigs" / FOLDER / "driver.json")
    return settings.port("VEN_PANEL_PORT", driver.get("driver_config", {}).get("port", 5020))


def start(paths: Paths, settings: Settings) -> tuple[Record, bool]:
    """The running panel, and whether it was started just now."""
    port = modbus_port(paths, settings)
    control_port = settings.port("VEN_PANEL_CONTROL_PORT", CONTROL_PORT)
    variant = f"ports {port} {control_port}{' steady' if settings.steady else ''}"
    record = running(paths, NAME)
    if record and record.variant == variant:
        return record, False
    stop(paths)
    require_free(LOOPBACK, port, "the simulated panel", "VEN_PANEL_PORT")
    require_free(LOOPBACK, control_port, "the panel's control port", "VEN_PANEL_CONTROL_PORT")
    folder = staging.stage(paths, "panel", ["simulator"])
    command: list[str | Path] = [paths.tools_python, "-m", "simulator"]
    command += ["--host", LOOPBACK, "--port", str(port), "--control-port", str(control_port)]
    if settings.steady:
        command.append("--steady")
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    record = spawn(
        paths,
        NAME,
        command,
        child_environment(paths, environment),
        cwd=folder,
        variant=variant,
    )
    wait_for(lambda: is_listening(LOOPBACK, port) or not is_running(record), 15)
    if not is_running(record) or not is_listening(LOOPBACK, port):
        raise OpsError("the simulated panel does not listen", log=paths.output_log(NAME))
    return record, True


def stop(paths: Paths) -> bool:
    """Whether there was one to stop."""
    return end_all(paths, NAME, GENTLY)
