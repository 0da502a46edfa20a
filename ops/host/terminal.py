"""How things look on a terminal: progress, errors, acks, status. JSON goes to stdout unadorned."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ops.host.log_tail import log_tail
from ops.host.ops_error import OpsError

LOG_LINES = 12
out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


# --- progress and errors -----------------------------------------------------------------------


@contextmanager
def progress_step(what: str) -> Iterator[list[str]]:
    """One step of several: the line says what it does, then what came of it.

    The body appends that to the list it gets. An error that ends it carries the step's name.
    """
    came_of_it: list[str] = []
    try:
        if err.is_terminal:
            # Most commands have no steps, and it takes a while to load.
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description} …"), TimeElapsedColumn())
            with Progress(*columns, console=err, transient=True) as progress:
                progress.add_task(what, total=None)
                yield came_of_it
        else:  # a log, or a pipe: whoever reads it waits too
            err.print(Text(f"  {what} …"), soft_wrap=True)
            yield came_of_it
    except OpsError as error:
        error.step = error.step or what
        err.print(Text.assemble(("✗ ", "bold red"), what), soft_wrap=True)
        raise
    result = f": {came_of_it[-1]}" if came_of_it else ""
    err.print(Text.assemble(("✓ ", "bold green"), what + result), soft_wrap=True)


def print_note(text: str) -> None:
    err.print(Text.assemble(("• ", "yellow"), text), soft_wrap=True)


def print_error(problem: OpsError) -> None:
    """What went wrong, what to do, and the log's last lines."""
    parts: list[Text] = [Text(problem.what, style="bold")]
    parts += [Text(sentence) for sentence in problem.advice]
    lines = list(problem.output) or (_telling(problem.log) if problem.log else [])
    if lines:
        parts += [Text(""), Text("\n".join(lines), style="dim")]
    if problem.log:
        parts += [Text(""), Text(f"log: {problem.log}")]
    title = f"failed: {problem.step}" if problem.step else "failed"
    err.print(Panel(Group(*parts), title=title, title_align="left", border_style="red"))


def _telling(log: Path) -> list[str]:
    """A log's last lines without those that our own looking leaves in it."""
    lines = [
        line for line in log_tail(log, 10 * LOG_LINES) if "CONTROL RPC list_agents" not in line
    ]
    return lines[-LOG_LINES:]


ACK_OPTED_OUT = "opted_out"
"""`AckStatus.OPTED_OUT`: nothing is shed. The contract's acks take a while to load."""
ACKS_DONE = frozenset(
    ("accepted", "scheduled", "measured", "adjusted", "completed", "rebound", "success")
)
"""Each other `AckStatus` that is ok."""


def ack_is_done(answer: Mapping[str, Any]) -> bool:
    """Whether the VEN does what it was told: where a peer's ack has no `ok`, by its status."""
    status, ok = answer.get("status"), answer.get("ok")
    return status != ACK_OPTED_OUT and (ok is True or (ok is None and str(status) in ACKS_DONE))


# --- acks --------------------------------------------------------------------------------------


def print_ack(answer: Mapping[str, Any]) -> None:
    """An ack: its status, then power and circuits when it is about an event."""
    good = ack_is_done(answer)
    head = Text.assemble(
        (str(answer.get("status", "?")), "bold green" if good else "bold red"),
        terminal_printable(f"  {answer.get('op', '')} {answer.get('event_id') or ''}").rstrip(),
        "  test" if answer.get("test") else "",
        "  dry run: nothing was written" if answer.get("dry_run") else "",
    )
    parts: list[Any] = [head]
    if answer.get("reason"):
        parts.append(Text(terminal_printable(answer["reason"])))
    power = _power_line(answer)
    if power:
        parts.append(Text(power))
    circuits = answer.get("circuits_curtailed") or []
    if circuits:
        parts.append(_circuits(circuits, is_raise=answer.get("requested_raise_kw") is not None))
    title = f"{answer.get('venId', '')}"
    style = "green" if good else "red"
    out.print(Panel(Group(*parts), title=title, title_align="left", border_style=style))


def _power_line(answer: Mapping[str, Any]) -> str:
    parts = []
    limits = [answer[name] for name in ("import_kw", "export_kw") if answer.get(name) is not None]
    if limits:
        if answer.get("import_kw") is not None:
            parts.append(f"limit {terminal_kw_text(answer['import_kw'])}")
        if answer.get("export_kw") is not None:
            parts.append(f"at most {terminal_kw_text(answer['export_kw'])} fed in")
        if answer.get("end_ts") is None:
            parts.append("until further notice")
    asked, actual = (answer.get(f"{name}_shed_kw") for name in ("requested", "actual"))
    if answer.get("requested_raise_kw") is not None:
        asked, actual = answer["requested_raise_kw"], answer.get("actual_raise_kw")
        parts.append("more load")
    if asked is not None and not limits:
        parts.append(f"requested {terminal_kw_text(asked)}")
    if actual is not None:
        basis = answer.get("shed_basis")
        parts.append(f"actual {terminal_kw_text(actual)}" + (f" ({basis})" if basis else ""))
    if answer.get("baseline_kw") is not None:
        parts.append(f"baseline {terminal_kw_text(answer['baseline_kw'])}")
    if answer.get("end_ts") is not None:
        parts.append(f"until {terminal_clock_text(answer['end_ts'])}")
    return ", ".join(parts)


def _circuits(circuits: list[Mapping[str, Any]], *, is_raise: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("circuit")
    for column in ("before", "more" if is_raise else "shed", "after"):
        table.add_column(column, justify="right")
    for circuit in circuits:
        table.add_row(
            Text(terminal_printable(circuit.get("name") or circuit.get("id"))),
            terminal_kw_text(circuit.get("original_kw")),
            terminal_kw_text(
                _turned(circuit.get("curtailed_kw")) if is_raise else circuit.get("curtailed_kw")
            ),
            terminal_kw_text(circuit.get("final_kw")),
        )
    return table


def _turned(power_kw: Any) -> Any:
    """What is less counts as positive on the wire."""
    return -power_kw if isinstance(power_kw, (int, float)) else power_kw


def terminal_printable(text: Any) -> str:
    """Without what would steer the terminal: ids and reasons may come from anybody."""
    return "".join(each if each.isprintable() else "\ufffd" for each in str(text))


ABSURD_KW = 1e7
"""From here on all its digits would leave no room for what stands beside it."""


def terminal_kw_text(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "unknown"
    return f"{value:.2f} kW" if abs(value) < ABSURD_KW else f"{value:.3g} kW"


def terminal_clock_text(epoch: Any) -> str:
    """Local time of an epoch second, with the date where that is another day; never raises."""
    if not isinstance(epoch, (int, float)):
        return "unknown"
    try:
        then = datetime.fromtimestamp(epoch)
    except (ValueError, OverflowError, OSError):  # not a number, or beyond the calendar
        return f"{epoch:g}"
    now = datetime.now()
    if then.date() == now.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%d %b %H:%M}" if then.year == now.year else f"{then:%d-%b-%Y %H:%M}"


def terminal_opted_out_text(reason: Any, until_ts: Any) -> str | None:
    """That a site takes part in no events, until when, and why; None where it does."""
    if not reason:
        return None
    is_known = isinstance(until_ts, (int, float))
    until = f"until {terminal_clock_text(until_ts)}" if is_known else "until it opts in"
    return f"in no events, {until}: {terminal_printable(reason)}"


# --- telemetry ---------------------------------------------------------------------------------


# --- status ------------------------------------------------------------------------------------
