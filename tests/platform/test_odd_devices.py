"""Equipment as it is: lost requests, absurd readings, points that come one by one, overrides."""

from __future__ import annotations

import os

import pytest

from tests.platform.site import DEVICE, DRIVER, VEN, Site, wait_for

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


def test_with_every_tenth_request_lost_each_event_begins(site: Site) -> None:
    """Nine of twenty were refused at once, and others lacked a circuit."""
    site.panel.fault("lost", every=10)
    for _ in range(EVENTS):
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
