"""scripts/register_ven.py: registers a VEN with the operator's backend."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli import script_options as options
from ops.clients.ven_registration import send_ven_registration, ven_registration
from ops.host import terminal


def register_ven_script(
    ven: options.ScriptVen = None,
    ven_id: options.ScriptVenId = None,
    backend_url: options.BackendUrl = None,
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude.", min=-90, max=90)] = None,
    lon: Annotated[float | None, typer.Option(help="Longitude.", min=-180, max=180)] = None,
    status: Annotated[
        str, typer.Option(help="online, offline or maintenance, until it reports.")
    ] = "online",
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Register a VEN with the operator's backend; of one it knows what is not given stays."""
    wanted = ven_registration(
        options.required_script_option_ven_id(ven, ven_id), name, lat, lon, status
    )
    backend = options.script_option_backend(backend_url)
    made = send_ven_registration(backend, wanted, named=name is not None)
    if json:
        terminal.print_json(made)
    else:
        terminal.out.print(f"registered {made['id']} ({made['name']}), {made['status']}")
