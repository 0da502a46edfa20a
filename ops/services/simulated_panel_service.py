"""The simulated panel, `simulator/`: a Modbus TCP device in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.host import staging
from ops.host.child_environment import child_environment
from ops.host.condition import wait_for_condition
from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.ports import port_is_listening, require_free_port
from ops.host.processes import (
    GENTLY,
    ProcessRecord,
    end_processes,
    process_is_running,
    running_process,
    spawn_process,
)
from ops.host.site_settings import LOOPBACK, SiteSettings

NAME = "panel"
FOLDER = "simulated_panel"
CONTROL_PORT = 5021


def simulated_panel_service_is_wanted(settings: SiteSettings) -> bool:
    """Only the simulated panel's own driver configuration needs it."""
    return settings.panel and Path(settings.devices).name == FOLDER


def simulated_panel_service_port(paths: Paths, settings: SiteSettings) -> int:
    """Where the driver's configuration expects it, unless VEN_PANEL_PORT says otherwise."""
    driver: dict[str, Any] = read_json_file(
        paths.repo / "MeterDriverConfigs" / FOLDER / "driver.json"
    )
    return settings.port("VEN_PANEL_PORT", driver.get("driver_config", {}).get("port", 5020))


def start_simulated_panel_service(
    paths: Paths, settings: SiteSettings
) -> tuple[ProcessRecord, bool]:
    """The running panel, and whether it was started just now."""
    port = simulated_panel_service_port(paths, settings)
    control_port = settings.port("VEN_PANEL_CONTROL_PORT", CONTROL_PORT)
    variant = f"ports {port} {control_port}{' steady' if settings.steady else ''}"
    record = running_process(paths, NAME)
    if record and record.variant == variant:
        return record, False
    stop_simulated_panel_service(paths)
    require_free_port(LOOPBACK, port, "the simulated panel", "VEN_PANEL_PORT")
    require_free_port(LOOPBACK, control_port, "the panel's control port", "VEN_PANEL_CONTROL_PORT")
    folder = staging.copy_to_staging(paths, "panel", ["simulator"])
    command: list[str | Path] = [paths.tools_python, "-m", "simulator"]
    command += ["--host", LOOPBACK, "--port", str(port), "--control-port", str(control_port)]
    if settings.steady:
        command.append("--steady")
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    record = spawn_process(
        paths,
        NAME,
        command,
        child_environment(paths, environment),
        cwd=folder,
        variant=variant,
    )
    wait_for_condition(
        lambda: port_is_listening(LOOPBACK, port) or not process_is_running(record), 120
    )
    if not process_is_running(record) or not port_is_listening(LOOPBACK, port):
        raise OpsError("the simulated panel does not listen", log=paths.output_log(NAME))
    return record, True


def stop_simulated_panel_service(paths: Paths) -> bool:
    """Whether there was one to stop."""
    return end_processes(paths, NAME, GENTLY)
