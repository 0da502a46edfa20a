"""VOLTTRON itself: up, down, and whether it runs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ops.host import terminal as show
from ops.host.child_environment import platform_child_environment
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.host.ports import require_free_port
from ops.host.processes import (
    ProcessRecord,
    end_processes,
    forget_process,
    process_is_running,
    processes_of_session,
    running_process,
    spawn_process,
    wait_until_process_gone,
)
from ops.host.site_settings import LOOPBACK, SiteSettings
from ops.volttron import repair_volttron, vctl

NAME = vctl.PLATFORM
VIP_PORT = 22916
UP_WITHIN_SEC = 240.0
DOWN_WITHIN_SEC = 90.0
_PATIENCE = ((signal.SIGINT, 30.0), (signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))

# What `volttron --log-config` reads, in the one format that rotates and works.
_LOGGING = """\
{{
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {{
        "agent": {{
            "()": "{formatter}",
            "fmt": "%(asctime)s %(composite_name)s %(levelname)s: %(message)s",
        }}
    }},
    "handlers": {{
        "file": {{
            "class": "logging.handlers.RotatingFileHandler",
            "filename": {filename!r},
            "maxBytes": 10000000,
            "backupCount": 5,
            "formatter": "agent",
        }}
    }},
    "root": {{"level": "INFO", "handlers": ["file"]}},
}}
"""


_FORMATTERS = {
    10: "volttron.utils.logs.AgentFormatter",
    11: "volttron.client.logs.AgentFormatter",
}


def start_volttron_platform(
    paths: Paths, settings: SiteSettings, variables: Mapping[str, str] = MappingProxyType({})
) -> tuple[ProcessRecord, bool]:
    """The running platform with all its services up, and whether it was started just now.

    `variables` are more of its environment's.
    """
    record = running_process(paths, NAME)
    if record is None:
        end_processes(paths, NAME, _PATIENCE)  # agents that outlived a platform that was killed
        _repair(paths)
        record = _spawn(paths, settings, variables)
        started = True
    else:
        started = False
    wait_for_condition(
        lambda: volttron_platform_is_up(paths, record) or not process_is_running(record),
        UP_WITHIN_SEC,
    )
    if not volttron_platform_is_up(paths, record):
        state = "is not up yet" if process_is_running(record) else "ended while starting"
        log = paths.platform_log if paths.platform_log.exists() else paths.output_log(NAME)
        raise OpsError(f"VOLTTRON {state}", log=log)
    return record, started


def _repair(paths: Paths) -> None:
    """Again before each start: another agent's installation may have brought VOLTTRON anew."""
    result = subprocess.run(
        [str(paths.platform_bin / "python"), "-"],
        input=Path(repair_volttron.__file__).read_text(),
        env=platform_child_environment(paths, {}),
        cwd=paths.volttron_home,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **plain_user(paths),
    )
    if result.stderr:
        show.print_note(result.stderr.strip().splitlines()[-1])


def _spawn(paths: Paths, settings: SiteSettings, variables: Mapping[str, str]) -> ProcessRecord:
    logging_config = paths.run / "volttron_logging.py"
    logging_config.write_text(
        _LOGGING.format(formatter=_FORMATTERS[paths.generation], filename=str(paths.platform_log))
    )
    command: list[str | Path] = [
        paths.platform_bin / "volttron",
        *("--log-config", logging_config),
        *("--instance-name", "venagent"),
        # how often it looks for crashed agents; 600 s if not told
        *("--agent-monitor-frequency", "3"),
    ]
    if paths.generation == 10:
        port = settings.port("VEN_VIP_PORT", VIP_PORT)
        require_free_port(LOOPBACK, port, "VOLTTRON", "VEN_VIP_PORT")
        command += ["-v", "--vip-address", f"tcp://{LOOPBACK}:{port}"]
    else:  # it is reached by its socket alone, and starts no agent by itself unless it is told
        command += ["--autostart"]
    environment = platform_child_environment(paths, {**settings.agent_variables(), **variables})
    return spawn_process(paths, NAME, command, environment, cwd=paths.volttron_home, umask=0o077)


def volttron_platform_is_up(paths: Paths, record: ProcessRecord) -> bool:
    """VOLTTRON writes its pid when its services and the agents that start by themselves run."""
    try:
        return (paths.volttron_home / "VOLTTRON_PID").read_text().strip() == str(record.pid)
    except FileNotFoundError:
        return False


def volttron_platform_pid(paths: Paths) -> int | None:
    """The process of the VOLTTRON that is meant; None when it does not run."""
    if paths.existing is None:
        record = running_process(paths, NAME)
        return record.pid if record else None
    try:
        pid = int((paths.existing / "VOLTTRON_PID").read_text())
    except (OSError, ValueError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


def stop_volttron_platform(paths: Paths) -> bool:
    """End the platform and all its agents; whether there was anything to end.

    It is asked first, so that agents stop in good order; then told, with signals.
    """
    record = running_process(paths, NAME)
    if record is None:
        return end_processes(paths, NAME, _PATIENCE)
    if volttron_platform_is_up(paths, record):
        with contextlib.suppress(OpsError):  # a platform that does not answer gets the signals
            vctl.run_vctl(paths, "shutdown", "--platform", timeout_sec=DOWN_WITHIN_SEC)
        wait_until_process_gone(record, 15)
    agents = processes_of_session(record)
    end_processes(paths, NAME, _PATIENCE)
    for agent in agents:
        wait_until_process_gone(agent, 1)
    forget_process(paths, NAME)
    return True
