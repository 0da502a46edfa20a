"""The commands that bring the site up and down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.processes import running_process
from ops.host.site_settings import SiteSettings, load_site_settings
from ops.host.volttron_generation import VOLTTRON_GENERATIONS
from ops.services import site_stack
from ops.volttron.vctl import PLATFORM

ConfigFile = Annotated[
    Path | None,
    typer.Option(help="The agent's configuration; stored in VOLTTRON's config store."),
]
DeviceModel = Annotated[
    str | None,
    typer.Option(help="Device model: a folder of MeterDriverConfigs/, or a path."),
]
Steady = Annotated[
    bool | None,
    typer.Option("--steady/--no-steady", help="Simulated panel with fixed draws."),
]
WithPanel = Annotated[
    bool | None, typer.Option("--panel/--no-panel", help="Start the simulated panel.")
]
ThingName = Annotated[
    str | None, typer.Option("--ven-id", help="The VEN's id, its AWS IoT thing name.")
]


Volttron = Annotated[
    int | None,
    typer.Option(help="Generation of VOLTTRON, 10 or 11; that of the last start if none."),
]


def site_start_command(
    config: ConfigFile = None,
    devices: DeviceModel = None,
    steady: Steady = None,
    panel: WithPanel = None,
    ven_id: ThingName = None,
    volttron: Volttron = None,
) -> None:
    """Bring up broker, simulated panel, VOLTTRON and VenAgent.

    Installs what is missing, and starts what does not run. With IOT_ENDPOINT set, that is the
    broker, and no local one is started. Other variables: IOT_THING_NAME, CA_CERT, CLIENT_CERT,
    PRIVATE_KEY; VEN_BROKER_PORT, VEN_PANEL_PORT, VEN_PANEL_CONTROL_PORT, VEN_VIP_PORT for
    machines where the usual ports are taken.
    """
    paths = Paths.of_our_own()
    with site_stack.site_stack_lock(paths):
        runs = running_process(paths, PLATFORM) is not None
        before = load_site_settings(paths) if runs else None
        wanted = _wanted(paths, before, config, devices, steady, panel, ven_id, volttron)
        site_stack.start_site_stack(paths, wanted, before, config)


def site_stop_command() -> None:
    """End VOLTTRON with its agents, panel and broker."""
    paths = Paths.of_our_own()
    with site_stack.site_stack_lock(paths):
        site_stack.stop_site_stack(paths)


def site_restart_command(
    config: ConfigFile = None,
    devices: DeviceModel = None,
    steady: Steady = None,
    panel: WithPanel = None,
    ven_id: ThingName = None,
    volttron: Volttron = None,
) -> None:
    """Stop, then start.

    Options and variables that are not given are those of the last start.
    """
    paths = Paths.of_our_own()
    with site_stack.site_stack_lock(paths):
        before = load_site_settings(paths)
        wanted = _wanted(paths, before, config, devices, steady, panel, ven_id, volttron)
        site_stack.stop_site_stack(paths)
        site_stack.start_site_stack(paths, wanted, None, config)


def _wanted(
    paths: Paths,
    before: SiteSettings | None,
    config: Path | None,
    devices: str | None,
    steady: bool | None,
    panel: bool | None,
    ven_id: str | None,
    volttron: int | None,
) -> SiteSettings:
    if volttron is not None and volttron not in VOLTTRON_GENERATIONS:
        raise OpsError(
            f"`start` brings up VOLTTRON 10 or 11, not {volttron}",
            "For a VOLTTRON of your own see docs/install.md: the commands take its VOLTTRON_HOME.",
        )
    return site_stack.site_stack_settings(
        paths,
        before,
        {**os.environ, **({"IOT_THING_NAME": ven_id} if ven_id else {})},
        config=config,
        devices=devices,
        steady=steady,
        with_panel=panel,
        volttron=volttron,
    )
