"""kill -9 of the driver, the actuator and the whole platform while circuits are shed."""

from __future__ import annotations

import copy
import time

from tests.platform.ledger import fault
from tests.platform.site import ACTUATOR, DRIVER, VEN, Site, wait_for
from tests.platform.test_kill_agent import damage, last_change_ts, open_coils
from VenAgent.volttron_compat import RPC_FAILURES

LEASE_SEC = 6


def test_with_the_driver_killed_the_event_goes_on_and_ends_when_it_is_back(
    site: Site, attempt: int
) -> None:
    with fault("driver killed just before the event's end") as tried:
        event_id = site.event_id()
        ack = site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=4)
        assert ack["status"] == "accepted"
        pid = site.kill(DRIVER)
        tried.struck()
        tried.ends(ack["end_ts"])
        site.cloud.ack(60.0, event_id=event_id, status="completed")
        assert open_coils(site) == []
        tried.normal(last_change_ts(site))
        assert site.pid(DRIVER) != pid
        site.wait_for_health("GOOD")


def takes_reservations(site: Site) -> bool:
    """It answers a second or so before it can: until then each request is an error."""
    try:
        site.rpc(ACTUATOR, "request_cancel_schedule", "", "no such task")
    except RPC_FAILURES:
        return False
    return True


def test_with_the_actuator_killed_and_back_the_event_can_be_changed_and_ended(
    site: Site, attempt: int
) -> None:
    with fault("actuator killed in mid-event") as tried:
        event_id = site.event_id()
        fields = {"event_id": event_id, "duration_sec": 600}
        site.cloud.command("event", shed_kw=4.5, **fields)
        pid = site.kill(ACTUATOR)
        site.wait_for_successor(ACTUATOR, pid)
        # It answers a second or so before it can take reservations: the change is tried again.
        ack = site.cloud.command("event", shed_kw=7.5, modification=1, **fields)
        assert ack["status"] == "accepted"
        assert site.open_contactors() == {"heater1", "dryer1"}
        site.kill(ACTUATOR)
        tried.struck()
        site.cloud.command("restore", event_id=event_id)
        site.wait_until_normal()
        assert open_coils(site) == []
        tried.normal(last_change_ts(site))
        wait_for(lambda: site.pid(ACTUATOR) is not None, "the monitor starts the actuator", 60.0)


def test_with_the_whole_platform_killed_the_device_ends_the_shed_and_the_agent_takes_it_up_again(
    site: Site, attempt: int
) -> None:
    config = copy.deepcopy(site.config)
    config["leases"][0]["timeout_sec"] = LEASE_SEC
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    ours, brief = site.event_id(), site.event_id()
    with fault("whole platform killed in mid-event: the lease") as tried:
        site.cloud.command("event", event_id=ours, shed_kw=7.5, duration_sec=600)
        assert site.panel.state()["heartbeat"]["timeout_sec"] == LEASE_SEC
        site.power_cut()
        tried.struck()
        wait_for(lambda: open_coils(site) == [], "the device ends the shed by itself")
        tried.normal(last_change_ts(site))
        site.power_on()
        wait_for(lambda: site.open_contactors() == {"heater1", "dryer1"}, "it sheds again", 60.0)
        site.cloud.command("restore", event_id=ours)
        site.wait_until_normal()
    site.store(VEN, "config", site.config)
    site.wait_for_health("GOOD")
    with fault("whole platform killed, the event over when it is back") as tried:
        ack = site.cloud.command("event", event_id=brief, shed_kw=7.5, duration_sec=8)
        assert ack["status"] == "accepted", ack
        site.power_cut()
        assert open_coils(site) != []  # its lease is two minutes: the agent will be back before
        wait_for(lambda: time.time() > ack["end_ts"], "the event's end")
        tried.struck()
        site.power_on()
        completed = site.cloud.ack(60.0, event_id=brief, status="completed")
        if open_coils(site):  # driver or actuator were slower to start than the tries of an event
            assert completed["reason_code"] == "restore_failed", completed
        wait_for(lambda: open_coils(site) == [], "the circuits are back")
        tried.normal(last_change_ts(site))


def test_with_the_platform_killed_and_the_journal_damaged_the_device_is_normal_and_it_is_told(
    site: Site, attempt: int
) -> None:
    """The actuator has forgotten its reservations too: the lease is what remains."""
    config = copy.deepcopy(site.config)
    config["leases"][0]["timeout_sec"] = LEASE_SEC
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    with fault("whole platform killed and the journal damaged") as tried:
        event_id = site.event_id()
        site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=600)
        site.power_cut()
        tried.struck()
        damage(site)
        site.power_on()
        site.wait_for_health("BAD", "damaged", timeout_sec=60.0)
        site.wait_until_normal()
        assert open_coils(site) == []
        tried.normal(last_change_ts(site))
        wait_for(lambda: takes_reservations(site), "the actuator has its configuration")
        # Dated: without its journal the agent does not know how long it was away.
        ack = site.cloud.command(
            "event",
            event_id=site.event_id(),
            shed_kw=7.5,
            duration_sec=2,
            issued_ts=time.time(),
        )
        assert ack["status"] == "accepted", ack
        site.wait_until_normal()
    site.stop(VEN)
    site.start(VEN)  # the finding is told until the next start
