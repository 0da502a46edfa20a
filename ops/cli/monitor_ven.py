"""scripts/monitor_ven.py: follows a VEN as the backend knows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ops.cli import script_options as options
from ops.clients.backend_client import backend_client_ven_path
from ops.host import terminal


def monitor_ven_script(
    ven: options.ScriptVen = None,
    ven_id: options.ScriptVenId = None,
    backend_url: options.BackendUrl = None,
    interval: Annotated[float, typer.Option(help="Seconds between looks.", min=0.1)] = 5.0,
    count: Annotated[int | None, typer.Option(help="End after so many lines.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Follow a VEN's status and telemetry, as the backend has them: a line for what is new."""
    backend = options.script_option_backend(backend_url)
    path, last, lines = (
        backend_client_ven_path(options.required_script_option_ven_id(ven, ven_id)),
        None,
        0,
    )
    while count is None or lines < count:
        found = backend.get(path)
        said = (found["lastSeen"], found["status"])
        if said != last:
            last, lines = said, lines + 1
            _show(found, json)
        if count is None or lines < count:
            time.sleep(interval)


def _show(ven: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        terminal.print_json(ven)
        return
    metrics = ven["metrics"]
    event = metrics["activeEventId"]
    shed = ", ".join(metrics["shedLoadIds"])
    terminal.out.print(
        f"{ven['lastSeen'] or 'never heard':28} {ven['status']:8} "
        f"{_kw(metrics['currentPowerKw'])} kW, could shed {_kw(metrics['shedAvailabilityKw'])} kW"
        + (f", event {event}" if event else "")
        + (f", shed: {shed}" if shed else ""),
        soft_wrap=True,
    )


def _kw(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"
