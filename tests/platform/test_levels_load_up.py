"""Kinds of events on a real platform: levels, more load, tests, dry runs, a start drawn by lot."""

from __future__ import annotations

import time

import pytest
from pymodbus.client.sync import ModbusTcpClient

from tests.platform.site import Site, wait_for

EV_LIMIT_REGISTER = 2


def set_ev_limit(site: Site, percent: int) -> None:
    """As somebody else at the site does it, past driver and agent."""
    with ModbusTcpClient("127.0.0.1", port=site.modbus_port) as master:
        master.write_register(EV_LIMIT_REGISTER, percent, unit=1)


def test_levels_follow_one_another_without_a_restore_between(site: Site, attempt: int) -> None:
    event_id = site.event_id()
    levels = [
        {"duration_sec": duration_sec, "shed_kw": shed_kw}
        for duration_sec, shed_kw in ((2, 4.5), (2, 7.5), (600, 3.0))
    ]
    ack = site.cloud.command("event", event_id=event_id, intervals=levels)
    assert (ack["status"], ack["requested_shed_kw"]) == ("accepted", 4.5)
    assert site.open_contactors() == {"heater1"}
    seen = []

    def followed() -> list[dict]:
        seen.append(site.open_contactors())
        return site.cloud.acks(event_id=event_id, reason_code="next_interval")

    wait_for(lambda: len(followed()) == 2, "both levels that follow")
    assert set() not in seen
    second, third = followed()
    assert (second["requested_shed_kw"], third["requested_shed_kw"]) == (7.5, 3.0)
    assert {each["id"] for each in second["circuits_curtailed"]} == {"heater1", "dryer1"}
    assert third["actual_shed_kw"] == pytest.approx(3.0, rel=0.05)
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    completed = site.cloud.ack(event_id=event_id, status="completed")
    rows = completed["summary"]["intervals"]
    assert [row["requested_shed_kw"] for row in rows] == [4.5, 7.5, 3.0]
    assert completed["summary"]["delivered_kwh"] > 0.0
    site.wait_until_normal()


def test_a_test_whose_start_is_drawn_lasts_until_it_is_cancelled_and_a_dry_run_writes_nothing(
    site: Site, attempt: int
) -> None:
    asked = {"event_id": site.event_id(), "shed_kw": 4.5, "duration_sec": 0, "test": True}
    writes = site.panel.state()["write_count"]
    dry = site.cloud.command("event", dry_run=True, **asked)
    assert (dry["status"], dry["dry_run"], dry["test"]) == ("success", True, True)
    assert [each["id"] for each in dry["circuits_curtailed"]] == ["heater1"]
    assert site.panel.state()["write_count"] == writes
    assert site.status()["scheduled_events"] == []

    sent_ts = time.time()
    drawn = site.cloud.command("event", randomize_start_sec=4, **asked)
    assert drawn["ok"], drawn
    assert sent_ts <= drawn["start_ts"] <= time.time() + 4.0
    accepted = site.cloud.ack(event_id=asked["event_id"], status="accepted")
    assert accepted["ts_ms"] / 1e3 >= drawn["start_ts"] - 0.001
    assert accepted["test"] is True
    assert site.open_contactors() == {"heater1"}
    telemetry = site.cloud.telemetry(lambda message: message["eventId"] == asked["event_id"])
    assert telemetry.get("eventTest") is True
    cancelled = site.cloud.command("cancel", event_id=asked["event_id"])
    assert cancelled["status"] == "success"
    completed = site.cloud.ack(event_id=asked["event_id"], status="completed")
    assert completed["test"] is True
    site.wait_until_normal()


def test_more_load_raises_a_charger_that_was_turned_down_and_gives_it_back_as_it_was(
    site: Site, attempt: int
) -> None:
    set_ev_limit(site, 30)
    try:
        before_kw = site.panel.state()["total_kw"]
        site.cloud.telemetry(lambda message: message["usedPowerKw"] == pytest.approx(before_kw))
        event_id = site.event_id()
        ack = site.cloud.command("loadUp", event_id=event_id, raise_kw=2.0, duration_sec=600)
        assert (ack["status"], ack["requested_raise_kw"]) == ("accepted", 2.0), ack
        assert site.panel.state()["total_kw"] == pytest.approx(before_kw + 2.0, abs=0.15)
        measured = site.cloud.ack(event_id=event_id, status="measured")
        assert measured["shed_basis"] == "measured"
        restored = site.cloud.command("restore", event_id=event_id)
        assert restored["status"] == "success", restored
        assert site.limits()["ev1"] == 30, "given back to whoever had turned it down"
    finally:
        site.cloud.command("restore")
        set_ev_limit(site, 100)
