"""The commands of scripts/ven_control.sh, one function each."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.completion import completion_init

from ops.cli import backend_commands as cli_backend
from ops.cli import diagnosis_commands as cli_check
from ops.cli import event_history as past_events
from ops.cli import log_entry as log_lines
from ops.cli import provision_commands as provision_cli
from ops.cli import ven_commands as cli_ven
from ops.host import log_tail as logs
from ops.host import processes
from ops.host import site_settings as settings
from ops.host import terminal as show
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.processes import restore_interrupt
from ops.services import backend_service as backend
from ops.services import simulated_panel_service as simulated
from ops.services import site_stack as bring_up
from ops.services import status_report as status
from ops.volttron import config_store, vctl
from ops.volttron import volttron_platform as platform

app = typer.Typer(
    name="ven_control.sh",
    help="Brings VenAgent up, watches it, and sends it demand-response events.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Config = Annotated[
    Path | None,
    typer.Option(help="The agent's configuration; stored in VOLTTRON's config store."),
]
Devices = Annotated[
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


def main() -> None:
    """Runs a command; what an operator can do something about ends it with a message and 1."""
    restore_interrupt()
    completion_init()
    options = {"prog_name": "ven_control.sh", "complete_var": cli_check.COMPLETE_VARIABLE}
    sys.exit(show.terminal_exit_code(lambda: app(**options)))


# --- up and down -------------------------------------------------------------------------------


@app.command()
def start(
    config: Config = None, devices: Devices = None, steady: Steady = None, panel: WithPanel = None
) -> None:
    """Bring up broker, simulated panel, VOLTTRON and VenAgent.

    Installs what is missing, and starts what does not run. With IOT_ENDPOINT set, that is the
    broker, and no local one is started. Other variables: IOT_THING_NAME, CA_CERT, CLIENT_CERT,
    PRIVATE_KEY; VEN_BROKER_PORT, VEN_PANEL_PORT, VEN_PANEL_CONTROL_PORT, VEN_VIP_PORT for
    machines where the usual ports are taken.
    """
    paths = Paths.from_environment()
    with bring_up.site_stack_lock(paths):
        running = processes.running_process(paths, platform.NAME) is not None
        before = settings.load_site_settings(paths) if running else None
        wanted = _wanted(paths, before, config, devices, steady, panel)
        bring_up.start_site_stack(paths, wanted, before, config)


@app.command()
def stop() -> None:
    """End VOLTTRON with its agents, panel and broker."""
    paths = Paths.from_environment()
    with bring_up.site_stack_lock(paths):
        bring_up.stop_site_stack(paths)


@app.command()
def restart(
    config: Config = None, devices: Devices = None, steady: Steady = None, panel: WithPanel = None
) -> None:
    """Stop, then start.

    Options and variables that are not given are those of the last start.
    """
    paths = Paths.from_environment()
    with bring_up.site_stack_lock(paths):
        wanted = _wanted(paths, settings.load_site_settings(paths), config, devices, steady, panel)
        bring_up.stop_site_stack(paths)
        bring_up.start_site_stack(paths, wanted, None, config)


def _wanted(
    paths: Paths,
    before: settings.SiteSettings | None,
    config: Path | None,
    devices: str | None,
    steady: bool | None,
    panel: bool | None,
) -> settings.SiteSettings:
    return bring_up.site_stack_settings(
        paths,
        before,
        os.environ,
        config=config,
        devices=devices,
        steady=steady,
        with_panel=panel,
    )


@app.command("status")
def status_(json: cli_ven.Json = False) -> None:
    """What runs, its health, the power now and the active event.

    Exits with 0 when all is up, 3 when stopped, 1 when something is wrong.
    """
    paths = Paths.from_environment()
    report = status.site_status_report(paths, settings.current_site_settings(paths, os.environ))
    if json:
        show.print_json({name: value for name, value in report.items() if name != "parts"})
    else:
        show.print_status(report)
    raise typer.Exit(report["exit_code"])


# --- to the VEN -------------------------------------------------------------------------------

app.command()(cli_ven.send_event)
app.command()(cli_ven.restore)
app.command()(cli_ven.ping)
app.command()(cli_ven.shadow)
app.command()(cli_ven.telemetry)
app.command("events")(past_events.event_history)
app.command("register")(cli_ven.register_ven)
app.add_typer(cli_backend.app, name="backend")
app.command("provision")(provision_cli.provision_site)
app.command("provision-sign")(provision_cli.provision_sign)


# --- to find out what is wrong ----------------------------------------------------------------

app.command()(cli_check.doctor)
app.command("check-config")(cli_check.check_config)
app.command()(cli_check.diagnostics)
app.command()(cli_check.watch)
app.command()(cli_check.completion)


# --- logs and configuration -------------------------------------------------------------------


@app.command("logs")
def logs_(
    of: Annotated[
        str,
        typer.Argument(
            help="platform (VOLTTRON and its agents), broker, panel, environment, "
            "backend-api, backend-ingest"
        ),
    ] = "platform",
    lines: Annotated[int, typer.Option("--lines", "-n", help="Of the past.", min=0)] = 40,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Until Ctrl-C.")] = True,
    level: Annotated[
        str, typer.Option(help=f"The platform's log from here up: {', '.join(log_lines.LEVELS)}.")
    ] = "info",
    raw: Annotated[bool, typer.Option("--raw", help="The platform's log as it is.")] = False,
) -> None:
    """Follow a log until Ctrl-C; VOLTTRON's as short lines, without banners and repetitions."""
    if level not in log_lines.LEVELS:
        raise OpsError(f"there is no level {level!r}", f"There are: {', '.join(log_lines.LEVELS)}.")
    paths = Paths.from_environment()
    files = {
        "platform": paths.platform_log,
        "broker": paths.output_log("broker"),
        "panel": paths.output_log("panel"),
        "environment": paths.environment_log,
        **{name: paths.output_log(name) for name in (backend.API, backend.INGEST)},
    }
    if of not in files:
        raise OpsError(f"there is no log {of!r}", f"There are: {', '.join(files)}.")
    path = files[of]
    if not path.exists():
        raise OpsError(f"there is no log yet at {path}", "`start` makes it.")
    try:
        found = logs.follow_log(path, lines) if follow else logs.log_tail(path, lines)
        if of == "platform" and not raw:
            for entry in log_lines.readable_log_entries(found, level):
                show.out.print(entry, soft_wrap=True)
            return
        for line in found:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command(
    "vctl",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # vctl has its own
    },
)
def vctl_(context: typer.Context) -> None:
    """VOLTTRON's own control command, for the VOLTTRON that runs here.

    As the user and with the settings it needs: `vctl status`, `vctl config edit ven.agent config`.
    A file that it is to read must have its full path.
    """
    paths = Paths.from_environment()
    if not (paths.platform_bin / "vctl").exists():
        raise OpsError("VOLTTRON is not installed here", "Run `start` first.")
    code = vctl.pass_on_to_vctl(paths, context.args)
    if context.args[:1] == ["config"] and config_store.AGENT in context.args and code == 0:
        bring_up.remember_edited_config(paths)
    raise typer.Exit(code)


@app.command()
def load_config(
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
    if processes.running_process(paths, platform.NAME) is None:
        raise OpsError("VOLTTRON does not run", "Run `start` first.")
    path = device or cli_ven.target(None).panel.device
    folder = config_store.device_model_folder(paths, devices)
    port = None
    if folder.name == simulated.FOLDER:
        port = simulated.simulated_panel_port(
            paths, settings.current_site_settings(paths, os.environ)
        )
    entries = config_store.device_model_entries(folder, path, port)
    bring_up.ensure_bacnet_proxy(paths, entries, vctl.vctl_status(paths))
    stored = config_store.load_config_store(paths, entries, anew=True)
    show.out.print(f"stored for {config_store.DRIVER}: {', '.join(stored)}")
