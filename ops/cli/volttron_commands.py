"""The commands that reach into VOLTTRON: `vctl` and `load-config`."""

from __future__ import annotations

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


def volttron_vctl_command(context: typer.Context) -> None:
    """VOLTTRON's own control command, for the VOLTTRON that runs here.

    As the user and with the settings it needs: `vctl status`, `vctl config edit ven.agent config`.
    A file that it is to read must have its full path.
    """
    paths = Paths.from_environment()
    if not (paths.platform_bin / "vctl").exists():
        raise OpsError("VOLTTRON is not installed here", "Run `start` first.")
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

    Registry and device of a device model are stored anew, whatever the store holds. VOLTTRON
    must run.
    """
    paths = Paths.from_environment()
    if volttron_platform_pid(paths) is None:
        raise OpsError(
            "VOLTTRON does not run", "Run `start` first, or start the one that VOLTTRON_HOME names."
        )
    folder = device_model_folder(paths, devices)
    if device is not None and (folder / DEVICES_FILE).is_file():
        raise OpsError(f"the devices of {folder} have the paths of its {DEVICES_FILE}: no --device")
    settings = meant_site_settings(paths)
    path = settings.agent().panel.device if device is None else device
    port = (
        panel.simulated_panel_service_port(paths, settings) if folder.name == panel.FOLDER else None
    )
    entries = device_model_entries(folder, path, port)
    site_stack.ensure_site_stack_bacnet_proxy(paths, entries, vctl.vctl_status(paths))
    stored = config_store.load_config_store(paths, entries, anew=True)
    terminal.out.print(f"stored for {config_store.DRIVER}: {', '.join(stored)}")
