"""`vctl`, VOLTTRON's own control command, run as the plain user."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.host.child_environment import platform_child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.processes import plain_user, process_is_running, recorded_process

PLATFORM = "platform"
"""The name of the platform's process."""


@dataclass(frozen=True)
class VctlAgentStatus:
    """One line of `vctl status`."""

    identity: str
    name: str
    status: str
    """ "running [123]", "0" when stopped, another exit code after a crash, "" if never started."""
    health: str
    """GOOD, BAD, STARTING, UNKNOWN, or "" as long as it has not said."""
    context: str
    """The agent's own sentence about it."""

    @property
    def is_running(self) -> bool:
        return self.status.startswith("running")

    @property
    def is_good(self) -> bool:
        return self.is_running and self.health == "GOOD"


class VctlTimeout(OpsError):
    """The platform runs, and said nothing in time."""


def run_vctl(
    paths: Paths, *arguments: str | Path, timeout_sec: float = 60
) -> subprocess.CompletedProcess[str]:
    """The finished command, whatever its result."""
    command = [str(part) for part in (paths.platform_bin / "vctl", *arguments)]
    with subprocess.Popen(
        command,
        env=platform_child_environment(paths, {}),
        cwd=paths.volttron_home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **plain_user(paths),
    ) as process:
        try:
            output, errors = _finish(paths, process, arguments, timeout_sec)
        finally:
            process.kill()  # nothing when it has ended by itself
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _finish(
    paths: Paths,
    process: subprocess.Popen[str],
    arguments: Sequence[str | Path],
    timeout_sec: float,
) -> tuple[str, str]:
    """Its output. vctl itself waits for long when the platform dies under it; we do not."""
    name = f"`vctl {' '.join(str(part) for part in arguments)}`"
    deadline = time.monotonic() + timeout_sec
    platform = recorded_process(paths, PLATFORM)
    while True:
        try:
            return process.communicate(timeout=0.5)
        except subprocess.TimeoutExpired:
            if platform and not process_is_running(platform) and "shutdown" not in arguments:
                raise OpsError(
                    f"VOLTTRON ended while {name} was at work", log=paths.output_log(PLATFORM)
                ) from None
            if time.monotonic() >= deadline:
                raise VctlTimeout(
                    f"{name} gave no answer within {timeout_sec:g} s", log=paths.platform_log
                ) from None


def pass_on_to_vctl(paths: Paths, arguments: Sequence[str]) -> int:
    """Run it on this terminal, as a person would, with that person's editor; its exit code."""
    editors = {name: os.environ[name] for name in ("EDITOR", "VISUAL") if name in os.environ}
    return subprocess.run(
        [str(paths.platform_bin / "vctl"), *arguments],
        env={**platform_child_environment(paths, {}), **editors},
        cwd=paths.volttron_home,
        check=False,
        **plain_user(paths),
    ).returncode


def vctl_output(paths: Paths, *arguments: str | Path, timeout_sec: float = 60) -> str:
    """Its output; raises OpsError with what it said when it fails."""
    result = run_vctl(paths, *arguments, timeout_sec=timeout_sec)
    if result.returncode != 0:
        raise OpsError(
            f"`vctl {' '.join(str(part) for part in arguments)}` failed",
            log=paths.platform_log,
            output=(result.stdout + result.stderr).strip().splitlines()[-12:],
        )
    return result.stdout


def vctl_status(paths: Paths) -> dict[str, VctlAgentStatus]:
    """The installed agents by their VIP identity."""
    output = vctl_output(paths, "--json", "status", timeout_sec=40)
    return parse_vctl_status(output)


def parse_vctl_status(output: str) -> dict[str, VctlAgentStatus]:
    """`vctl --json status`, which prints warnings before the object at times."""
    try:
        listed: dict[str, dict[str, Any]] = json.loads(output[output.index("{") :])
    except ValueError:
        raise OpsError("cannot read what `vctl status` says", output=output.splitlines()) from None
    found = {}
    for identity, agent in listed.items():
        health, context = _health(agent.get("health"))
        found[identity] = VctlAgentStatus(
            identity, agent.get("name", ""), agent.get("status", ""), health, context
        )
    return found


def _health(reported: Any) -> tuple[str, str]:
    """Status and sentence of an agent's last heartbeat."""
    message = reported.get("message") if isinstance(reported, Mapping) else reported
    if isinstance(message, Mapping):
        return str(message.get("status", "")), str(message.get("context") or "")
    return str(message or ""), ""
