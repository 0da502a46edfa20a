"""`watch`: the page on a terminal. What the VEN sends is shown as it comes; nothing is asked.

`Picture` is fed with messages and drawn at any moment: it is the same whatever the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.mqtt import Client, decoded
from ops.show import clock, kw
from VenAgent.config import AgentConfig
from VenAgent.contract.topics import Topics

STALE_INTERVALS = 3
LINES_KEPT = 6
_DRAW_EVERY_SEC = 0.5


@dataclass
class Picture:
    """All that is known of a VEN, and when it was heard."""

    ven_id: str
    broker: str
    interval_sec: float
    telemetry: Mapping[str, Any] = field(default_factory=dict)
    heard_ts: float | None = None
    presence: str | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def take(self, topics: Topics, topic: str, message: Mapping[str, Any], now: float) -> None:
        """A message; one of another VEN on the topic of all is passed over."""
        if message.get("venId") != self.ven_id:
            return
        if topic == topics.metering:
            self.telemetry, self.heard_ts = message, now
            if message.get("eventId") != self.event.get("event_id"):
                self.event = {}
        elif topic == topics.status:
            self.presence = str(message.get("status"))
        elif topic == topics.ack:
            self._ack(message)
        elif topic == topics.alerts:
            self._say(message.get("ts"), f"{message.get('severity')}: {message.get('message')}")

    def _ack(self, ack: Mapping[str, Any]) -> None:
        if ack.get("event_id") and ack.get("end_ts"):
            over = ack.get("status") in ("completed", "failed", "rejected", "opted_out")
            self.event = {} if over else ack
        parts = [str(ack.get("op", "")), str(ack.get("event_id") or ""), str(ack.get("status"))]
        if ack.get("actual_shed_kw") is not None:
            parts.append(f"{kw(ack['actual_shed_kw'])} {ack.get('shed_basis') or ''}".strip())
        if ack.get("reason"):
            parts.append(str(ack["reason"]))
        self._say(ack.get("ts"), "  ".join(filter(None, parts)))

    def _say(self, ts: Any, text: str) -> None:
        self.said = [*self.said, f"{clock(ts)}  {text}"][-LINES_KEPT:]

    # --- drawn ---------------------------------------------------------------------------------

    def connection(self, now: float) -> Text:
        """Plain words, so that colour is not needed."""
        if self.heard_ts is None:
            if self.presence == "offline":
                return Text("OFFLINE: the VEN is not connected to its broker", style="bold red")
            return Text("waiting for the first telemetry …", style="yellow")
        age_sec = max(0.0, now - self.heard_ts)
        if self.presence == "offline":
            return Text(f"OFFLINE: figures are {age_sec:.0f} s old", style="bold red")
        if age_sec > STALE_INTERVALS * self.interval_sec:
            return Text(f"STALE: nothing heard for {age_sec:.0f} s", style="bold yellow")
        quality = self.telemetry.get("quality")
        if quality not in (None, "good"):
            return Text(f"online, but the meter is {quality}", style="bold yellow")
        return Text(f"online, {age_sec:.0f} s ago", style="green")

    def draw(self, now: float) -> Panel:
        parts: list[Any] = [self.connection(now)]
        if self.telemetry:
            parts += [Text(""), self._power(), Text(""), self._event(now), Text("")]
            parts.append(self._circuits())
        if self.said:
            parts += [Text(""), Text("\n".join(self.said), style="dim")]
        title = f"{self.ven_id} at {self.broker}"
        return Panel(Group(*parts), title=title, title_align="left")

    def _power(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(width=10)
        table.add_column(justify="right", width=12)
        table.add_column(width=34)
        used, full = self.telemetry.get("usedPowerKw"), self.telemetry.get("panelMaxKw")
        table.add_row("power", kw(used), _bar(used, full))
        table.add_row("baseline", kw(self.telemetry.get("baselinePowerKw")), "")
        table.add_row("shed", kw(self.telemetry.get("shedPowerKw")), "")
        if self.telemetry.get("batterySOC") is not None:
            table.add_row("battery", f"{self.telemetry['batterySOC']:.0f} %", "")
        return table

    def _event(self, now: float) -> Text:
        event_id = self.telemetry.get("eventId")
        if not event_id:
            return Text("no event")
        text = f"event {event_id}: {kw(self.telemetry.get('requestedReductionKw'))} asked for"
        end_ts = self.event.get("end_ts")
        if isinstance(end_ts, (int, float)):
            left_sec = max(0, round(end_ts - now))
            text += f", {left_sec // 60}:{left_sec % 60:02d} left (until {clock(end_ts)})"
        return Text(text, style="bold")

    def _circuits(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("circuit")
        table.add_column("power", justify="right")
        table.add_column("priority", justify="right")
        table.add_column("state")
        loads = {load.get("id"): load for load in self.telemetry.get("loads") or []}
        shed = {c.get("id") for c in self.event.get("circuits_curtailed") or []}
        for circuit in self.telemetry.get("circuits") or []:
            load = loads.get(circuit.get("id"), {})
            state = {True: "on", False: "off"}.get(circuit.get("enabled"), "unknown")
            if circuit.get("id") in shed:
                state += ", shed"
            if circuit.get("critical"):
                state += ", critical"
            style = "yellow" if "shed" in state else "dim" if state.startswith("off") else ""
            table.add_row(
                str(circuit.get("name") or circuit.get("id")),
                kw(circuit.get("currentKw")),
                str(load.get("priority", "")),
                state,
                style=style,
            )
        return table


def _bar(value: Any, full: Any) -> ProgressBar | str:
    if not isinstance(value, (int, float)) or not isinstance(full, (int, float)) or full <= 0:
        return ""
    return ProgressBar(total=full, completed=max(0.0, min(value, full)), width=32)


def run(agent: AgentConfig, console: Console, for_sec: float | None = None) -> None:
    """Draw until Ctrl-C, or for so long. Raises OpsError when the broker cannot be reached."""
    topics = agent.topic_names()
    broker = f"{agent.broker.host}:{agent.broker.port}"
    picture = Picture(agent.ven_id, broker, agent.report_interval_sec)
    ends = None if for_sec is None else time.monotonic() + for_sec
    with Client(agent) as client:
        client.subscribe(topics.metering, topics.ack, topics.status, topics.alerts)
        with Live(picture.draw(time.time()), console=console, auto_refresh=False) as live:
            while ends is None or time.monotonic() < ends:
                for topic, message in decoded(client.messages(_DRAW_EVERY_SEC)):
                    picture.take(topics, topic, message, time.time())
                    live.update(picture.draw(time.time()), refresh=True)
                live.update(picture.draw(time.time()), refresh=True)
