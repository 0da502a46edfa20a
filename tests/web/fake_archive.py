"""What the fake site remembers: weeks of power, each circuit's curve, and events in full."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

INTERVAL_SEC, MINUTE_SEC, LONGEST_MINUTES = 900, 60, 240
LIVED_SEC = 40 * 86_400.0
LATEST = {
    "origin": "operator",
    "reason_code": None,
    "ended_by": None,
    "opted_out": False,
    "ended_from": None,
    "ended_ts": None,
}
"""Fields that every event of the fake has."""


class FakeArchive:
    """`power_kw` gives the power of a circuit, or of the site, at a time."""

    def __init__(
        self, power_kw: Callable[[str | None, float], float], clock: Callable[[], float]
    ) -> None:
        self._power_kw = power_kw
        self._clock = clock
        self.asked = 0
        """How many pages were read."""

    def interval_power(self, start_ts: float, count: int) -> dict[str, Any]:
        self.asked += 1
        rows = []
        for ts in self._times(start_ts, count, INTERVAL_SEC):
            day = math.sin(2 * math.pi * (ts % 86_400) / 86_400.0 - 2.0)
            weekend = (int(ts // 86_400) + 3) % 7 >= 5
            power_kw = max(0.5, (9.0 if weekend else 16.0) + 7.0 * day)
            if ts // 86_400 % 11 != 5:  # a day on which nothing was read
                rows.append((ts, round(power_kw, 3), 900, ts % 86_400 == 64_800))
        names = ("ts", "power_kw", "covered_sec", "in_event")
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    def minute_power(self, circuit_id: str | None, start_ts: float, minutes: int) -> dict[str, Any]:
        self.asked += 1
        times = self._times(start_ts, min(minutes, LONGEST_MINUTES), MINUTE_SEC)
        columns: dict[str, Any] = {
            "ts": times,
            "power_kw": [round(self._power_kw(circuit_id, ts), 3) for ts in times],
        }
        if circuit_id is None:
            columns["baseline_kw"] = [22.5 for _ in times]
            columns["target_kw"] = [17.5 if ts // 900 % 4 == 1 else None for ts in times]
        return columns

    def _times(self, start_ts: float, count: int, width: int) -> list[int]:
        begin, now = int(start_ts // width) * width, self._clock()
        wanted = range(begin, begin + count * width, width)
        return [ts for ts in wanted if now - LIVED_SEC < ts <= now]


def fake_event_in_full(event: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The event with circuits and acks such as a real one has. `names`: of circuits, by id."""
    circuits = [
        {
            "id": circuit_id,
            "name": names.get(circuit_id, circuit_id),
            "priority": 5,
            "critical": False,
            "original_kw": 4.5,
            "final_kw": 0.0,
            "shed_kw": 4.5,
            "shed_ts": event["start_ts"],
            "confirmed": True,
            "failure": None,
            "responded": True,
            "manual_override": False,
            "restored": True,
        }
        for circuit_id in event["circuits"]
    ]
    acks = [
        {
            "op": "event",
            "status": status,
            "ok": status != "failed",
            "ts": int(event["start_ts"] or 0) + after,
            "requested_shed_kw": event["requested_kw"],
            "actual_shed_kw": event["measured_kw"] if after else event["predicted_kw"],
            "shed_basis": "measured" if after else "predicted",
            "reason": event["reason"],
            "reason_code": event["reason_code"],
            "correlationId": f"evt-{event['event_id']}-1",
        }
        for after, status in ((0, "accepted"), (30, "measured"), (900, "completed"))
    ]
    kept = {name: value for name, value in event.items() if name not in ("state_ts", "target_kw")}
    return {**kept, "circuits": circuits, "acks": acks}
