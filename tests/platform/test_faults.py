"""What goes wrong around an event: each ends in an honest answer and a normal building."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from tests.platform.site import ACTUATOR, DEVICE, DRIVER, VEN, Site, wait_for
from VenAgent.volttron_api import format_timestamp, get_aware_utc_now


def test_without_a_driver_the_event_fails_honestly_and_works_again_after(site: Site) -> None:
    site.stop(DRIVER)
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
    assert ack["status"] == "failed"
    assert DRIVER in ack["reason"]
    site.wait_for_health("BAD", DRIVER)
    site.start(DRIVER)
    site.wait_for_health("GOOD")
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
    assert ack["status"] == "accepted"


def test_without_an_actuator_the_event_fails_honestly_and_at_once(site: Site) -> None:
    site.stop(ACTUATOR)
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
    assert ack["status"] == "failed"
    assert f"{ACTUATOR} is not running" in ack["reason"]
    assert site.open_contactors() == set()
    site.wait_for_health("BAD", ACTUATOR)


def test_a_device_held_by_another_agent_is_named_with_its_owner(site: Site) -> None:
    now = get_aware_utc_now()
    end = now + timedelta(seconds=60)
    slot = [DEVICE, format_timestamp(now), format_timestamp(end)]
    other = site.volttron.dynamic_agent
    made = site.rpc(ACTUATOR, "request_new_schedule", "", "theirs", "HIGH", [slot])
    assert made["result"] == "SUCCESS"
    try:
        ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
        assert ack["status"] == "failed"
        assert other.core.identity in ack["reason"]
        assert "theirs" in ack["reason"]
        assert site.open_contactors() == set()
    finally:
        site.rpc(ACTUATOR, "request_cancel_schedule", "", "theirs")


def test_a_stale_meter_is_said_so_and_its_values_are_null(site: Site) -> None:
    config = copy.deepcopy(site.config)
    config["stale_after_sec"] = 3.0
    site.store(VEN, "config", config)
    site.panel.fault("refuse")
    telemetry = site.cloud.telemetry(lambda message: message["quality"] == "stale")
    assert telemetry["usedPowerKw"] is None
    assert all(circuit["currentKw"] is None for circuit in telemetry["circuits"])
    site.wait_for_health("BAD", "the meter was last read")
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
    assert ack["status"] == "failed"
    assert "meter" in ack["reason"]
    site.panel.clear()
    site.cloud.telemetry(lambda message: message["quality"] == "good")


def test_stopped_in_order_in_mid_event_the_agent_restores_first(site: Site) -> None:
    site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=600)
    assert site.open_contactors() == {"heater1", "dryer1"}
    site.stop(VEN)
    wait_for(lambda: site.open_contactors() == set(), "the coils are closed again")
    offline = site.cloud.messages("ven/status/test_thing")[-1]
    assert offline["status"] == "offline"


def test_killed_in_mid_event_it_comes_back_and_ends_the_event_on_time(site: Site) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=25)
    site.kill(VEN)
    wait_for(
        lambda: (
            site.cloud.messages("ven/status/test_thing")[-1:]
            and site.cloud.messages("ven/status/test_thing")[-1]["status"] == "online"
        ),
        "the monitor starts the agent again",
        timeout_sec=30.0,
    )
    assert site.open_contactors() == {"heater1", "dryer1"}
    completed = site.cloud.ack(60.0, event_id=event_id, status="completed")
    assert completed["summary"]["end_ts"] == pytest.approx(ack["end_ts"], abs=1.0)
    site.wait_until_normal()
    # What was in flight when it was killed may come twice, but it is the same ack.
    assert all(again == ack for again in site.cloud.acks(event_id=event_id, status="accepted"))


def test_a_restore_that_fails_is_tried_again_until_the_circuit_is_back(site: Site) -> None:
    begun = site.cloud.command("event", event_id=site.event_id(), shed_kw=3, duration_sec=600)
    assert begun["status"] == "accepted", begun
    assert site.open_contactors() == {"dryer1"}
    site.panel.fault("illegal", register="coil", address=3)
    ack = site.cloud.command("restore")
    assert ack["status"] == "failed"
    assert "dryer1" in ack["reason"]
    site.wait_for_health("BAD", "dryer1")
    site.panel.clear()
    site.wait_until_normal()
    site.wait_for_health("GOOD")


def test_a_device_taken_from_another_agent_is_honest_about_its_time_of_grace(site: Site) -> None:
    """A HIGH task preempts, but the actuator lets the old owner write for a while yet."""
    site.store(ACTUATOR, "config", {"preempt_grace_time": 5})
    now = get_aware_utc_now()
    slot = [DEVICE, format_timestamp(now), format_timestamp(now + timedelta(seconds=60))]
    made = site.rpc(ACTUATOR, "request_new_schedule", "", "weak", "LOW_PREEMPT", [slot])
    assert made["result"] == "SUCCESS"
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=60)
    assert ack["status"] == "failed"
    assert "LockError" in ack["reason"]
    assert site.open_contactors() == set()

    def accepted() -> bool:
        again = site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=60)
        return bool(again["status"] == "accepted")

    wait_for(accepted, "the grace time is over")
    assert site.open_contactors() == {"heater1", "dryer1"}
    site.store(ACTUATOR, "config", {"preempt_grace_time": 60})
