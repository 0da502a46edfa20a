"""A limit on what the site draws, on a real platform: loads rise, the meter stays under it."""

from __future__ import annotations

import time
from itertools import pairwise

from tests.platform.site import VEN, Site, wait_for

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


HEARTBEAT_SEC, FAILSAFE_MIN_SEC = 6.0, 20.0
FAILSAFE_KW = 8.0


def test_in_silence_the_failsafe_limit_rules_through_a_kill_until_heartbeat_and_new_limit(
    site: Site, attempt: int
) -> None:
    grid, controlled = site.event_id(), site.event_id()
    terms = {"failsafe_kw": FAILSAFE_KW, "heartbeat_sec": HEARTBEAT_SEC, "window_sec": 5.0}
    terms |= {"failsafe_min_sec": FAILSAFE_MIN_SEC, "event_id": controlled}
    site.cloud.command("limit", event_id=grid, import_kw=18.0)
    try:
        assert site.cloud.command("limit", import_kw=16.0, **terms)["status"] == "accepted"
        wait_until_under(site, 16.0)
        _lived(site, 1.5)
        heard_ts = time.time()
        assert site.cloud.command("ping")["pong"]
        failsafe = site.cloud.ack(event_id=controlled, reason_code="failsafe")
        assert failsafe["ts_ms"] / 1e3 >= heard_ts + HEARTBEAT_SEC
        assert (failsafe["status"], failsafe["limit_state"]) == ("adjusted", "failsafe")
        assert failsafe["import_kw"] == FAILSAFE_KW
        wait_until_under(site, FAILSAFE_KW)

        pid, shed = site.kill(VEN), site.open_contactors()
        site.panel.draw("hvac1", 5.5)
        site.wait_for_successor(VEN, pid)
        assert shed <= site.open_contactors(), "what is not known is never unlimited"
        wait_until_under(site, FAILSAFE_KW)
        site.cloud.telemetry(lambda message: message.get("importLimitKw") == FAILSAFE_KW)
        site.cloud.command("ping")
        site.cloud.telemetry(lambda message: message.get("importLimitKw") == FAILSAFE_KW)
        assert site.cloud.acks(reason_code="failsafe_left") == [], "not by a heartbeat alone"

        again = site.cloud.command("limit", import_kw=17.0, modification=1, **terms)
        assert again["ok"], again

        def left_while_heard() -> list[dict]:
            site.cloud.command("ping")
            return site.cloud.acks(event_id=controlled, reason_code="failsafe_left")

        (left,) = wait_for(left_while_heard, "the failsafe is left")
        assert left["ts_ms"] >= failsafe["ts_ms"] + 1e3 * FAILSAFE_MIN_SEC
        assert (left["import_kw"], left["limit_state"]) == (17.0, "limited")
        assert site.cloud.command("cancel", event_id=controlled)["status"] == "success"
        site.cloud.telemetry(lambda message: message.get("importLimitKw") == 18.0)
        wait_for(lambda: site.panel.state()["total_kw"] > 17.0, "what the grid's limit allows")
        assert site.panel.state()["total_kw"] <= 18.0
    finally:
        site.panel.draw("hvac1", None)
        site.cloud.command("cancel", event_id=controlled)
        ended = site.cloud.command("cancel", event_id=grid)
    assert ended["status"] == "success"
    site.cloud.ack(event_id=grid, status="completed")
    site.wait_until_normal()


def test_a_limit_rules_again_after_a_power_cut_of_the_platform(site: Site, attempt: int) -> None:
    event_id = site.event_id()
    try:
        site.cloud.command("limit", event_id=event_id, import_kw=LIMIT_KW, window_sec=5.0)
        wait_until_under(site, LIMIT_KW)
        site.power_cut()
        shed = site.open_contactors()
        site.panel.draw("hvac1", 5.5)
        site.power_on()
        wait_until_under(site, LIMIT_KW)
        assert shed <= site.open_contactors()
        site.cloud.telemetry(lambda message: message.get("importLimitKw") == LIMIT_KW)
    finally:
        site.panel.draw("hvac1", None)
        ended = site.cloud.command("cancel", event_id=event_id)
    assert ended["status"] == "success"
    site.wait_until_normal()


def wait_until_under(site: Site, limit_kw: float) -> None:
    wait_for(lambda: site.panel.state()["total_kw"] <= limit_kw, f"at most {limit_kw:g} kW")


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
