"""What became of the events: as the local page tells it, on a terminal."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from ops.cli.command_options import Json
from ops.clients.ven_target import VenTarget
from ops.host import terminal as show
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import current_site_settings
from ops.host.terminal import kw_text
from VenAgent.config import AgentConfig

ANSWER_WITHIN_SEC = 10.0


def events_command(
    limit: Annotated[int, typer.Option("--limit", "-n", help="So many.", min=1, max=500)] = 10,
    json: Json = False,
) -> None:
    """The events that wait, the running one and the last ones: when, how much, what came of it."""
    found = _fetch(current_site_settings(Paths.from_environment(), os.environ).agent(), limit)
    if json:
        show.print_json(found)
    elif found:
        show.out.print(_table(found))
    else:
        show.out.print("there has been no event yet")


def _fetch(agent: AgentConfig, limit: int) -> list[dict[str, Any]]:
    """The running event first, then those that are over, newest first. Raises OpsError."""
    if not agent.web.enabled or not agent.web.port:
        raise OpsError("the local page, which tells it, has no fixed port or is switched off")
    url = f"{VenTarget.of_config(agent).page_url}/api/events?limit={limit}"
    request = urllib.request.Request(url)
    if agent.web.secret:
        request.add_header("Authorization", f"Bearer {agent.web.secret}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_SEC) as response:
            found: list[dict[str, Any]] = json.load(response)["events"]
    except (OSError, ValueError, KeyError) as error:
        raise OpsError(f"{url} does not answer: {error}", "See `ven_control.sh status`.") from None
    return found


def _table(past: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(box=None, pad_edge=False)
    for column in ("begun", "event", "state"):
        drawn.add_column(column, no_wrap=True)
    for column in ("requested", "shed", "%", "kWh"):
        drawn.add_column(column, justify="right", no_wrap=True)
    drawn.add_column("circuits")
    for event in past:
        summary = event.get("summary") or {}
        shed_kw = summary.get("achieved_shed_kw", event.get("measured_kw"))
        drawn.add_row(
            _when(event["start_ts"]),
            str(event["event_id"]),
            str(event["state"]),
            kw_text(event.get("requested_kw")),
            kw_text(shed_kw),
            _figure(summary.get("shed_percent"), ".0f"),
            _figure(summary.get("delivered_kwh"), ".3f"),
            ", ".join(event.get("circuits") or []),
        )
    return drawn


def _when(ts: float) -> str:
    """The time of day; of another day the date too."""
    then = datetime.fromtimestamp(ts)
    return f"{then:%H:%M:%S}" if then.date() == datetime.now().date() else f"{then:%d %b %H:%M}"


def _figure(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else ""
