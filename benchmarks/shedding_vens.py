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
    shed: dict[str, float] = field(default_factory=dict)
    base: dict[str, float] = field(default_factory=dict)
    refuses: bool = False

    def __post_init__(self) -> None:
        # The number goes on after a restart: it is a moment.
        self.seq = int(time.time())
        self.base = {name: kw * self.dice.uniform(0.2, 0.9) for name, _, kw, _ in CIRCUITS}

    def begin(self, command: dict[str, Any]) -> None:
        """Shed by priority, the last circuit in part."""
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

    def telemetry(self, now: float) -> dict[str, Any]:
        self.seq += 1
        if self.event is not None and now >= self.event["end_ts"]:
            self.event, self.shed = None, {}
        wave = 1 + 0.04 * math.sin(now / 40 + len(self.ven_id)) + self.dice.uniform(-0.01, 0.01)
        draws = {
            name: max(base * wave - self.shed.get(name, 0.0), 0.0)
            for name, base in self.base.items()
        }
        used_kw = sum(draws.values())
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
        self.client.on_message = self._received
        self.client.connect(options.host, options.port)

    def _received(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        site = self.sites.get(message.topic.rpartition("/")[2])
        if site is None:
            return
        command = json.loads(message.payload)
        now = time.time()
        sheds = command["op"] in ("event", "shedPanel", "shedLoad")
        first = AckStatus.ACCEPTED if sheds else AckStatus.SUCCESS
        if sheds and site.refuses:
            self._later(now, site, command, AckStatus.OPTED_OUT)
            return
        if sheds:
            site.begin(command)
        elif command["op"] in ("restore", "cancel"):
            site.event, site.shed = None, {}
        self._later(now + random.uniform(*ANSWER_SEC), site, command, first)
        if sheds:
            self._later(now + SETTLED_SEC, site, command, AckStatus.MEASURED)

    def _later(self, at: float, site: Site, command: dict[str, Any], status: AckStatus) -> None:
        self.count += 1
        self.due.put((at, self.count, site.ven_id, command, status))

    def answer_due(self, now: float) -> None:
        while not self.due.empty():
            at, count, ven_id, command, status = self.due.get()
            if at > now:
                self.due.put((at, count, ven_id, command, status))
                return
            self._answer(self.sites[ven_id], command, status, now)

    def _answer(self, site: Site, command: dict[str, Any], status: AckStatus, now: float) -> None:
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
