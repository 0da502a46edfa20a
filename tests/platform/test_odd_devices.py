"""Equipment as it is: lost requests, absurd readings, points that come one by one, overrides."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.platform.ledger import fault
from tests.platform.site import (
    CONFIG_STORE,
    DEVICE,
    DRIVER,
    VEN,
    Site,
    simulated_panel,
    wait_for,
)

EVENTS = int(os.environ.get("VENAGENT_EVENTS", "6"))


def shed_and_restore(site: Site, shed_kw: float = 4.5) -> dict:
    """The ack of an event that begins now, or when what went before is back."""
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=shed_kw, duration_sec=600)
    if ack["status"] == "scheduled":
        ack = site.cloud.ack(event_id=event_id, status="accepted")
    assert ack["status"] == "accepted", ack
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    return ack


def test_with_every_tenth_request_lost_each_event_begins(site: Site, attempt: int) -> None:
    """Nine of twenty were refused at once, and others lacked a circuit."""
    site.panel.fault("lost", every=10)
    for _ in range(EVENTS):
        with fault("every tenth Modbus request lost: an event with two circuits"):
            ack = shed_and_restore(site, shed_kw=7.5)
            assert {c["id"] for c in ack["circuits_curtailed"]} == {"heater1", "dryer1"}, ack


def test_an_absurd_reading_is_named_in_an_alert_that_ends_and_is_not_used(site: Site) -> None:
    site.panel.fault("reading", register="input", address=0, value=6553.5)
    point = f"{DEVICE}/total_kw"

    def alert_of(severity: str) -> dict | None:
        alerts = site.cloud.messages("ven/alerts/" + site.config["ven_id"])
        return next(
            (
                alert
                for alert in alerts
                if alert["code"] == "point.suspect"
                and alert["severity"] == severity
                and alert["context"]["subject"] == point
            ),
            None,
        )

    alert = wait_for(lambda: alert_of("warning"), "the alert")
    assert "6553.5" in alert["message"]
    assert site.status()["power_kw"] in (None, pytest.approx(22.6))
    site.panel.clear()
    wait_for(lambda: alert_of("cleared"), "its end")


def test_a_publication_with_one_point_leaves_the_others_as_they_are(site: Site) -> None:
    site.cloud.telemetry(lambda message: message["quality"] == "good")
    header = {"TimeStamp": "2099-01-01T00:00:00+00:00"}
    publish = site.volttron.dynamic_agent.vip.pubsub.publish
    for kw in (3.1, 3.2, 3.3):
        publish("pubsub", f"devices/{DEVICE}/all", headers=header, message=[{"ev1_kw": kw}, {}])
    telemetry = site.cloud.telemetry(lambda message: True)
    assert telemetry["quality"] == "good"
    assert all(circuit["currentKw"] is not None for circuit in telemetry["circuits"])
    assert site.rpc(VEN, "health.get_status")["status"] == "GOOD"


def test_an_override_of_one_device_in_the_driver_is_answered_within_the_limit(site: Site) -> None:
    site.rpc(DRIVER, "set_override_on", DEVICE, 0.0, False, False)
    try:
        ack = site.cloud.command(
            "event", event_id=site.event_id(), shed_kw=4.5, duration_sec=60, timeout_sec=20.0
        )
        assert ack["status"] == "failed"
        assert "override" in ack["reason"]
    finally:
        site.rpc(DRIVER, "set_override_off", DEVICE)
    shed_and_restore(site)


@pytest.fixture
def stored_entry(site: Site) -> Iterator[dict[str, Any]]:
    """The driver's entry of the panel, which the test may change."""
    stored = site.rpc(CONFIG_STORE, "get_config", DRIVER, f"devices/{DEVICE}", True)
    entry = json.loads(stored) if isinstance(stored, str) else stored
    yield entry
    site.panel.clear()
    site.store(DRIVER, f"devices/{DEVICE}", entry)
    site.wait_until_the_driver_reads()


def answers_of(site: Site, device: str) -> dict[str, Any]:
    """How long a device's answers take; empty while the agent is being started."""
    return site.status().get("devices", {}).get(device, {})


@pytest.mark.parametrize("interval_sec", [15, 1])
def test_an_event_begins_on_a_device_that_answers_after_two_seconds(
    site: Site, stored_entry: dict[str, Any], interval_sec: int, attempt: int
) -> None:
    """Every immediate event failed after 5 s, with telemetry that was good."""
    site.store(DRIVER, f"devices/{DEVICE}", {**stored_entry, "interval": interval_sec})
    site.panel.fault("slow", seconds=2)
    site.stop(VEN)
    site.start(VEN)  # it reads all once
    site.wait_until_it_answers(VEN)
    wait_for(
        lambda: (answers_of(site, DEVICE).get("answer_sec") or 0.0) > 1.0,
        "the agent knows that it is slow",
        120.0,
    )
    site.cloud.telemetry(lambda message: message["quality"] == "good")
    event_id = site.event_id()
    with fault(f"a device that answers after 2 s, read every {interval_sec} s: an event now"):
        ack = site.cloud.command(
            "event", event_id=event_id, shed_kw=4.5, duration_sec=600, timeout_sec=180.0
        )
        assert ack["status"] == "accepted", ack
        assert site.open_contactors() == {"heater1"}
    assert answers_of(site, DEVICE)["waited_for_sec"] > 5.0
    site.panel.clear()
    assert site.cloud.command("restore", event_id=event_id)["status"] == "success"


def test_a_status_that_follows_its_write_late_is_no_failure(site: Site, attempt: int) -> None:
    """The contactor's point reads as before for 8 s after each write."""
    site.panel.fault("slow_readback", seconds=8)
    quirks = [{"device": DEVICE, "settle_sec": 8}]
    site.store(VEN, "config", {**site.config, "quirks": quirks})
    wait_for(
        lambda: site.cloud.command("get", what="config")["data"].get("quirks"), "it is in force"
    )
    with fault("a status that follows its write 8 s late: an event with two circuits"):
        ack = shed_and_restore(site, shed_kw=7.5)
        assert {c["id"] for c in ack["circuits_curtailed"]} == {"heater1", "dryer1"}
        assert "reason_code" not in ack
        completed = site.cloud.ack(event_id=ack["event_id"], status="completed")
        assert "reason_code" not in completed
        assert not site.cloud.acks(event_id=ack["event_id"], status="adjusted")


@pytest.fixture
def gateway(site: Site) -> Iterator[list[str]]:
    """Two panels behind a host that takes one connection, as two devices of the driver."""
    devices = [f"site/gateway/unit{unit}" for unit in (1, 2)]
    with simulated_panel("--device", "panel:2") as (port, control):
        control.fault("gateway", seconds=0.02, connections=1)
        site.store(DRIVER, "config", {"max_open_sockets": 1})
        entry = json.loads(site.rpc(CONFIG_STORE, "get_config", DRIVER, f"devices/{DEVICE}", True))
        for unit, device in enumerate(devices, 1):
            behind = {**entry["driver_config"], "port": port, "slave_id": unit}
            site.store(DRIVER, f"devices/{device}", {**entry, "driver_config": behind})
        restart_the_driver(site)
        try:
            yield devices
            control.clear()
        finally:
            for device in devices:
                site.rpc(CONFIG_STORE, "delete_config", DRIVER, f"devices/{device}")
            site.rpc(CONFIG_STORE, "delete_config", DRIVER, "config")
            restart_the_driver(site)


def restart_the_driver(site: Site) -> None:
    site.stop(DRIVER)
    site.start(DRIVER)
    site.wait_until_it_answers(DRIVER)
    site.wait_until_the_driver_reads()


def test_two_units_behind_one_connection_are_shed_together(
    site: Site, gateway: list[str], attempt: int
) -> None:
    """35 of 425 requests were refused, and events had to do without a circuit."""
    on = dict(zip(("heater1", "dryer1"), gateway, strict=True))
    circuits = [
        {**c, "device": on[c["id"]], "control_device": on[c["id"]]} if c["id"] in on else c
        for c in site.config["circuits"]
    ]
    config = {**site.config, "circuits": circuits}
    site.store(VEN, "config", config)
    wait_for(lambda: all(answers_of(site, device) for device in gateway), "it has the devices")
    site.wait_for_health("GOOD")
    for _ in range(EVENTS):
        with fault("two units behind a gateway of one connection: an event with one of each"):
            ack = shed_and_restore(site, shed_kw=7.5)
            assert {c["id"] for c in ack["circuits_curtailed"]} == set(on), ack
