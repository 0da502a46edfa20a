"""What became of the events: as the local page tells it, on a terminal."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ops.cli.command_options import Json
from ops.clients.command_sender import send_command_to_own_ven
from ops.clients.ven_target import VenTarget
from ops.host import terminal as show
from ops.host.ops_error import OpsError, unreachable_words
from ops.host.paths import Paths
from ops.host.terminal import terminal_clock_text, terminal_kw_text, terminal_printable
from ops.volttron.meant_site import meant_site_settings
from VenAgent.config import AgentConfig

ANSWER_WITHIN_SEC = 10.0
ID_SHOWN = 24
"""Characters of an event's id in the table; it may have 256."""


def events_command(
    limit: Annotated[int, typer.Option("--limit", "-n", help="So many.", min=1, max=500)] = 10,
    json: Json = False,
) -> None:
    """The events that wait, the running one and the last ones: when, how much, what came of it."""
    paths = Paths.from_environment()
    found, not_listed, opted_out = _fetch(paths, meant_site_settings(paths).agent(), limit)
    if json:
        show.print_json(found)
    elif found:
        show.out.print(_table(found))
    else:
        show.out.print("there has been no event yet")
    for line in () if json else _reasons(found):
        show.out.print(Text(line), soft_wrap=True)
    if opted_out:
        show.print_note(f"the site takes part {opted_out}")
    if not_listed:
        show.print_note(f"{not_listed} more events wait, which begin later than those listed")


def _fetch(
    paths: Paths, agent: AgentConfig, limit: int
) -> tuple[list[dict[str, Any]], int, str | None]:
    """The next that wait, by their start; the running one; then those that are over, newest first.
    How many more wait; and that the site has opted out.

    Raises OpsError.
    """
    page_url = _page_url(paths, agent)
    status = _answer(agent, f"{page_url}/api/status")
    scheduled = status.get("scheduled") or []
    past = _answer(agent, f"{page_url}/api/events?limit={limit}").get("events") or []
    not_listed = int(status.get("scheduled_count") or 0) - len(scheduled)
    out = status.get("opted_out") or {}
    opted_out = show.terminal_opted_out_text(out.get("reason"), out.get("until_ts"))
    return [*scheduled, *past], max(0, not_listed), opted_out


def _page_url(paths: Paths, agent: AgentConfig) -> str:
    """Where the page is. The VEN tells it unless its configuration names the port: at the usual one
    there may be another program, which is not to get the token."""
    target = VenTarget.of_config(agent)
    if target.page_url is not None and "port" in agent.web.model_fields_set:
        return target.page_url
    data = send_command_to_own_ven(paths, target, "status", ANSWER_WITHIN_SEC).get("data")
    page_url = data.get("page_url") if isinstance(data, dict) else None
    if not isinstance(page_url, str):
        raise OpsError("the local page, which tells it, is switched off")
    return page_url


def _answer(agent: AgentConfig, url: str) -> dict[str, Any]:
    request = urllib.request.Request(url)
    if agent.web.secret:
        request.add_header("Authorization", f"Bearer {agent.web.secret}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_SEC) as response:
            answer = json.load(response)
    except OSError as error:
        why = unreachable_words(error)
        raise OpsError(f"{url} does not answer: {why}", "See `ven_control.sh status`.") from None
    except ValueError:
        raise OpsError(f"{url} does not answer in JSON: another program is there") from None
    return answer if isinstance(answer, dict) else {}


def _table(past: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(box=None, pad_edge=False)
    drawn.add_column("begun", no_wrap=True)
    drawn.add_column("event", overflow="ellipsis", max_width=ID_SHOWN)
    drawn.add_column("state", no_wrap=True)
    for column in ("requested", "shed", "%", "kWh"):
        drawn.add_column(column, justify="right", no_wrap=True)
    drawn.add_column("circuits")
    for event in past:
        summary = event.get("summary") or {}
        shed_kw = summary.get("achieved_shed_kw", event.get("measured_kw"))
        drawn.add_row(
            terminal_clock_text(event.get("start_ts")),
            Text(terminal_printable(event.get("event_id"))),
            Text(terminal_printable(_state(event))),
            _requested(event),
            terminal_kw_text(shed_kw),
            _figure(summary.get("shed_percent"), ".0f"),
            _figure(summary.get("delivered_kwh"), ".3f"),
            Text(terminal_printable(", ".join(map(str, event.get("circuits") or [])))),
        )
    return drawn


def _state(event: Mapping[str, Any]) -> str:
    state = str(event.get("state"))
    return f"{state} (test)" if event.get("test") else state


def _requested(event: Mapping[str, Any]) -> str:
    """What was asked: so much less, so much more, or what the site may draw and feed in at most."""
    if event.get("kind") == "load_up":
        return f"+{terminal_kw_text(event.get('requested_kw'))}"
    if event.get("kind") != "limit":
        return terminal_kw_text(event.get("requested_kw"))
    bounds = (("≤", event.get("import_kw")), ("out ≤", event.get("export_kw")))
    return ", ".join(f"{word} {terminal_kw_text(kw)}" for word, kw in bounds if kw is not None)


def _reasons(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Below the table: why an event was refused, or went otherwise than asked, and who ended it."""
    for event in events:
        reason, ender = event.get("reason"), event.get("ended_by")
        if reason or ender:
            origin = event.get("ended_from")
            by = f"ended by {ender}" + (f" ({origin})" if origin else "") if ender else ""
            why = ": ".join(filter(None, [by, str(reason or "")]))
            yield terminal_printable(f"{event.get('event_id')}: {event.get('state')}, {why}")


def _figure(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else ""
