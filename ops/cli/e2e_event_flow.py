"""scripts/test_e2e_event_flow.py: one event from registration to restored circuits.

Everything is asked of the backend, as an operator would: so it proves ingest, dispatch and the VEN
together, whichever broker is between them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import typer
from rich.table import Table

from ops.cli import script_options as options
from ops.clients.backend_client import (
    BackendClient,
    backend_client_event_path,
    backend_client_ven_path,
)
from ops.clients.ven_registration import send_ven_registration, ven_registration
from ops.host import terminal as show
from ops.host.ops_error import OpsError

LOOK_EVERY_SEC = 0.5
AGREES = ("accepted", "measured", "adjusted", "completed")


@dataclass
class _Step:
    name: str
    ok: bool = False
    result: str = ""
    took_sec: float = 0.0


@dataclass
class _Flow:
    """The steps done so far; a step that fails ends the flow."""

    backend: BackendClient
    ven_id: str
    timeout_sec: float
    steps: list[_Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[_Step]:
        step = _Step(name)
        self.steps.append(step)
        begun = time.monotonic()
        try:
            yield step
            step.ok = True
        except OpsError as error:
            step.result = error.what
            raise
        finally:
            step.took_sec = time.monotonic() - begun
            mark = "[green]✓[/]" if step.ok else "[red]✗[/]"
            show.out.print(f"{mark} {name}: {step.result}")

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """What `look` finds, once it finds something. Raises OpsError when that takes too long."""
        deadline = time.monotonic() + self.timeout_sec
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() >= deadline:
                raise OpsError(f"{what} within {self.timeout_sec:g} s")
            time.sleep(LOOK_EVERY_SEC)


def e2e_event_flow_script(
    ven: options.ScriptVen = None,
    ven_id: options.ScriptVenId = None,
    backend_url: options.BackendUrl = None,
    reduction_kw: Annotated[float, typer.Option(help="Power to shed, kW.")] = 2.0,
    duration_minutes: Annotated[float, typer.Option(help="Length of the event.")] = 5.0,
    duration_sec: Annotated[
        float | None, typer.Option(help="The same in seconds; wins over the minutes.")
    ] = None,
    start_in: Annotated[float, typer.Option(help="Seconds until it begins.")] = 3.0,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a step.")] = 60.0,
    fleet: Annotated[bool, typer.Option("--fleet", help="Ask all VENs, not this alone.")] = False,
    skip_mqtt: Annotated[
        bool,
        typer.Option("--skip-mqtt", help="Accepted, and changes nothing: all is asked by REST."),
    ] = False,
) -> None:
    """Run a demand-response event from registration to restored circuits.

    Against a stack that runs; 0 when every step succeeded.
    """
    length_sec = duration_minutes * 60 if duration_sec is None else duration_sec
    flow = _Flow(
        options.script_option_backend(backend_url),
        options.required_script_option_ven_id(ven, ven_id),
        timeout,
    )
    try:
        _run_flow(flow, reduction_kw, length_sec, start_in, fleet)
    except OpsError as error:
        show.print_error(error)
    _summary(flow)
    raise typer.Exit(0 if all(step.ok for step in flow.steps) else 1)


def _run_flow(
    flow: _Flow, reduction_kw: float, duration_sec: float, start_in_sec: float, fleet: bool
) -> None:
    """Raises OpsError at the first step that fails; the event is stopped then too."""
    backend, ven_id = flow.backend, flow.ven_id
    with flow.step("VEN is registered") as step:
        wanted = ven_registration(ven_id, None, None, None)
        ven = send_ven_registration(backend, wanted, named=False)
        step.result = f"{ven['id']}, {ven['status']}"
    with flow.step("telemetry arrives") as step:
        ven = flow.until(
            f"no telemetry of {ven_id}",
            lambda: _heard_lately(backend.get(backend_client_ven_path(ven_id)), flow.timeout_sec),
        )
        step.result = f"{ven['metrics']['currentPowerKw']:g} kW, {len(ven['loads'])} loads"
    with flow.step("event is created") as step:
        start = datetime.now(timezone.utc) + timedelta(seconds=start_in_sec)
        body = {
            "requestedReductionKw": reduction_kw,
            "startTime": start.isoformat(),
            "durationSec": duration_sec,
            **({} if fleet else {"venIds": [ven_id]}),
        }
        event_id = backend.post("/api/events/", body)["id"]
        step.result = f"{event_id}, {reduction_kw:g} kW for {duration_sec:g} s"
    try:
        _follow(flow, event_id, start)
    finally:
        with flow.step("event is stopped") as step:
            step.result = backend.post(f"{backend_client_event_path(event_id)}/stop")["status"]
    with flow.step("circuits are restored") as step:
        flow.until(f"{ven_id} is still in the event", lambda: _is_out(backend, ven_id, event_id))
        step.result = (
            f"{backend.get(backend_client_ven_path(ven_id))['metrics']['currentPowerKw']:g} kW"
        )


def _follow(flow: _Flow, event_id: str, start: datetime) -> None:
    backend, ven_id = flow.backend, flow.ven_id
    with flow.step("event becomes active") as step:
        flow.until("not active", lambda: _event(backend, event_id)["status"] == "active")
        late_sec = (datetime.now(timezone.utc) - start).total_seconds()
        step.result = f"seen {late_sec:.1f} s after its start"
    with flow.step("VEN acknowledges") as step:
        part = flow.until("no ack", lambda: _answered(_event(backend, event_id), ven_id))
        step.result = f"{part['status']}, {part['shedKw'] or 0:g} kW" + (
            f", after {part['responseMs']:.0f} ms" if part["responseMs"] is not None else ""
        )
        if part["status"] not in AGREES:
            raise OpsError(f"the VEN answered {part['status']}: {part['reason'] or 'no reason'}")
    with flow.step("telemetry shows the event") as step:
        point = flow.until(
            "no telemetry with the event", lambda: _marked(backend, ven_id, event_id)
        )
        step.result = f"{point['usedPowerKw']:g} kW, of which {point['shedPowerKw']:g} kW are shed"
    with flow.step("metrics") as step:
        metrics = backend.get(f"{backend_client_event_path(event_id)}/metrics")
        step.result = (
            f"{metrics['currentReductionKw']:g} kW of {metrics['vensResponding']} VENs, "
            f"mean answer time {metrics['avgResponseMs'] or 0:.0f} ms"
        )
        if metrics["vensResponding"] < 1:
            raise OpsError("no VEN responds")


def _event(backend: BackendClient, event_id: str) -> dict[str, Any]:
    event: dict[str, Any] = backend.get(backend_client_event_path(event_id))
    return event


def _heard_lately(ven: dict[str, Any], within_sec: float) -> dict[str, Any] | None:
    if ven["lastSeen"] is None:
        return None
    seen = datetime.fromisoformat(ven["lastSeen"].replace("Z", "+00:00"))
    age_sec = (datetime.now(timezone.utc) - seen).total_seconds()
    return ven if age_sec < within_sec else None


def _answered(event: dict[str, Any], ven_id: str) -> dict[str, Any] | None:
    for part in event["vens"]:
        if part["venId"] == ven_id and part["status"] not in ("assigned", "commanded"):
            found: dict[str, Any] = part
            return found
    return None


def _marked(backend: BackendClient, ven_id: str, event_id: str) -> dict[str, Any] | None:
    """The latest telemetry if it belongs to the event and sheds."""
    (point,) = backend.get(f"{backend_client_ven_path(ven_id)}/telemetry", limit=1)[
        "telemetry"
    ] or [{}]
    sheds = point.get("eventId") == event_id and (point.get("shedPowerKw") or 0) > 0
    return point if sheds else None


def _is_out(backend: BackendClient, ven_id: str, event_id: str) -> bool:
    active = backend.get(backend_client_ven_path(ven_id))["metrics"]["activeEventId"]
    return bool(active != event_id)


def _summary(flow: _Flow) -> None:
    table = Table(title=f"{flow.ven_id} at {flow.backend.url}", title_justify="left")
    for column in ("step", "", "result", "s"):
        table.add_column(column, justify="right" if column == "s" else "left")
    for step in flow.steps:
        mark = "[green]ok[/]" if step.ok else "[red]failed[/]"
        table.add_row(step.name, mark, step.result, f"{step.took_sec:.1f}")
    show.out.print(table)
    failed = [step.name for step in flow.steps if not step.ok]
    if failed:
        show.out.print(f"[red]FAILED[/]: {', '.join(failed)}")
    else:
        show.out.print(f"[green]PASSED[/]: all {len(flow.steps)} steps")
