"""Simulated VENs that shed: they answer commands, and their telemetry shows what they did.

One process, one MQTT connection, many ids. For trying the operator's side; what is measured for
speed uses `benchmarks.fleet_vens`, which costs less.

    python -m benchmarks.shedding_vens --port 1883 --vens 20 --interval 2 [--prefix demo]
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt

from VenAgent.contract.acks import AckStatus, ack_circuit, build_ack
from VenAgent.contract.json_codec import encode_json, json_number

CIRCUITS = (
    *(("hvac", "hvac", 5.0, 3), ("heater", "heater", 4.5, 5), ("ev", "ev", 7.2, 4)),
    *(("dryer", "dryer", 3.0, 5), ("pool", "pump", 1.5, 5), ("fridge", "fridge", 0.4, 1)),
)
ANSWER_SEC = (0.04, 0.15)
SETTLED_SEC = 2.0


@dataclass
class Site:
    """One VEN: its circuits' draw without an event, and the event it is in."""

    ven_id: str
    dice: random.Random
    seq: int = 0
    event: dict[str, Any] | None = None
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Events that have not begun, by id."""
    shed: dict[str, float] = field(default_factory=dict)
    base: dict[str, float] = field(default_factory=dict)
    refuses: bool = False
    used_kw: float | None = None
    """As it was told last."""
    drawn_kw: list[float] = field(default_factory=list)
    """As it was told in the event, after what was before it."""
    active_ts: float = 0.0
    answers_at: float = 0.0
    """Its next answer comes no sooner: it does one command after the other."""

    def __post_init__(self) -> None:
        # The number goes on after a restart: it is a moment.
        self.seq = int(time.time())
        self.base = {name: kw * self.dice.uniform(0.2, 0.9) for name, _, kw, _ in CIRCUITS}

    def begin(self, command: dict[str, Any], now: float) -> None:
        """Shed by priority, the last circuit in part."""
        if self.event is None or self.event["event_id"] != command["event_id"]:
            self.drawn_kw = [sum(self.base.values()) if self.used_kw is None else self.used_kw]
            self.active_ts = now
        self.event, self.shed = command, {}
        left_kw = float(command["shed_kw"])
        only = command.get("loadId")
        for name, _kind, _kw, priority in sorted(CIRCUITS, key=lambda one: -one[3]):
            if priority == 1 or left_kw <= 0 or (only is not None and name != only):
                continue
            self.shed[name] = min(self.base[name], left_kw)
            left_kw -= self.shed[name]

    def shed_kw(self) -> float:
        return round(sum(self.shed.values()), 3)

    def end(self, now: float) -> dict[str, Any]:
        """What the event brought, by what was told during it."""
        assert self.event is not None
        baseline_kw, *drawn_kw = self.drawn_kw
        average_kw = sum(drawn_kw) / len(drawn_kw) if drawn_kw else None
        achieved_kw = None if average_kw is None else baseline_kw - average_kw
        summary = {
            "start_ts": json_number(self.active_ts),
            "end_ts": json_number(now),
            "baseline_kw": json_number(baseline_kw),
            "avg_kw": json_number(average_kw),
            "delivered_kwh": json_number(
                None if achieved_kw is None else achieved_kw * (now - self.active_ts) / 3_600.0, 6
            ),
            "requested_shed_kw": self.event["shed_kw"],
            "achieved_shed_kw": json_number(achieved_kw),
            "samples": len(drawn_kw),
            "baseline_method": "meter_before",
        }
        self.event, self.shed = None, {}
        return summary

    def telemetry(self, now: float) -> dict[str, Any]:
        self.seq += 1
        wave = 1 + 0.04 * math.sin(now / 40 + len(self.ven_id)) + self.dice.uniform(-0.01, 0.01)
        draws = {
            name: max(base * wave - self.shed.get(name, 0.0), 0.0)
            for name, base in self.base.items()
        }
        self.used_kw = used_kw = sum(draws.values())
        if self.event is not None:
            self.drawn_kw.append(used_kw)
        requested_kw = self.event["shed_kw"] if self.event else 0.0
        loads = [
            {
                "loadId": name,
                "id": name,
                "name": name.title() if name != "ev" else "EV charger",
                "type": kind,
                "capacityKw": capacity_kw,
                "currentPowerKw": json_number(draws[name]),
                "shedCapabilityKw": 0.0 if priority == 1 else json_number(draws[name]),
                "enabled": self.shed.get(name, 0.0) < self.base[name],
                "priority": priority,
            }
            for name, kind, capacity_kw, priority in CIRCUITS
        ]
        return {
            "schemaVersion": "1.0",
            "venId": self.ven_id,
            "timestamp": int(now),
            "ts_ms": round(now * 1_000),
            "seq": self.seq,
            "usedPowerKw": json_number(used_kw),
            "shedPowerKw": self.shed_kw(),
            "requestedReductionKw": requested_kw,
            "eventId": self.event["event_id"] if self.event else None,
            "baselinePowerKw": json_number(sum(self.base.values())),
            "batterySOC": None,
            "panelMaxKw": 48.0,
            "quality": "good",
            "circuits": [],
            "loads": loads,
        }


class Fleet:
    """All sites behind one connection."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.interval_sec = options.interval
        self.sites = {
            name: Site(name, random.Random(name))
            for name in (f"{options.prefix}-{n:05d}" for n in range(options.vens))
        }
        for site in self.sites.values():
            site.refuses = site.dice.random() < options.refusing
        self.due: queue.PriorityQueue[tuple[float, int, str, dict[str, Any], AckStatus]]
        self.due = queue.PriorityQueue()
        self.count = 0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(1_000)
        self.client.on_connect = lambda client, *_: client.subscribe("ven/cmd/+", qos=1)
        self.subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.commands: queue.SimpleQueue[mqtt.MQTTMessage] = queue.SimpleQueue()
        """From the client's thread; all else is the other's."""
        self.client.on_message = lambda _client, _data, message: self.commands.put(message)
        self.client.connect(options.host, options.port)

    def _obey(self, topic: str, command: dict[str, Any], now: float) -> None:
        site = self.sites.get(topic.rpartition("/")[2])
        if site is None:
            return
        answers_at = max(site.answers_at, now + random.uniform(*ANSWER_SEC))
        site.answers_at = answers_at
        event_id = command.get("event_id")
        if command["op"] in ("event", "shedPanel", "shedLoad"):
            if site.refuses:
                self._later(now, site, command, AckStatus.OPTED_OUT)
                return
            site.waiting[event_id] = command
            starts_at = float(command.get("start_ts") or now)
            if starts_at > answers_at:
                self._later(answers_at, site, command, AckStatus.SCHEDULED)
            self._later(max(starts_at, answers_at), site, command, AckStatus.ACCEPTED)
            return
        self._later(answers_at, site, command, AckStatus.SUCCESS)
        if command["op"] in ("restore", "cancel"):
            site.waiting.pop(event_id, None)
            if site.event is not None and event_id in (None, site.event["event_id"]):
                self._later(answers_at, site, site.event, AckStatus.COMPLETED)

    def _begin(self, site: Site, command: dict[str, Any], now: float) -> None:
        if site.event is not None and site.event["event_id"] != command["event_id"]:
            self._answer(site, site.event, AckStatus.COMPLETED, now)
        site.begin(command, now)
        self._answer(site, command, AckStatus.ACCEPTED, now)
        self._later(now + SETTLED_SEC, site, command, AckStatus.MEASURED)
        ends_at = command.get("end_ts") or now + float(command["duration_sec"])
        self._later(ends_at, site, command, AckStatus.COMPLETED)

    def _later(self, at: float, site: Site, command: dict[str, Any], status: AckStatus) -> None:
        self.count += 1
        self.due.put((at, self.count, site.ven_id, command, status))

    def answer_due(self, now: float) -> None:
        while not self.commands.empty():
            message = self.commands.get()
            self._obey(message.topic, json.loads(message.payload), now)
        while not self.due.empty():
            at, count, ven_id, command, status = self.due.get()
            if at > now:
                self.due.put((at, count, ven_id, command, status))
                return
            site = self.sites[ven_id]
            if status is AckStatus.ACCEPTED:
                if site.waiting.get(command["event_id"]) is command:  # else changed, or cancelled
                    del site.waiting[command["event_id"]]
                    self._begin(site, command, now)
            elif status in (AckStatus.MEASURED, AckStatus.COMPLETED):
                if site.event is command:  # else changed, or over
                    self._answer(site, command, status, now)
            else:
                self._answer(site, command, status, now)

    def _answer(self, site: Site, command: dict[str, Any], status: AckStatus, now: float) -> None:
        more = {"summary": site.end(now)} if status is AckStatus.COMPLETED else {}
        message = build_ack(
            op=command["op"],
            status=status,
            ven_id=site.ven_id,
            ts=now,
            correlation_id=command["correlationId"],
            event_id=command.get("event_id"),
            requested_shed_kw=command.get("shed_kw"),
            actual_shed_kw=site.shed_kw(),
            shed_basis="measured" if status is AckStatus.MEASURED else "predicted",
            circuits_curtailed=[
                ack_circuit(
                    circuit_id=name,
                    name=name,
                    breaker_amps=40.0,
                    original_kw=site.base[name],
                    final_kw=site.base[name] - shed_kw,
                    critical=False,
                )
                for name, shed_kw in site.shed.items()
            ],
            **more,
        )
        self.client.publish(f"ven/ack/{site.ven_id}", encode_json(message), qos=1)

    def run(self, stop: threading.Event) -> None:
        """Telemetry spread evenly over the interval, until told to stop."""
        self.client.loop_start()
        names = list(self.sites)
        begun, sent = time.monotonic(), 0
        while not stop.wait(0.01):
            now = time.time()
            self.answer_due(now)
            wanted = int((time.monotonic() - begun) / self.interval_sec * len(names)) + 1
            for number in range(sent, wanted):
                site = self.sites[names[number % len(names)]]
                payload = encode_json(site.telemetry(now))
                self.client.publish("volttron/metering", payload, qos=1)
            sent = max(sent, wanted)
        self.client.disconnect()
        self.client.loop_stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--vens", type=int, default=20)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between telemetries")
    parser.add_argument("--prefix", default="demo")
    parser.add_argument("--refusing", type=float, default=0.0, help="this part opts out")
    fleet = Fleet(parser.parse_args())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    fleet.run(stop)


if __name__ == "__main__":
    main()
