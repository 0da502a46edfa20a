"""`ven_control.sh backend start|stop|status|logs`: the operator's side on this machine."""

from __future__ import annotations

import os
import subprocess

import typer

from ops.cli.command_options import Json
from ops.cli.command_table import PASSED_ON
from ops.host import site_settings as settings
from ops.host import staging
from ops.host import terminal as show
from ops.host.child_environment import child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.services import backend_service as backend
from ops.services import local_broker as broker
from ops.services import site_stack as bring_up

backend_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The operator's side: API, console, dispatch, ingest.",
)


@backend_app.command("start")
def backend_start_command() -> None:
    """Start ingest, API, console and dispatch.

    On SQLite and the local broker, which is started if it does not run. DATABASE_URL names a
    PostgreSQL, MQTT_HOST or IOT_ENDPOINT another broker; API_HOST and API_PORT where it listens
    (127.0.0.1, 8000). Where others can reach it, API keys are needed: `backend key`. With
    OPENADR_VTN_URL it speaks to a utility's VTN too (docs/openadr.md).
    """
    paths = Paths.of_our_own()
    with bring_up.site_stack_lock(paths):
        site = settings.current_site_settings(paths, os.environ)
        _prepare(paths)
        given = backend.backend_service_variables(paths, site, os.environ)
        if backend.backend_service_uses_local_broker(os.environ):
            with show.progress_step("broker") as done:
                record, started = broker.start_local_broker(paths, site)
                done.append(f"{'started' if started else 'runs already'} (process {record.pid})")
        with show.progress_step("API, console, dispatch and ingest") as done:
            came_up = [
                f"{record.name} {'started' if started else 'runs already'} (process {record.pid})"
                for record, started in backend.start_backend_service(paths, given)
            ]
            done.append(", ".join(came_up))
    show.print_note(f"the console: http://localhost:{given['API_PORT']}/console/")


@backend_app.command("stop")
def backend_stop_command() -> None:
    """End ingest and API. Events go on at their VENs, and end there by themselves."""
    paths = Paths.of_our_own()
    with bring_up.site_stack_lock(paths), show.progress_step("stopping the backend") as done:
        done.append("stopped" if backend.stop_backend_service(paths) else "did not run")


@backend_app.command("status")
def backend_status_command(json: Json = False) -> None:
    """What runs and how it is. Exits with 0 when all is well, 3 when stopped, 1 otherwise."""
    found = backend.backend_service_status(Paths.of_our_own())
    if json:
        show.print_json(found)
    else:
        show.out.print(f"backend: {found['state']}")
        for name, part in found["parts"].items():
            where = f"process {part['pid']}" if part["running"] else "does not run"
            show.out.print(f"  {name:15} {where}  {'; '.join(part['reasons']) or ''}")
        if found.get("url"):
            show.out.print(f"  {'console':15} {found['url']}/console/")
            show.out.print(f"  {'database':15} {found['database']}")
        network = found.get("network")
        if network:
            show.out.print(
                f"  {'fleet':15} {network['onlineVens']} of {network['venCount']} VENs online, "
                f"{network['potentialLoadReductionKw']:g} kW can be shed, "
                f"{network['currentLoadReductionKw']:g} kW is"
            )
    raise typer.Exit(found["exit_code"])


@backend_app.command("key", context_settings=dict(PASSED_ON))
def backend_key_command(context: typer.Context) -> None:
    """Make, list and revoke API keys: `backend key add NAME --role read|operate|admin`.

    In the database that the backend runs on; when none runs, in the one that DATABASE_URL names,
    as `backend start`.
    """
    paths = Paths.of_our_own()
    _prepare(paths)
    given = backend.backend_service_variables(
        paths, settings.current_site_settings(paths, os.environ), os.environ
    )
    given = backend.with_running_backend_service_database(paths, given)
    source = staging.copy_to_staging(paths, "backend-key", ["backend", "VenAgent"])
    more = {**given, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [paths.tools_python, "-m", "backend", "key", *context.args],
        env=child_environment(paths, more),
        cwd=backend.backend_service_folder(paths),
        check=False,
        **plain_user(paths),
    )
    raise typer.Exit(result.returncode)


def _prepare(paths: Paths) -> None:
    """The packages it needs, and its folder."""
    install = "ensure_backend_packages"
    if backend.backend_service_speaks_openadr(os.environ):
        install += "; ensure_openadr_packages"
    script = f'. "$1"; ensure_home; ensure_packages; {install}; ensure_owned backend'
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "ops", paths.repo / "scripts/environment.sh"],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "VENAGENT_HOME": str(paths.home),
            "VENAGENT_USER": paths.user,
        },
        check=False,
    )
    if result.returncode != 0:
        raise OpsError("what the backend runs in could not be installed, see above")
