"""The commands that reach into VOLTTRON: `vctl` and `load-config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.host import terminal
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.services import simulated_panel_service as panel
from ops.services import site_stack
from ops.volttron import config_store, vctl
from ops.volttron.device_model import DEVICES_FILE, device_model_entries, device_model_folder
from ops.volttron.meant_site import meant_site_settings
from ops.volttron.volttron_platform import volttron_platform_pid

_AGENT_FILE = "agent.json"
"""In a device model's folder: the agent's configuration for it."""


def volttron_vctl_command(context: typer.Context) -> None:
    """VOLTTRON's own control command, for the VOLTTRON that runs here.

    As the user and with the settings it needs: `vctl status`, `vctl config edit ven.agent config`.
    A file that it is to read must have its full path.
    """
    paths = Paths.from_environment()
    if not (paths.platform_bin / "vctl").exists() or not paths.volttron_home.is_dir():
        raise OpsError(
            "VOLTTRON is not installed here",
            "Run `start` first, or name yours: VOLTTRON_HOME, or --volttron-home.",
        )
    code = vctl.pass_on_to_vctl(paths, context.args)
    edited = context.args[:1] == ["config"] and config_store.AGENT in context.args
    if edited and code == 0 and paths.existing is None:
        site_stack.remember_site_stack_config(paths)
    raise typer.Exit(code)


def volttron_load_config_command(
    devices: Annotated[str, typer.Argument(help="A folder of MeterDriverConfigs/, or a path.")],
    device: Annotated[
        str | None,
        typer.Option(help="Device path, e.g. site/building/panel; the agent's panel if none."),
    ] = None,
) -> None:
    """Load driver configurations into VOLTTRON's config store.

    Registry and device of a device model are stored anew, whatever the store holds; the agent's own
    configuration is left as it is. VOLTTRON must run.
    """
    paths = Paths.from_environment()
    if volttron_platform_pid(paths) is None:
        raise OpsError(
            "VOLTTRON does not run", "Run `start` first, or start the one that VOLTTRON_HOME names."
        )
    folder = device_model_folder(paths, devices)
    if device is not None and (folder / DEVICES_FILE).is_file():
        raise OpsError(f"the devices of {folder} have the paths of its {DEVICES_FILE}: no --device")
    path, port = _path_and_port(paths, folder, device)
    entries = device_model_entries(folder, path, port)
    site_stack.ensure_site_stack_bacnet_proxy(paths, entries, vctl.vctl_status(paths))
    stored = config_store.load_config_store(paths, entries, anew=True)
    terminal.out.print(f"stored for {config_store.DRIVER}: {', '.join(stored)}")
    if (folder / _AGENT_FILE).is_file():
        terminal.print_note(
            f"its {_AGENT_FILE} is not loaded; this does it: "
            f"vctl config store {config_store.AGENT} config {folder / _AGENT_FILE}"
        )


def _path_and_port(paths: Paths, folder: Path, device: str | None) -> tuple[str, int | None]:
    """Where the model's device is to stand, and the simulated panel's port. A driver can have its
    devices before the agent is installed: then the path must be named."""
    if (folder / DEVICES_FILE).is_file() or (device is not None and folder.name != panel.FOLDER):
        return device or "", None
    try:
        settings = meant_site_settings(paths)
    except OpsError as error:
        named = "or name where the device is to stand: --device site/building/panel."
        raise OpsError(str(error), f"Install it first (docs/install.md), {named}") from None
    path = settings.agent().panel.device if device is None else device
    simulated = folder.name == panel.FOLDER
    return path, panel.simulated_panel_service_port(paths, settings) if simulated else None
