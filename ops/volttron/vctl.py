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
from ops.host.plain_user import plain_user
from ops.host.processes import process_is_running, recorded_process
from ops.host.terminal import print_note

PLATFORM = "platform"
"""The name of the platform's process."""
TRY_AGAIN = 75
"""vctl's exit code (EX_TEMPFAIL) when the platform did not answer in time."""
AGAIN_AFTER_SEC = 2.0
PERSONS_TRIES = 4
NO_HELLO_WITHIN_SEC = 20.0
"""So soon it ends when the platform has not even greeted it: nothing was done."""


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
    paths: Paths, *arguments: str | Path, timeout_sec: float = 120, once: bool = False
) -> subprocess.CompletedProcess[str]:
    """The finished command, whatever its result.

    On a busy machine vctl gives up after 10 s, with exit code 75 (try again): so it is run again
    within `timeout_sec`, unless it may be run `once` only. Raises OpsError when VOLTTRON ends
    meanwhile, or nothing comes in time.
    """
    deadline = time.monotonic() + timeout_sec
    while True:
        finished = _run_once(paths, arguments, max(1.0, deadline - time.monotonic()))
        left_sec = deadline - time.monotonic()
        if once or finished.returncode != TRY_AGAIN or left_sec <= AGAIN_AFTER_SEC:
            return finished
        time.sleep(AGAIN_AFTER_SEC)


def _run_once(
    paths: Paths, arguments: Sequence[str | Path], timeout_sec: float
) -> subprocess.CompletedProcess[str]:
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
    platform = None if paths.existing else recorded_process(paths, PLATFORM)
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
    for tries_left in reversed(range(PERSONS_TRIES)):
        began = time.monotonic()
        code = subprocess.run(
            [str(paths.platform_bin / "vctl"), *arguments],
            env={**platform_child_environment(paths, {}), **editors},
            cwd=paths.volttron_home,
            check=False,
            **plain_user(paths),
        ).returncode
        no_hello = code == TRY_AGAIN and time.monotonic() - began < NO_HELLO_WITHIN_SEC
        if not no_hello or not tries_left:
            break
        print_note("VOLTTRON did not answer in time; trying again")
    return code


def vctl_output(paths: Paths, *arguments: str | Path, timeout_sec: float = 120) -> str:
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
    output = vctl_output(paths, "--json", "status")
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
