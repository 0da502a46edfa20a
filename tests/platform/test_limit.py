"""A limit on what the site draws, on a real platform: loads rise, the meter stays under it."""

from __future__ import annotations

import time
from itertools import pairwise

from tests.platform.site import Site

LIMIT_KW = 15.0
WINDOW_SEC = 30.0
BASE_KW = {
    "hvac1": 3.0,
    "heater1": 3.0,
    "ev1": 3.0,
    "dryer1": 1.0,
    "range1": 0.5,
    "lights1": 0.5,
    "outlets1": 0.8,
    "fridge1": 0.2,
}
RISEN_KW = {"ev1": 9.0, "heater1": 5.5, "dryer1": 4.0, "range1": 4.5, "lights1": 1.5, "hvac1": 4.5}


def test_loads_rise_from_12_to_30_kw_and_the_site_stays_under_its_limit(site: Site) -> None:
    for circuit, power_kw in BASE_KW.items():
        site.panel.draw(circuit, power_kw)
    try:
        site.cloud.telemetry(lambda message: abs((message["usedPowerKw"] or 0.0) - 12.0) < 0.1)
        ack = site.cloud.command(
            "limit", event_id="limit", import_kw=LIMIT_KW, window_sec=WINDOW_SEC
        )
        assert (ack["status"], ack["import_kw"], ack["end_ts"]) == ("accepted", LIMIT_KW, None)
        writes = site.panel.state()["write_count"]
        curve = _lived(site, 6.0)
        assert site.panel.state()["write_count"] == writes, "below its limit nothing is switched"
        for circuit, power_kw in RISEN_KW.items():
            site.panel.draw(circuit, power_kw)
            curve += _lived(site, 4.0)
        curve += _lived(site, 15.0)
        assert site.panel.state()["total_kw"] <= LIMIT_KW
        assert site.panel.state()["total_kw"] > 10.0, "what is allowed is drawn"
        print(_table(curve))  # of a real run, for docs/events.md: pytest -s
        highest_kw = max(_means(curve))
        assert highest_kw <= LIMIT_KW + 0.05, highest_kw
        telemetry = site.cloud.telemetry(lambda message: message["eventId"] == "limit")
        assert telemetry["importLimitKw"] == LIMIT_KW
    finally:
        for circuit in BASE_KW:
            site.panel.draw(circuit, None)
        ended = site.cloud.command("cancel", event_id="limit")
    assert ended["status"] == "success"
    completed = site.cloud.ack(event_id="limit", status="completed")
    assert completed["summary"]["import_kw"] == LIMIT_KW
    site.wait_until_normal()


def _lived(site: Site, seconds: float) -> list[tuple[float, float]]:
    """The panel's power as it is, a few times a second: (monotonic time, kW)."""
    seen, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        seen.append((time.monotonic(), float(site.panel.state()["total_kw"])))
        time.sleep(0.1)
    return seen


def _table(curve: list[tuple[float, float]]) -> str:
    """One line each two seconds: seconds, power, mean over the window."""
    lines, began = [], curve[0][0]
    for ts, power_kw in curve:
        if ts - began >= 2.0 * len(lines):
            mean_kw = (_means([each for each in curve if each[0] <= ts]) or [power_kw])[-1]
            lines.append(f"{ts - began:5.0f} s {power_kw:6.2f} kW, mean {mean_kw:6.2f} kW")
    return "\n".join(lines)


def _means(curve: list[tuple[float, float]]) -> list[float]:
    """Over the window, at each sample that has a whole one before it; each holds until the next."""
    means = []
    for ts, _ in curve:
        since = ts - WINDOW_SEC
        if since < curve[0][0] - WINDOW_SEC / 2:
            continue
        inside = [
            (max(at, since), kw, min(after, ts))
            for (at, kw), (after, _) in pairwise(curve)
            if after > since and at < ts
        ]
        total = sum(end - begin for begin, _, end in inside)
        if total > 0.0:
            means.append(sum(kw * (end - begin) for begin, kw, end in inside) / total)
    return means
