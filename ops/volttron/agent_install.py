"""Agents into the platform: the driver, the actuator, VenAgent from a copy of the repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.host import staging
from ops.host.child_environment import platform_child_environment
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.host.processes import running_process
from ops.volttron import vctl
from ops.volttron import volttron_platform as platform
from ops.volttron.config_store import AGENT, DRIVER

ACTUATOR = "platform.actuator"
SOURCES = ("setup.py", "pyproject.toml", "requirements.txt", "IDENTITY", "README.md", "VenAgent")
"""What `vctl install` needs of the repository, beside the agent's configuration."""
_INSTALL_WITHIN_SEC = 300
_NO_DEPENDENCIES = "no-deps = true\n"


@dataclass(frozen=True)
class PackagedAgent:
    """An agent that the platform's environment has as a package."""

    identity: str
    package: str
    priority: int
    """A higher number starts first, and ends last: the actuator needs the driver, we need both."""

    package_on_11: str = ""
    """With its version, which `vctl install` of 11 wants of a pre-release."""


DRIVER_AGENT = PackagedAgent(
    DRIVER, "volttron-platform-driver", 60, "volttron-platform-driver==2.0.0rc9"
)
ACTUATOR_AGENT = PackagedAgent(ACTUATOR, "volttron-actuator", 40)
BACNET_AGENT = PackagedAgent("platform.bacnet_proxy", "volttron-bacnet-proxy", 90)
VENAGENT_PRIORITY = 20
PACKAGE = "venagent"


def install_packaged_agent(
    paths: Paths, agent: PackagedAgent, config: Mapping[str, Any] | None = None
) -> None:
    """Install it and start it; `config` is what it is installed with."""
    if config is None:
        _install_package(paths, agent, [])
        return
    with staging.temporary_staging_file(paths, json.dumps(config), ".json") as file:
        _install_package(paths, agent, ["--agent-config", str(file)])


def _install_package(paths: Paths, agent: PackagedAgent, options: list[str]) -> None:
    package = [agent.package]
    if paths.generation == 11 and agent.package_on_11:
        package = [agent.package_on_11, "--pre-release"]
    _vctl_install(paths, [*package, *options], agent.identity, agent.priority)
    _require_running(paths, agent.identity)


def _vctl_install(paths: Paths, what: Sequence[str | Path], identity: str, priority: int) -> None:
    """Install and start it. On 11 vctl gives up after 20 s, while the platform goes on."""
    command = [
        *("--timeout", str(_INSTALL_WITHIN_SEC)),
        *("install", *what, "--vip-identity", identity),
        *("--priority", str(priority), "--enable", "--start", "--agent-start-time", "1"),
    ]
    if paths.generation != 11:
        vctl.vctl_output(paths, *command, timeout_sec=_INSTALL_WITHIN_SEC + 10)
        return
    before = _installed_uuid(paths, identity)
    result = vctl.run_vctl(paths, *command, timeout_sec=_INSTALL_WITHIN_SEC, once=True)
    if result.returncode == 0:
        return
    came = result.returncode == vctl.TRY_AGAIN and wait_for_condition(
        lambda: (
            _installed_uuid(paths, identity) not in (None, before)
            and identity in vctl.vctl_status(paths)
        ),
        _INSTALL_WITHIN_SEC,
    )
    if not came:
        said = (result.stdout + result.stderr).strip().splitlines()[-12:]
        raise OpsError(f"{identity} was not installed", log=paths.platform_log, output=said)
    folder = paths.volttron_home / "agents" / identity
    staging.write_staging_file(paths, folder / "AUTOSTART", str(priority))
    start_installed_agent(paths, identity)


def start_installed_agent(paths: Paths, identity: str) -> None:
    """Start one that is installed and does not run."""
    try:
        vctl.vctl_output(paths, "start", _uuid(paths, identity))
    except OpsError:  # asked a second time, vctl says of one that runs that it cannot be started
        agent = vctl.vctl_status(paths).get(identity)
        if agent is None or not agent.is_running:
            raise
    _require_running(paths, identity)


def _stop_installed(paths: Paths, identity: str) -> None:
    vctl.vctl_output(paths, "stop", _uuid(paths, identity), timeout_sec=120)


def stop_installed_venagent(paths: Paths) -> bool:
    """Stop VenAgent before the platform stops; whether it ran.

    A platform stops its agents in an order of its own, and without the actuator an event's
    circuits could not be restored any more.
    """
    record = running_process(paths, platform.NAME)
    if record is None or not platform.volttron_platform_is_up(paths, record):
        return False
    with suppress(OpsError):  # one that does not answer ends with the platform
        ours = vctl.vctl_status(paths).get(AGENT)
        if ours is not None and ours.is_running:
            _stop_installed(paths, AGENT)
            return True
    return False


def restart_installed_agent(paths: Paths, identity: str) -> None:
    vctl.vctl_output(paths, "restart", _uuid(paths, identity), timeout_sec=120)
    _require_running(paths, identity)


def _installed_uuid(paths: Paths, identity: str) -> str | None:
    try:
        return _uuid(paths, identity)
    except OSError:
        return None


def _uuid(paths: Paths, identity: str) -> str:
    return (paths.volttron_home / "agents" / identity / "UUID").read_text().strip()


def _require_running(paths: Paths, identity: str) -> None:
    """vctl reports success also when an agent did not start."""
    agent = vctl.vctl_status(paths).get(identity)
    if agent is None or not agent.is_running:
        raise OpsError(f"{identity} was installed and does not run", log=paths.platform_log)


# --- VenAgent ----------------------------------------------------------------------------------


def _sources(paths: Paths, config: Path) -> list[tuple[str, Path]]:
    """What VenAgent is installed from."""
    present = [name for name in SOURCES if (paths.repo / name).exists() and name != "README.md"]
    return [*staging.staging_files(paths.repo, present), ("config", config)]


def installed_venagent_is_current(paths: Paths, config: Path) -> bool:
    """Whether the environment has VenAgent as it stands in the repository."""
    try:
        installed = _stamp(paths).read_text().strip()
    except FileNotFoundError:
        return False
    return installed == staging.staging_fingerprint(_sources(paths, config))


def install_venagent(paths: Paths, config: Path, *, was_installed: bool) -> None:
    """Install VenAgent, or put this version in the place of another; its data stays."""
    present = [name for name in SOURCES if (paths.repo / name).exists()]
    fingerprint = staging.staging_fingerprint(_sources(paths, config))
    if was_installed:
        # Stopped first: it restores the building in good order, and VOLTTRON copies its data. On 11
        # it runs from the copy that is made anew now.
        _stop_installed(paths, AGENT)
    folder = staging.copy_to_staging(paths, _copy_of(paths), present, {"config": config})
    if not was_installed:
        _install(paths, folder)
    else:
        copy = Path(f"/tmp/{_uuid(paths, AGENT)}.tar.gz")  # VOLTTRON puts it there, and leaves it
        try:
            _install(paths, folder)
        except OpsError as error:
            if copy.exists():
                error.advice += (f"VenAgent's data was copied to {copy} before.",)
            raise
        copy.unlink(missing_ok=True)
    _stamp(paths).write_text(fingerprint + "\n")
    _require_running(paths, AGENT)


def _copy_of(paths: Paths) -> str:
    """The folder of `staged/` that it is installed from; 11 runs it there."""
    return "agent" if paths.generation == 10 else "agent-11"


def _install(paths: Paths, folder: Path) -> None:
    what: list[str | Path] = [folder, "--agent-config", folder / "config", "--force"]
    if paths.generation == 11:
        _forget_package(paths)
        _vctl_install(paths, what, AGENT, VENAGENT_PRIORITY)
        return
    with _without_dependencies(paths):
        _vctl_install(paths, what, AGENT, VENAGENT_PRIORITY)


def _forget_package(paths: Paths) -> None:
    """11 refuses to install by force what the index does not have in the version that is there; so
    the package goes first, which leaves the agent and its data."""
    if not list(paths.platform_environment.glob("lib/python3*/site-packages/venagent-*.dist-info")):
        return
    pid = platform.volttron_platform_pid(paths)
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    pairs = (entry.partition("=") for entry in entries if entry.startswith("POETRY_"))
    result = subprocess.run(
        [paths.platform_bin / "poetry", "--directory", paths.volttron_home, "remove", PACKAGE],
        env=platform_child_environment(paths, {name: value for name, _, value in pairs}),
        cwd=paths.volttron_home,
        capture_output=True,
        text=True,
        timeout=_INSTALL_WITHIN_SEC,
        check=False,
        **plain_user(paths),
    )
    if result.returncode != 0:
        said = (result.stdout + result.stderr).strip().splitlines()[-12:]
        raise OpsError(f"`poetry remove {PACKAGE}` failed", output=said)


def _stamp(paths: Paths) -> Path:
    """Gone with the environment, or with VOLTTRON_HOME's agents."""
    own = "venagent.installed" if paths.generation == 10 else "venagent-11.installed"
    return paths.run / own


@contextmanager
def _without_dependencies(paths: Paths) -> Iterator[None]:
    """`--force` makes pip fetch the agent's requirements again, from the network, when the old
    agent is gone already. The platform's environment has them from the start, so pip is told not
    to for as long as this install takes.
    """
    conf = paths.home / "platform/pip.conf"
    # One that was killed here has left its line behind.
    usual = conf.read_text().replace(_NO_DEPENDENCIES, "")
    staging.write_staging_file(paths, conf, usual + _NO_DEPENDENCIES)
    try:
        yield
    finally:
        staging.write_staging_file(paths, conf, usual)
