"""`start` and `stop`: the order of things, each a step that says what it does."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ops.host import processes
from ops.host import terminal as show
from ops.host.child_environment import PORT_VARIABLES, given_variables
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import Settings, load, read_json, save
from ops.services import local_broker as broker
from ops.services import simulated_panel_service as panel
from ops.volttron import agent_health as health
from ops.volttron import agent_install, config_store, vctl
from ops.volttron import volttron_platform as platform
from ops.volttron.agent_install import ACTUATOR_AGENT, BACNET_AGENT, DRIVER_AGENT, Packaged
from ops.volttron.config_store import AGENT, Entry


@contextmanager
def alone(paths: Paths) -> Iterator[None]:
    """Only one `start` or `stop` at a time."""
    with (paths.run / "ops.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OpsError("another `start` or `stop` is at work", "Wait for it to end.") from None
        try:
            yield
        except KeyboardInterrupt:
            raise OpsError(
                "interrupted",
                "What runs already stays: `start` goes on from there, `stop` ends all of it.",
            ) from None


# --- start -------------------------------------------------------------------------------------


def start(
    paths: Paths, settings: Settings, before: Settings | None, config: Path | None = None
) -> None:
    """Bring up what does not run yet.

    `before` is what runs already, if VOLTTRON does; `config` an agent configuration asked for.
    """
    for variable in PORT_VARIABLES:
        settings.port(variable, default=1)
    settings.agent()  # what cannot be used is refused before anything is started
    folder = config_store.devices_folder(paths, settings.devices)
    if before:
        _refuse_changes(before, settings)
    _prepare(paths, settings)
    save(paths, settings)  # `status` and `stop` need it also when a step fails
    changed = [_start_broker(paths, settings), _start_panel(paths, settings)]
    with show.step("VOLTTRON") as done:
        record, started = platform.start(paths, settings)
        done.append(_came_up(record.pid, started))
    changed += [started, config is not None]
    if config is not None:
        with show.step(f"storing {config} as VenAgent's configuration"):
            config_store.store(paths, Entry(AGENT, "config", config.read_text(), "json"))
    settings = _settle(paths, settings)
    installed = vctl.agents(paths)
    changed.append(bacnet_proxy(paths, device_entries(paths, settings, folder), installed))
    changed.append(_load_devices(paths, settings, folder))
    changed.append(_packaged(paths, DRIVER_AGENT, installed))
    changed.append(_packaged(paths, ACTUATOR_AGENT, installed))
    changed.append(_venagent(paths, settings, installed))
    with show.step("health") as done:
        health.wait(paths, settings)
        done.append(f"{settings.agent().ven_id} is online, all agents are GOOD")
    if not any(changed):
        show.note("all of it runs already")


def _settle(paths: Paths, settings: Settings) -> Settings:
    """What is in force, now that VOLTTRON can be asked; the broker that it names runs."""
    settled = in_force(paths, settings)
    save(paths, settled)
    if settled.agent().broker != settings.agent().broker:  # edited while VOLTTRON was down
        broker.stop(paths)
        _start_broker(paths, settled)
    return settled


def in_force(paths: Paths, settings: Settings) -> Settings:
    """The settings with the configuration that VenAgent has now. VOLTTRON must run."""
    stored = config_store.agent_config(paths)
    contents = read_json(default_config(paths, settings)) if stored is None else stored
    return settings.model_copy(update={"agent_config": contents, "in_store": stored is not None})


def take_over(paths: Paths) -> None:
    """After an edit of VenAgent's configuration: remember it, or say why VenAgent refuses it."""
    before = load(paths)
    if before is None:
        return
    try:
        settled = in_force(paths, before)
        settled.agent()
    except OpsError as error:
        show.note(f"{error.what}: the last good one stays in force")
    else:
        save(paths, settled)


def _came_up(pid: int, started: bool) -> str:
    return f"started (process {pid})" if started else f"runs already (process {pid})"


def _prepare(paths: Paths, settings: Settings) -> None:
    """Debian's packages and the platform's environment; scripts/environment.sh says what it does.

    An environment is not replaced under a platform that runs in it.
    """
    script = '. "$1"; platform_is_current || echo stale'
    stale = "stale" in _environment_sh(paths, script, capture=True)
    if stale and processes.running(paths, platform.NAME):
        raise OpsError(
            "the requirements changed since VOLTTRON was started",
            "Use `ven_control.sh restart`, which renews its environment.",
        )
    packages = "ensure_packages; " if broker.is_ours(settings) else ""
    _environment_sh(paths, f'. "$1"; ensure_home; {packages}ensure_platform')


def _environment_sh(paths: Paths, script: str, *, capture: bool = False) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "ops", paths.repo / "scripts/environment.sh"],
        env={**environment, "VENAGENT_HOME": str(paths.home), "VENAGENT_USER": paths.user},
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        error = OpsError("what VenAgent runs in could not be installed, see above")
        error.step = "installing"
        raise error
    return result.stdout or ""


def _start_broker(paths: Paths, settings: Settings) -> bool:
    where = settings.agent().broker
    if not broker.is_ours(settings):
        show.note(f"the broker is {where.host}:{where.port}; no local one is started")
        return False
    with show.step(f"broker on {where.host}:{where.port}") as done:
        record, started = broker.start(paths, settings)
        done.append(_came_up(record.pid, started))
    return started


def _start_panel(paths: Paths, settings: Settings) -> bool:
    if not panel.is_wanted(settings):
        show.note("no simulated panel: the driver talks to the devices it is configured for")
        return False
    with show.step(f"simulated panel on port {panel.modbus_port(paths, settings)}") as done:
        record, started = panel.start(paths, settings)
        done.append(_came_up(record.pid, started))
    return started


def _refuse_changes(before: Settings, wanted: Settings) -> None:
    """What runs keeps what it was started with."""
    names = sorted(
        name
        for name in {*before.variables, *wanted.variables}
        if before.variables.get(name) != wanted.variables.get(name)
    )
    names += [f"--{name}" for name in ("steady", "panel") if _differ(before, wanted, name)]
    if names:
        raise OpsError(
            f"{', '.join(names)} changed since VOLTTRON was started",
            "Use `ven_control.sh restart`: what runs keeps what it was started with.",
        )


def _differ(before: Settings, wanted: Settings, name: str) -> bool:
    return bool(getattr(before, name) != getattr(wanted, name))


def _load_devices(paths: Paths, settings: Settings, folder: Path) -> bool:
    entries = device_entries(paths, settings, folder)
    with show.step(f"driver configuration {folder.name}") as done:
        stored = config_store.load(paths, entries)
        done.append(f"stored {', '.join(stored)}" if stored else "is loaded already")
    return bool(stored)


def device_entries(paths: Paths, settings: Settings, folder: Path) -> list[Entry]:
    """A device model's entries, for the device that the agent's configuration names."""
    port = panel.modbus_port(paths, settings) if folder.name == panel.FOLDER else None
    return config_store.driver_entries(folder, settings.agent().panel.device, port)


def bacnet_proxy(
    paths: Paths, entries: list[Entry], installed: Mapping[str, vctl.AgentStatus]
) -> bool:
    """VOLTTRON's BACnet proxy where a device needs it; before the driver, which looks for it.

    Whoever sets VEN_BACNET_ADDRESS wants it too: a device may be loaded by another command.
    """
    address = os.environ.get("VEN_BACNET_ADDRESS", "").strip()
    needed = any('"driver_type": "bacnet"' in e.contents for e in entries if e.kind == "json")
    if BACNET_AGENT.identity in installed:
        return _packaged(paths, BACNET_AGENT, installed)
    if not address and not needed:
        return False
    if not address:
        raise OpsError(
            "a BACnet device needs to know this machine's own BACnet address",
            "Set VEN_BACNET_ADDRESS to its IP address with the network's bits, and a port if it is "
            "not 47808: VEN_BACNET_ADDRESS=192.168.1.10/24",
        )
    with show.step(f"{BACNET_AGENT.identity} on {address}") as done:
        agent_install.install_packaged(paths, BACNET_AGENT, {"device_address": address})
        done.append("installed and started")
    return True


def _packaged(paths: Paths, agent: Packaged, installed: Mapping[str, vctl.AgentStatus]) -> bool:
    status = installed.get(agent.identity)
    with show.step(f"{agent.identity} ({agent.package})") as done:
        if status is None:
            agent_install.install_packaged(paths, agent)
            done.append("installed and started")
        elif not status.is_running:
            agent_install.start_installed(paths, agent.identity)
            done.append("started")
        else:
            done.append("runs already")
            return False
    return True


def _venagent(paths: Paths, settings: Settings, installed: Mapping[str, vctl.AgentStatus]) -> bool:
    status = installed.get(AGENT)
    config = default_config(paths, settings)
    with show.step("VenAgent (vctl install)") as done:
        if status is None or not agent_install.is_current(paths, config):
            agent_install.install_venagent(paths, config, was_installed=status is not None)
            done.append("installed and started" if status is None else "new version installed")
        elif not status.is_running:
            agent_install.start_installed(paths, AGENT)
            done.append("started")
        else:
            done.append("runs already")
            return False
    return True


def default_config(paths: Paths, settings: Settings) -> Path:
    """The file VenAgent is installed with: the device model's own if it has one."""
    own = config_store.devices_folder(paths, settings.devices) / "agent.json"
    return own if own.is_file() else paths.repo / "config"


# --- stop --------------------------------------------------------------------------------------


def stop(paths: Paths) -> None:
    """End all, in the order in which each is needed."""
    stopped = []
    for name, end in (
        ("VenAgent, which restores its circuits first", agent_install.stop_ours),
        ("VOLTTRON and its agents", platform.stop),
        ("simulated panel", panel.stop),
        ("broker", broker.stop),
    ):
        with show.step(f"stopping {name}") as done:
            was_running = end(paths)
            done.append("stopped" if was_running else "did not run")
        stopped.append(was_running)
    if not any(stopped):
        show.note("nothing was running")


def settings_for_start(
    paths: Paths,
    before: Settings | None,
    environment: Mapping[str, str],
    *,
    config: Path | None,
    devices: str | None,
    steady: bool | None,
    with_panel: bool | None,
) -> Settings:
    """What to start: the options given, `before` (of a restart) where none is, then defaults."""
    base = before or Settings(agent_config={})
    settings = base.model_copy(
        update={
            "variables": {**base.variables, **given_variables(environment)},
            "devices": base.devices if devices is None else devices,
            "steady": base.steady if steady is None else steady,
            "panel": base.panel if with_panel is None else with_panel,
        }
    )
    if config is not None:
        contents = read_json(config)
    elif settings.in_store and devices is None:
        contents = settings.agent_config
    else:
        contents = read_json(default_config(paths, settings))
    return settings.model_copy(update={"agent_config": contents})
