"""`watch`: the page on a terminal. What the VEN sends is shown as it comes; it is asked once, at
the start, for the event that runs already.

`LivePicture` is fed with messages and drawn at any moment: it is the same whatever the terminal.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.clients.command_sender import ACK_WITHIN_SEC, CommandSenderDraft
from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host.event_words import event_words
from ops.host.terminal import terminal_clock_text, terminal_kw_text
from VenAgent.contract.acks import OVER_STATUSES
from VenAgent.contract.topics import Topics

STALE_INTERVALS = 3
LINES_KEPT = 12
LATEST_TS = 32_503_680_000
"""The year 3000: an end after it, or none that is a number, is not counted down to."""
WIDE = 120
"""From so many columns on, the circuits stand beside the rest."""
_DRAW_EVERY_SEC = 0.5
_STATES: dict[Any, str] = {True: "on", False: "off"}


@dataclass
class LivePicture:
    """All that is known of a VEN, and when it was heard."""

    ven_id: str
    broker: str
    interval_sec: float
    telemetry: Mapping[str, Any] = field(default_factory=dict)
    heard_ts: float | None = None
    presence: str | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    in_failsafe: frozenset[str] = frozenset()
    """The limits whose sender is not heard, also beside another event."""
    said: list[str] = field(default_factory=list)
    asked: str | None = None
    """The correlation id of our own question."""

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
        if self.asked is not None and ack.get("correlationId") == self.asked:
            self._begun_before((ack.get("data") or {}).get("active_event"))
            return
        if ack.get("event_id") and "end_ts" in ack and not ack.get("dry_run"):
            over = ack.get("status") in OVER_STATUSES
            self.event = {} if over else ack
            in_failsafe = ack.get("limit_state") == "failsafe" and not over
            others = self.in_failsafe - {str(ack["event_id"])}
            self.in_failsafe = others | {str(ack["event_id"])} if in_failsafe else others
        parts = [str(ack.get("op", "")), str(ack.get("event_id") or ""), str(ack.get("status"))]
        if ack.get("actual_shed_kw") is not None:
            parts.append(
                f"{terminal_kw_text(ack['actual_shed_kw'])} {ack.get('shed_basis') or ''}".strip()
            )
        if ack.get("reason"):
            parts.append(str(ack["reason"]))
        self._say(ack.get("ts"), "  ".join(filter(None, parts)))

    def _begun_before(self, event: Any) -> None:
        """The event of our question's answer: its acks were sent before we listened."""
        if isinstance(event, Mapping) and not self.event:
            circuits = [each for each in event.get("circuits") or [] if isinstance(each, Mapping)]
            shed = [{"id": each.get("circuit_id")} for each in circuits]
            self.event = {**event, "circuits_curtailed": shed}
            if event.get("failsafe"):
                self.in_failsafe |= {str(event.get("event_id"))}

    def _say(self, ts: Any, text: str) -> None:
        self.said = [*self.said, f"{terminal_clock_text(ts)}  {text}"][-LINES_KEPT:]

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

    def draw(self, now: float, width: int = 80, height: int | None = None) -> Panel:
        """Of at most that many lines: what came last is kept, circuits give way to it."""
        parts: list[Any] = [self.connection(now), Text("")]
        if self.telemetry:
            power, event = self._power(), self._event(now)
            above = power.row_count + 3  # with the event, and a line between
            room = None if height is None else max(4, height - 4)  # without frame and connection
            if width >= WIDE:
                left = Group(power, Text(""), event, Text(""), *self._said(_less(room, above)))
                columns = Table.grid(padding=(0, 4))
                columns.add_column(width=(width - 8) // 2)
                columns.add_row(left, self._circuits(room))
                parts.append(columns)
            else:
                left_over = _less(room, above)
                said = self._said(_less(left_over, len(self._listed()) + 2))
                circuits = self._circuits(_less(left_over, len(said) + 1 if said else 0))
                parts += [power, Text(""), event, Text(""), circuits]
                if said:
                    parts += [Text(""), *said]
        else:
            parts += self._said(None)
        title, quit_with = f"{self.ven_id} at {self.broker}", "q quits"
        return Panel(Group(*parts), title=title, title_align="left", subtitle=quit_with)

    def _said(self, room: int | None) -> list[Text]:
        """The last answers and alerts, a line each; two at least."""
        kept = self.said if room is None else self.said[-max(2, room) :]
        return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in kept]

    def _listed(self) -> list[Mapping[str, Any]]:
        return list(self.telemetry.get("circuits") or [])

    def _power(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(width=10)
        table.add_column(justify="right", width=12)
        table.add_column(width=34)
        used, full = self.telemetry.get("usedPowerKw"), self.telemetry.get("panelMaxKw")
        table.add_row("power", terminal_kw_text(used), _bar(used, full))
        table.add_row("baseline", terminal_kw_text(self.telemetry.get("baselinePowerKw")), "")
        shed_kw = self.telemetry.get("shedPowerKw")
        is_raise = _is_negative(self.telemetry.get("requestedReductionKw"))
        if is_raise and isinstance(shed_kw, (int, float)):
            shed_kw = -shed_kw
        table.add_row("more" if is_raise else "shed", terminal_kw_text(shed_kw), "")
        if self.telemetry.get("batterySOC") is not None:
            table.add_row("battery", f"{self.telemetry['batterySOC']:.0f} %", "")
        return table

    def _event(self, now: float) -> Text:
        event_id = self.telemetry.get("eventId")
        allowed = self._allowed()
        if not event_id and not allowed:
            return Text("no event")
        asked_kw = self.telemetry.get("requestedReductionKw")
        if not asked_kw and allowed:
            text = self._limit_words()
        elif _is_negative(asked_kw):
            text = f"event {event_id}: {terminal_kw_text(-asked_kw)} more asked for"
        else:
            text = f"event {event_id}: {terminal_kw_text(asked_kw)} asked for"
        if asked_kw and allowed:
            text += f", {allowed}" + (" (failsafe)" if self.in_failsafe else "")
        if self.telemetry.get("eventTest"):
            text = f"Test: {text}"
        end_ts = self.event.get("end_ts")
        if isinstance(end_ts, (int, float)) and abs(end_ts) < LATEST_TS:
            left_sec = max(0, round(end_ts - now))
            text += (
                f", {left_sec // 60}:{left_sec % 60:02d} left (until {terminal_clock_text(end_ts)})"
                if left_sec
                else f", over since {terminal_clock_text(end_ts)}{self._given_back()}"
            )
        return Text(text, style="bold")

    def _given_back(self) -> str:
        """How many of the event's circuits are on again; empty where all of them stayed on."""
        shed = [each.get("id") for each in self.event.get("circuits_curtailed") or []]
        off = {each.get("id") for each in self._listed() if each.get("enabled") is False}
        still_off = sum(each in off for each in shed)
        return f", {len(shed) - still_off} of {len(shed)} circuits on" if still_off else ""

    def _allowed(self) -> str:
        """What the site may draw and feed in; empty without a limit."""
        limits = (("importLimitKw", "drawn"), ("exportLimitKw", "fed in"))
        known = ((self.telemetry.get(name), what) for name, what in limits)
        said = (f"{terminal_kw_text(kw)} {what}" for kw, what in known if kw is not None)
        listed = " and ".join(said)
        return f"at or under {listed}" if listed else ""

    def _limit_words(self) -> str:
        """Of a limit alone."""
        import_kw = self.telemetry.get("importLimitKw")
        export_kw = self.telemetry.get("exportLimitKw")
        is_export = import_kw is None
        return event_words(
            "limit",
            export_kw if is_export else import_kw,
            self.event.get("end_ts") if self.event else "",
            is_failsafe=bool(self.in_failsafe),
            is_export=is_export,
            also_fed_in_kw=None if is_export else export_kw,
        )

    def _circuits(self, room: int | None) -> Table:
        """As many as fit into that many lines, with the heading."""
        table = Table(box=None, pad_edge=False)
        table.add_column("circuit", no_wrap=True)
        table.add_column("power", justify="right", no_wrap=True)
        table.add_column("priority", justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        loads = {load.get("id"): load for load in self.telemetry.get("loads") or []}
        shed = {c.get("id") for c in self.event.get("circuits_curtailed") or []}
        listed = self._listed()
        fitting = listed if room is None or len(listed) < room else listed[: max(1, room - 2)]
        for circuit in fitting:
            load = loads.get(circuit.get("id"), {})
            state = _STATES.get(circuit.get("enabled"), "unknown")
            if circuit.get("id") in shed:
                state += ", shed"
            if circuit.get("critical"):
                state += ", critical"
            style = "yellow" if "shed" in state else "dim" if state.startswith("off") else ""
            table.add_row(
                str(circuit.get("name") or circuit.get("id")),
                terminal_kw_text(circuit.get("currentKw")),
                str(load.get("priority", "")),
                state,
                style=style,
            )
        if len(fitting) < len(listed):
            table.add_row(f"… and {len(listed) - len(fitting)} more", style="dim")
        return table


def _is_negative(power_kw: Any) -> TypeGuard[float]:
    """Of what an event asks to shed: it asks for more."""
    return isinstance(power_kw, (int, float)) and power_kw < 0


def _less(room: int | None, used: int) -> int | None:
    return None if room is None else room - used


def _bar(value: Any, full: Any) -> ProgressBar | str:
    if not isinstance(value, (int, float)) or not isinstance(full, (int, float)) or full <= 0:
        return ""
    return ProgressBar(total=full, completed=max(0.0, min(value, full)), width=32)


def watch_live_picture(target: VenTarget, console: Console, for_sec: float | None = None) -> None:
    """Draw until q or Ctrl-C, or for so long. Raises OpsError when the broker cannot be reached."""
    topics = target.topics
    picture = LivePicture(target.ven_id, target.broker, target.report_interval_sec)
    ends = None if for_sec is None else time.monotonic() + for_sec

    def drawn() -> Panel:
        return picture.draw(time.time(), *console.size)

    with OperatorMqttClient(target) as client:
        client.subscribe(topics.metering, topics.ack, topics.status, topics.alerts)
        question = CommandSenderDraft(target.ven_id).of("get", what="status")
        picture.asked = question["correlationId"]
        client.publish(topics.command, question, ACK_WITHIN_SEC)
        with (
            _keys() as pressed,
            Live(drawn(), console=console, auto_refresh=False, screen=True) as live,
        ):
            while (ends is None or time.monotonic() < ends) and "q" not in pressed():
                for topic, message in mqtt_client_messages(client.messages(_DRAW_EVERY_SEC)):
                    picture.take(topics, topic, message, time.time())
                    live.update(drawn(), refresh=True)
                live.update(drawn(), refresh=True)


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """What was typed since it was last asked, unechoed; the terminal is as it was afterwards."""
    if not sys.stdin.isatty():
        yield lambda: ""
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed() -> str:
        ready, _, _ = select.select([terminal], [], [], 0)
        return os.read(terminal, 64).decode(errors="replace") if ready else ""

    tty.setcbreak(terminal)
    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
