"""`start` and `stop`: the order of things, each a step that says what it does."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ops.host import processes
from ops.host import terminal as show
from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings, load_site_settings, save_site_settings
from ops.host.site_variables import PORT_VARIABLES, site_variables
from ops.services import local_broker as broker
from ops.services import simulated_panel_service as panel
from ops.volttron import agent_health as health
from ops.volttron import agent_install, config_store, vctl
from ops.volttron import volttron_platform as platform
from ops.volttron.agent_install import ACTUATOR_AGENT, BACNET_AGENT, DRIVER_AGENT, PackagedAgent
from ops.volttron.config_store import AGENT, ConfigStoreEntry
from ops.volttron.device_model import device_model_entries, device_model_folder


@contextmanager
def site_stack_lock(paths: Paths) -> Iterator[None]:
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


def start_site_stack(
    paths: Paths, settings: SiteSettings, before: SiteSettings | None, config: Path | None = None
) -> None:
    """Bring up what does not run yet.

    `before` is what runs already, if VOLTTRON does; `config` an agent configuration asked for.
    """
    for variable in PORT_VARIABLES:
        settings.port(variable, default=1)
    settings.agent()  # what cannot be used is refused before anything is started
    folder = device_model_folder(paths, settings.devices)
    if before:
        _refuse_changes(before, settings)
    taken_over = None
    if settings.volttron != paths.generation:
        taken_over = config_of_other_generation(paths, settings, config)
        paths = replace(paths, generation=settings.volttron)
    _prepare(paths, settings)
    save_site_settings(paths, settings)  # `status` and `stop` need it also when a step fails
    changed = [_start_broker(paths, settings), _start_panel(paths, settings)]
    variables = _poetry_variables(paths) if paths.generation == 11 else {}
    with show.progress_step(f"VOLTTRON {paths.generation}") as done:
        record, started = platform.start_volttron_platform(paths, settings, variables)
        done.append(_came_up(record.pid, started))
    changed += [started, config is not None]
    if config is not None:
        with show.progress_step(f"storing {config} as VenAgent's configuration"):
            config_store.store_config_entry(
                paths, ConfigStoreEntry(AGENT, "config", config.read_text(), "json")
            )
    if taken_over is not None:
        with show.progress_step("taking over VenAgent's configuration"):
            config_store.store_config_entry(paths, taken_over)
    settings = _settle(paths, settings)
    installed = vctl.vctl_status(paths)
    changed.append(
        ensure_site_stack_bacnet_proxy(paths, _device_entries(paths, settings, folder), installed)
    )
    changed.append(_load_devices(paths, settings, folder))
    changed.append(_packaged(paths, DRIVER_AGENT, installed))
    if paths.has_actuator:
        changed.append(_packaged(paths, ACTUATOR_AGENT, installed))
    changed.append(_venagent(paths, settings, installed))
    with show.progress_step("health") as done:
        health.wait_for_agent_health(paths, settings)
        done.append(f"{settings.ven_target().ven_id} is online, all agents are GOOD")
    if not any(changed):
        show.print_note("all of it runs already")


def config_of_other_generation(
    paths: Paths, settings: SiteSettings, config: Path | None
) -> ConfigStoreEntry | None:
    """Says what becomes of the generation that ran before; its entry in the config store, if it
    has one and no other is asked for."""
    remembered = load_site_settings(paths)
    if remembered is None:
        return None
    show.print_note(
        f"VOLTTRON {settings.volttron} has a home of its own: the events and the history of "
        f"VOLTTRON {paths.generation} stay in {paths.volttron_home}, and "
        f"`start --volttron {paths.generation}` goes back to them"
    )
    if config is not None or not remembered.in_store:
        return None
    return ConfigStoreEntry(AGENT, "config", json.dumps(remembered.agent_config, indent=2), "json")


def _settle(paths: Paths, settings: SiteSettings) -> SiteSettings:
    """What is in force, now that VOLTTRON can be asked; the broker that it names runs."""
    settled = site_stack_settings_in_force(paths, settings)
    save_site_settings(paths, settled)
    if _broker_of(settled) != _broker_of(settings):  # edited while VOLTTRON was down
        broker.stop_local_broker(paths)
        _start_broker(paths, settled)
    return settled


def _broker_of(settings: SiteSettings) -> tuple[Any, ...]:
    target = settings.ven_target()
    return target.broker_host, target.broker_port, target.broker_tls


def site_stack_settings_in_force(paths: Paths, settings: SiteSettings) -> SiteSettings:
    """The settings with the configuration that VenAgent has now. VOLTTRON must run."""
    stored = config_store.config_store_agent_config(paths)
    contents = read_json_file(_default_config(paths, settings)) if stored is None else stored
    return replace(settings, agent_config=contents, in_store=stored is not None)


def remember_site_stack_config(paths: Paths) -> None:
    """After an edit of VenAgent's configuration: remember it, or say why VenAgent refuses it."""
    before = load_site_settings(paths)
    if before is None:
        return
    try:
        settled = site_stack_settings_in_force(paths, before)
        settled.agent()
    except OpsError as error:
        show.print_note(f"{error.what}: the last good one stays in force")
    else:
        save_site_settings(paths, settled)


def _came_up(pid: int, started: bool) -> str:
    return f"started (process {pid})" if started else f"runs already (process {pid})"


def _prepare(paths: Paths, settings: SiteSettings) -> None:
    """Debian's packages and the platform's environment; scripts/environment.sh says what it does.

    An environment is not replaced under a platform that runs in it.
    """
    kind = "platform" if paths.generation == 10 else "volttron11"
    script = f'. "$1"; {kind}_is_current || echo stale'
    stale = "stale" in _environment_sh(paths, script, capture=True)
    if stale and processes.running_process(paths, platform.NAME):
        raise OpsError(
            "the requirements changed since VOLTTRON was started",
            "Use `ven_control.sh restart`, which renews its environment.",
        )
    packages = "ensure_packages; " if broker.is_local_broker(settings) else ""
    _environment_sh(paths, f'. "$1"; ensure_home; {packages}ensure_{kind}')
    if paths.generation == 11:
        _environment_sh(paths, f'. "$1"; ensure_volttron11_home {paths.volttron_home.name}')


def _poetry_variables(paths: Paths) -> dict[str, str]:
    """What VOLTTRON 11's poetry needs: scripts/environment.sh knows the index that pip asks."""
    script = '. "$1"; volttron11_variables "$VOLTTRON11_VENV"'
    lines = _environment_sh(paths, script, capture=True).splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name: value for name, _, value in pairs if name.startswith("POETRY_")}


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


def _start_broker(paths: Paths, settings: SiteSettings) -> bool:
    where = settings.ven_target()
    if not broker.is_local_broker(settings):
        show.print_note(f"the broker is {where.broker}; no local one is started")
        return False
    with show.progress_step(f"broker on {where.broker}") as done:
        record, started = broker.start_local_broker(paths, settings)
        done.append(_came_up(record.pid, started))
    return started


def _start_panel(paths: Paths, settings: SiteSettings) -> bool:
    if not panel.simulated_panel_service_is_wanted(settings):
        show.print_note("no simulated panel: the driver talks to the devices it is configured for")
        return False
    with show.progress_step(
        f"simulated panel on port {panel.simulated_panel_service_port(paths, settings)}"
    ) as done:
        record, started = panel.start_simulated_panel_service(paths, settings)
        done.append(_came_up(record.pid, started))
    return started


def _refuse_changes(before: SiteSettings, wanted: SiteSettings) -> None:
    """What runs keeps what it was started with."""
    names = sorted(
        name
        for name in {*before.variables, *wanted.variables}
        if before.variables.get(name) != wanted.variables.get(name)
    )
    names += [
        f"--{name}" for name in ("steady", "panel", "volttron") if _differ(before, wanted, name)
    ]
    if names:
        raise OpsError(
            f"{', '.join(names)} changed since VOLTTRON was started",
            "Use `ven_control.sh restart`: what runs keeps what it was started with.",
        )


def _differ(before: SiteSettings, wanted: SiteSettings, name: str) -> bool:
    return bool(getattr(before, name) != getattr(wanted, name))


def _load_devices(paths: Paths, settings: SiteSettings, folder: Path) -> bool:
    entries = _device_entries(paths, settings, folder)
    with show.progress_step(f"driver configuration {folder.name}") as done:
        stored = config_store.load_config_store(paths, entries)
        done.append(f"stored {', '.join(stored)}" if stored else "is loaded already")
    return bool(stored)


def _device_entries(paths: Paths, settings: SiteSettings, folder: Path) -> list[ConfigStoreEntry]:
    """A device model's entries, for the device that the agent's configuration names."""
    port = (
        panel.simulated_panel_service_port(paths, settings) if folder.name == panel.FOLDER else None
    )
    return device_model_entries(folder, settings.agent().panel.device, port)


def ensure_site_stack_bacnet_proxy(
    paths: Paths, entries: list[ConfigStoreEntry], installed: Mapping[str, vctl.VctlAgentStatus]
) -> bool:
    """VOLTTRON's BACnet proxy where a device needs it; before the driver, which looks for it.

    Whoever sets VEN_BACNET_ADDRESS wants it too: a device may be loaded by another command.
    """
    if paths.existing:
        return False  # its agents are not ours to install
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
    with show.progress_step(f"{BACNET_AGENT.identity} on {address}") as done:
        agent_install.install_packaged_agent(paths, BACNET_AGENT, {"device_address": address})
        done.append("installed and started")
    return True


def _packaged(
    paths: Paths, agent: PackagedAgent, installed: Mapping[str, vctl.VctlAgentStatus]
) -> bool:
    status = installed.get(agent.identity)
    with show.progress_step(f"{agent.identity} ({agent.package})") as done:
        if status is None:
            agent_install.install_packaged_agent(paths, agent)
            done.append("installed and started")
        elif not status.is_running:
            agent_install.start_installed_agent(paths, agent.identity)
            done.append("started")
        else:
            done.append("runs already")
            return False
    return True


def _venagent(
    paths: Paths, settings: SiteSettings, installed: Mapping[str, vctl.VctlAgentStatus]
) -> bool:
    status = installed.get(AGENT)
    config = _default_config(paths, settings)
    with show.progress_step("VenAgent (vctl install)") as done:
        if status is None or not agent_install.installed_venagent_is_current(paths, config):
            agent_install.install_venagent(paths, config, was_installed=status is not None)
            done.append("installed and started" if status is None else "new version installed")
        elif not status.is_running:
            agent_install.start_installed_agent(paths, AGENT)
            done.append("started")
        else:
            done.append("runs already")
            return False
    return True


def _default_config(paths: Paths, settings: SiteSettings) -> Path:
    """The file VenAgent is installed with: the device model's own if it has one."""
    own = device_model_folder(paths, settings.devices) / "agent.json"
    return own if own.is_file() else paths.repo / "config"


# --- stop --------------------------------------------------------------------------------------


def stop_site_stack(paths: Paths) -> None:
    """End all, in the order in which each is needed."""
    stopped = []
    for name, end in (
        ("VenAgent, which restores its circuits first", agent_install.stop_installed_venagent),
        ("VOLTTRON and its agents", platform.stop_volttron_platform),
        ("simulated panel", panel.stop_simulated_panel_service),
        ("broker", broker.stop_local_broker),
    ):
        with show.progress_step(f"stopping {name}") as done:
            was_running = end(paths)
            done.append("stopped" if was_running else "did not run")
        stopped.append(was_running)
    if not any(stopped):
        show.print_note("nothing was running")


def site_stack_settings(
    paths: Paths,
    before: SiteSettings | None,
    environment: Mapping[str, str],
    *,
    config: Path | None,
    devices: str | None,
    steady: bool | None,
    with_panel: bool | None,
    volttron: int | None = None,
) -> SiteSettings:
    """What to start: the options given, `before` (of a restart) where none is, then defaults.

    The generation of VOLTTRON stays that of the last start, until another is named.
    """
    base = before or SiteSettings(agent_config={})
    settings = replace(
        base,
        variables={**base.variables, **site_variables(environment)},
        devices=base.devices if devices is None else devices,
        steady=base.steady if steady is None else steady,
        panel=base.panel if with_panel is None else with_panel,
        volttron=paths.generation if volttron is None else volttron,
    )
    if config is not None:
        contents = read_json_file(config)
    elif settings.in_store and devices is None:
        contents = settings.agent_config
    else:
        contents = read_json_file(_default_config(paths, settings))
    return replace(settings, agent_config=contents)
