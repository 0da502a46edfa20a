"""A site that moves, for the page's tests and for working on the page without a VOLTTRON.

    python -m tests.web.fake_site [--port 8080] [--token T] [--read-only] [--empty]
                                  [--house usual|large|none] [--max-clients 16]

needs gevent and pydantic only (VOLTTRON's environment has them). A line {"stale": true},
{"offline": true} or {"full": true} on its stdin makes a fault; it ends when stdin ends.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.web.fake_archive import LATEST, FakeArchive, fake_event_in_full
from tests.web.fake_house import HOUSES, FakeCircuit
from VenAgent.reporting.power_curve import PowerCurve

BEGIN_SEC, SETTLE_SEC, RESTORE_SEC = 0.3, 2.0, 0.5


class FakeSite:
    """A `PageSource`. Time passes by `step`; `stale`, `offline` and `full` are faults."""

    def __init__(self, clock: Callable[[], float] = time.time, house: str = "usual") -> None:
        self._clock = clock
        self.house: list[FakeCircuit] = HOUSES[house]()
        self.event: dict[str, Any] | None = None
        self.past: list[dict[str, Any]] = []
        self.refused_reason: str | None = None
        self.refused_until_ts: float | None = None
        self.scheduled: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.stale = self.offline = self.full = self.calendar = False
        self._was_offline = False
        self._read_ts = clock()
        self._count = 0
        self._curve = PowerCurve()
        self.archive = FakeArchive(self._power_of, clock)

    # ---- what the page asks ----------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        now = self._clock()
        power_kw = self._power_kw(self._read_ts)
        health = "the meter was last read 40 s ago" if self.stale else "connected, meter live"
        return {
            "ven_id": "fake_site",
            "version": "0.0.0",
            "ts": round(now, 3),
            "health": "BAD" if self.stale or self.offline else "GOOD",
            "health_context": "MQTT: nothing listens at 127.0.0.1:1883" if self.offline else health,
            "power_kw": None if self.stale else power_kw,
            "baseline_kw": self.event["baseline_kw"] if self.event else power_kw,
            "target_kw": self.event["target_kw"] if self.event else None,
            "shed_kw": round(self.event["baseline_kw"] - power_kw, 3) if self.event else 0.0,
            "panel_max_kw": 48.0,
            "panel_amperage": 200.0,
            "voltage": 240.0,
            "current_amps": None if self.stale else round(power_kw * 1000 / 240, 1),
            "utilization_percent": None
            if self.stale
            else 86.0
            if self.full
            else round(power_kw / 0.48, 1),
            "battery_soc_percent": 63.0,
            "quality": "stale" if self.stale else "good",
            "meter_age_sec": round(now - self._read_ts, 1),
            "event": dict(self.event) if self.event else None,
            "scheduled": list(self.scheduled),
            "scheduled_count": len(self.scheduled),
            "availability": {
                "state": "available",
                "until_ts": round(now + 3600.0) if self.calendar else None,
                "reason_code": "opt_schedule" if self.calendar else None,
            },
            "opted_out": self._opted_out(),
            "cloud": {
                "online": not self.offline,
                "since_ts": round(now - 8000.0),
                "why": "nothing listens at 127.0.0.1:1883" if self.offline else "",
                "host": "127.0.0.1",
                "port": 1883,
                "outbox_depth": 17 if self.offline else 0,
                "commands_dropped": 0,
                "certificate_expiry_ts": round(now + 40 * 86400.0),
            },
        }

    def _opted_out(self) -> dict[str, Any] | None:
        if self.refused_reason is None:
            return None
        return {"reason": self.refused_reason, "until_ts": self.refused_until_ts}

    def circuits(self) -> list[dict[str, Any]]:
        return [self._circuit(circuit) for circuit in self.house]

    def _circuit(self, circuit: FakeCircuit) -> dict[str, Any]:
        power_kw = round(circuit.power_kw(self._read_ts), 3)
        measured_only = circuit.control == "none"
        spared = circuit.critical or measured_only or self.refused_reason is not None
        sheddable = 0.0 if spared or self.stale else power_kw
        idle = "ready to be shed"
        if circuit.critical:
            idle = "critical: kept"
        elif self.stale:
            idle = "not read: it cannot be shed"
        elif self.refused_reason is not None:
            idle = "not shed: the site has opted out"
        opened = circuit.control == "switch" and circuit.shed is not None
        off = "switched off by hand" if not circuit.enabled else circuit.reason
        return {
            "id": circuit.id,
            "name": circuit.name,
            "type": circuit.type,
            "breaker_amps": circuit.breaker_amps,
            "capacity_kw": round(circuit.breaker_amps * 0.24, 2),
            "priority": circuit.priority,
            "critical": circuit.critical,
            "control": circuit.control,
            "switchable": not (measured_only or (circuit.critical and circuit.enabled)),
            "enabled": None if measured_only else circuit.enabled and not opened,
            "power_kw": None if self.stale else power_kw,
            "shed_capability_kw": sheddable,
            "flexibility": {},
            "state": self._state(circuit),
            "shed": circuit.shed,
            "reason": off or idle,
        }

    def _state(self, circuit: FakeCircuit) -> str:
        if self.stale:
            return "unread"
        if not circuit.enabled:
            return "off"
        if circuit.shed is None:
            return "on"
        return "limited" if circuit.control == "limit" else "shed"

    def events(self, limit: int) -> list[dict[str, Any]]:
        return ([dict(self.event)] if self.event else []) + self.past[: limit - bool(self.event)]

    def alerts(self) -> dict[str, Any]:
        text = "MQTT: nothing listens at 127.0.0.1:1883"
        alert = {"ts": self._read_ts, "severity": "warning", "code": "offline", "message": text}
        if self.full and not self.offline:
            text = "the panel draws 172 A, more than 80 % of its rating"
            over = {"ts": self._read_ts, "severity": "critical", "code": "panel.over_current"}
            return {"active": [{**over, "message": text}], "recent": [{**over, "message": text}]}
        if self.offline:
            return {"active": [alert], "recent": [alert]}
        over = {**alert, "severity": "cleared", "message": f"over: {text}"}
        return {"active": [], "recent": [over] if self._was_offline else []}

    def history(self) -> dict[str, Any]:
        return self._curve.columns(self._clock())

    def event_in_full(self, event_id: str) -> dict[str, Any] | None:
        names = {circuit.id: circuit.name for circuit in self.house}
        known = [*self.events(500), *self.scheduled]
        found = next((event for event in known if event["event_id"] == event_id), None)
        return None if found is None else fake_event_in_full(found, names)

    def interval_power(self, start_ts: float, count: int) -> dict[str, Any]:
        return self.archive.interval_power(start_ts, count)

    def minute_power(self, circuit_id: str | None, start_ts: float, minutes: int) -> dict[str, Any]:
        return self.archive.minute_power(circuit_id, start_ts, minutes)

    def command(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        self.commands.append(dict(fields))
        handlers = {
            "event": self._begin,
            "shedLoad": self._begin,
            "restore": self._restore,
            "setLoad": self._set_load,
        }
        return {"op": fields["op"], **handlers[fields["op"]](fields)}

    def opt_out(self, reason: str, duration_sec: float | None) -> dict[str, Any]:
        self.refused_reason = reason
        self.refused_until_ts = duration_sec and self._clock() + duration_sec
        if self.event:
            self._end()
        return {"op": "optOut", "ok": True, "status": "success"}

    def opt_in(self) -> dict[str, Any]:
        self.refused_reason = None
        return {"op": "optIn", "ok": True, "status": "success"}

    # ---- what it does ----------------------------------------------------------------------

    def step(self) -> None:
        """Time has passed: readings move on, and an event goes its way."""
        now = self._clock()
        self._was_offline = self._was_offline or self.offline
        if not self.stale:
            self._read_ts = now
            status = self.status()
            self._curve.add(now, status["power_kw"], status["baseline_kw"], status["target_kw"])
        if self.event is None:
            return
        state, since = self.event["state"], now - self.event["state_ts"]
        if state == "shedding" and since > BEGIN_SEC:
            self._activate(now)
        elif state == "active" and self.event["end_ts"] is not None and now >= self.event["end_ts"]:
            self._end()
        elif state == "active" and since > SETTLE_SEC and self.event["measured_kw"] is None:
            self.event["measured_kw"] = round(self.event["baseline_kw"] - self._power_kw(now), 3)
        elif state == "restoring" and since > RESTORE_SEC:
            self._complete(now)

    def live_an_hour(self) -> None:
        """Fill the curve, and the list of events, as if it had run for an hour."""
        now = self._clock()
        for back in range(3600, 0, -5):
            ts = now - back
            shed = 1500 < back < 2400
            power_kw = self._power_kw(ts) + 1.2 * math.sin(ts / 400.0)
            power_kw -= 5.0 if shed else 0.0
            self._curve.add(ts, power_kw, 22.4 if shed else 22.6, 17.4 if shed else None)
        for number, back in enumerate((2400, 26_000, 90_000, 181_000), start=1):
            self._past(f"evt-{4 - number}", now - back, 900.0, 5.0, 4.98 - 0.3 * number)

    def _past(
        self, name: str, start_ts: float, duration_sec: float, kw: float, achieved_kw: float
    ) -> None:
        self.past.append(
            {
                "event_id": name,
                "state": "completed",
                "kind": "shed",
                "test": False,
                "import_kw": None,
                "export_kw": None,
                "failsafe": False,
                "interval": None,
                "start_ts": start_ts,
                "end_ts": start_ts + duration_sec,
                "requested_kw": kw,
                "predicted_kw": kw,
                "measured_kw": achieved_kw,
                "baseline_kw": 22.4,
                "circuits": ["heater1"],
                "reason": None,
                "restored": None,
                **LATEST,
                "summary": {
                    "achieved_shed_kw": round(achieved_kw, 3),
                    "delivered_kwh": round(achieved_kw * duration_sec / 3600, 3),
                    "shed_percent": round(100 * achieved_kw / kw, 1),
                },
            }
        )

    @property
    def extreme(self) -> bool:
        return bool(self.scheduled)

    @extreme.setter
    def extreme(self, _on: bool) -> None:
        """Events as odd as a record may be: the page is to show them, or to say that it cannot."""
        record = {
            "event_id": "<b>\u202e" + "\U0001f4a1" * 120,
            "state": "rejected",
            "kind": "shed",
            "test": True,
            "import_kw": None,
            "export_kw": None,
            "failsafe": False,
            "interval": None,
            "start_ts": 1e15,
            "end_ts": 1e15,
            "requested_kw": 1e9,
            "predicted_kw": None,
            "measured_kw": None,
            "baseline_kw": None,
            "circuits": ["no such circuit"],
            "reason": "why " * 500,
            "restored": None,
            "summary": None,
            **LATEST,
            "ended_ts": self._clock(),
        }
        past = {**record, "state": "of another version", "start_ts": -1e15, "end_ts": 0.0}
        empty = {"achieved_shed_kw": None, "delivered_kwh": None, "shed_percent": None}
        self.scheduled = [{**record, "state": "scheduled"}]
        self.past[:0] = [record, {**past, "requested_kw": -0.0, "summary": empty}]

    @property
    def limited(self) -> bool:
        return self.event is not None and self.event["kind"] == "limit"

    @limited.setter
    def limited(self, failsafe: bool) -> None:
        """A limit until further notice, and another one beside it; `failsafe`: that one rules."""
        self._begin({"shed_kw": 5.0})
        assert self.event is not None
        now = self._clock()
        self._activate(now)
        end = {"kind": "limit", "end_ts": None, "start_ts": now - 90.0, "state": "active"}
        self.event |= {**end, "import_kw": 14.0, "failsafe": failsafe, "target_kw": 14.0}
        self.scheduled = [{**self.event, "event_id": "grid", "import_kw": 30.0, "failsafe": False}]

    @property
    def asked_here(self) -> bool:
        return self.event is not None and self.event["origin"] == "site"

    @asked_here.setter
    def asked_here(self, here: bool) -> None:
        """The event was asked for at the site, by RPC."""
        assert self.event is not None
        self.event["origin"] = "site" if here else "cloud"

    @property
    def waiting(self) -> bool:
        return bool(self.scheduled)

    @waiting.setter
    def waiting(self, _on: bool) -> None:
        """An event in an hour, and a limit after it."""
        self._begin({"shed_kw": 5.0})
        assert self.event is not None
        event, self.event = {**self.event, "state": "scheduled"}, None
        start_ts = self._clock() + 3_600.0
        limit = {"event_id": "grid", "kind": "limit", "import_kw": 14.0, "requested_kw": None}
        self.scheduled = [
            {**event, "start_ts": start_ts, "end_ts": start_ts + 1_800.0},
            {**event, **limit, "start_ts": start_ts + 3_600.0, "end_ts": None},
        ]

    @property
    def ending(self) -> bool:
        return self.event is not None and self.event["state"] == "restoring"

    @ending.setter
    def ending(self, _on: bool) -> None:
        """An event is over, and one of its circuits is back: for an hour."""
        self._begin({"shed_kw": 5.0})
        assert self.event is not None
        self._activate(self._clock())
        state_ts = self._clock() + 3_600.0
        restored = {"circuits": 2, "restored": 1}
        self.event |= {"state": "restoring", "state_ts": state_ts, "restored": restored}

    @property
    def raised(self) -> bool:
        return self.event is not None and self.event["kind"] == "load_up"

    @raised.setter
    def raised(self, _on: bool) -> None:
        """More load: a charger that was turned down draws 3 kW more."""
        self._begin({"shed_kw": 3.0})
        assert self.event is not None
        charger = next(each for each in self.house if each.type == "ev")
        charger.shed = {"original_kw": 3.6, "final_kw": 6.6, "shed_kw": -3.0}
        baseline_kw = self.event["baseline_kw"]
        figures = {"predicted_kw": -3.0, "measured_kw": -2.9, "target_kw": baseline_kw + 3.0}
        self.event |= {"kind": "load_up", "state": "active", "circuits": [charger.id], **figures}

    def _power_kw(self, ts: float) -> float:
        return round(sum(circuit.power_kw(ts) for circuit in self.house), 3)

    def _power_of(self, circuit_id: str | None, ts: float) -> float:
        known = {circuit.id: circuit for circuit in self.house}
        return self._power_kw(ts) if circuit_id is None else known[circuit_id].power_kw(ts)

    def _begin(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        if self.refused_reason:
            return {"ok": False, "status": "opted_out", "reason": self.refused_reason}
        if self.event:
            return {"ok": False, "status": "rejected", "reason": "an event is running already"}
        now, shed_kw = self._clock(), float(fields["shed_kw"])
        if shed_kw > 48.0:
            reason = f"shed_kw: {shed_kw:g} kW is more than the panel's rating of 48 kW"
            return {"ok": False, "status": "rejected", "reason": reason}
        baseline_kw = self._power_kw(now)
        self._count += 1
        self.event = {
            "event_id": fields.get("event_id") or f"here-{self._count}",
            "state": "shedding",
            "kind": "shed",
            "test": bool(fields.get("test")),
            "import_kw": None,
            "export_kw": None,
            "failsafe": False,
            "interval": None,
            "state_ts": now,
            "start_ts": now,
            "end_ts": now + float(fields.get("duration_sec", 900)),
            "requested_kw": shed_kw,
            "predicted_kw": None,
            "measured_kw": None,
            "baseline_kw": baseline_kw,
            "target_kw": round(baseline_kw - shed_kw, 3),
            "circuits": [],
            "reason": None,
            "restored": None,
            "summary": None,
            **LATEST,
        }
        return {"ok": True, "status": "accepted", "event_id": self.event["event_id"]}

    def _activate(self, now: float) -> None:
        assert self.event is not None
        left_kw = self.event["requested_kw"]
        for circuit in sorted(self.house, key=lambda c: -c.priority):
            draw_kw = circuit.power_kw(now)
            if circuit.critical:
                circuit.reason = "spared: critical, never switched off"
            elif not circuit.enabled or circuit.control == "none":
                continue
            elif left_kw <= 0.05 or (circuit.control == "switch" and draw_kw > left_kw * 1.05):
                circuit.reason = "spared: the target is met without it"
            else:
                taken_kw = min(draw_kw, left_kw)
                left_kw -= taken_kw
                self.event["circuits"].append(circuit.id)
                circuit.reason = f"shed: priority {circuit.priority} goes before the others"
                circuit.shed = {
                    "original_kw": round(draw_kw, 3),
                    "final_kw": round(draw_kw - taken_kw, 3),
                    "shed_kw": round(taken_kw, 3),
                }
        predicted_kw = round(self.event["requested_kw"] - left_kw, 3)
        self.event.update(state="active", state_ts=now, predicted_kw=predicted_kw)

    def _restore(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        if self.event:
            self._end()
        return {"ok": True, "status": "success"}

    def _end(self) -> None:
        assert self.event is not None
        self.event.update(state="restoring", state_ts=self._clock())
        for circuit in self.house:
            circuit.shed, circuit.reason = None, ""

    def _complete(self, now: float) -> None:
        assert self.event is not None
        event, self.event = self.event, None
        achieved_kw = event["measured_kw"] or event["predicted_kw"] or 0.0
        hours = (now - event["start_ts"]) / 3600
        event.update(
            state="completed",
            end_ts=now,
            summary={
                "achieved_shed_kw": achieved_kw,
                "delivered_kwh": round(achieved_kw * hours, 3),
                "shed_percent": round(100 * achieved_kw / event["requested_kw"], 1),
            },
        )
        self.past.insert(0, event)

    def _set_load(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        circuit = next((c for c in self.house if c.id == fields["loadId"]), None)
        if circuit is None:
            return {"ok": False, "status": "rejected", "reason": "unknown circuit"}
        if circuit.critical:
            reason = f"circuit {circuit.id} is critical and is not changed by command"
            return {"ok": False, "status": "rejected", "reason": reason}
        circuit.enabled = fields.get("enabled", circuit.enabled)
        circuit.priority = fields.get("priority", circuit.priority)
        return {"ok": True, "status": "success", "loadId": circuit.id}


def main() -> None:
    """Serve it until stdin ends, Ctrl-C or SIGTERM; a JSON object a line on stdin makes faults."""
    import signal

    import gevent
    from gevent.fileobject import FileObjectThread

    from VenAgent.config.web_config import WebConfig
    from VenAgent.web.page_server import PageServer

    parser = argparse.ArgumentParser(description="A site that moves, on the local page.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--token")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--empty", action="store_true", help="without an hour's history")
    parser.add_argument("--house", choices=HOUSES, default="usual")
    parser.add_argument("--max-clients", type=int, default=16)
    parser.add_argument("--site-name", default="")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a thread reads stdin: Python would not end well
    site = FakeSite(house=options.house)
    if not options.empty:
        site.live_an_hour()
    server = PageServer(site, lambda: None)
    server.apply(
        WebConfig(
            port=options.port,
            token=options.token,
            read_only=options.read_only,
            max_clients=options.max_clients,
            site_name=options.site_name,
        )
    )
    print(f"http://127.0.0.1:{server.port}" if server.port else server.failure, flush=True)

    def move() -> None:
        while True:
            site.step()
            server.touch()
            gevent.sleep(0.25)

    gevent.spawn(move)
    import sys

    for line in FileObjectThread(sys.stdin.buffer, "rb"):
        for name, value in json.loads(line).items():
            setattr(site, name, value)


if __name__ == "__main__":
    main()
