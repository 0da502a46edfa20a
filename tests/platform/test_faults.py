"""What goes wrong around an event: each ends in an honest answer and a normal building."""

from __future__ import annotations

import copy
import os
import signal
from datetime import timedelta

import gevent
import pytest

from tests.platform.ledger import fault
from tests.platform.site import ACTUATOR, DEVICE, DRIVER, VEN, VEN_ID, Site, wait_for
from VenAgent.volttron_compat import format_timestamp, get_aware_utc_now


def test_without_a_driver_the_event_fails_honestly_and_works_again_after(site: Site) -> None:
    site.stop(DRIVER)
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
    assert ack["status"] == "failed"
    assert DRIVER in ack["reason"]
    site.wait_for_health("BAD", DRIVER)
    site.start(DRIVER)
    site.wait_until_the_driver_reads()
    site.wait_for_health("GOOD")
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
    assert ack["status"] == "accepted"


def test_a_driver_that_hangs_costs_the_event_one_time_limit(site: Site, attempt: int) -> None:
    """Not two, as one that is waiting for a lost answer may need: it gives no sign of life."""
    pid = site.pid(DRIVER)
    assert pid is not None
    with fault("driver hangs (SIGSTOP): an event that begins now is refused, the next one begins"):
        os.kill(pid, signal.SIGSTOP)
        try:
            ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert ack["status"] == "failed"
        assert "no answer within 5 s" in ack["reason"]
        site.wait_for_health("GOOD")
        ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
        assert ack["status"] == "accepted", ack["reason"]


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
    said = lambda: [m["status"] for m in site.cloud.messages("ven/status/test_thing")]  # noqa: E731
    wait_for(lambda: said()[-1:] == ["offline"], "it says so")


def test_stopped_in_order_what_does_not_go_back_at_once_is_tried_on(
    site: Site, attempt: int
) -> None:
    """Nothing was tried again once the agent was told to stop: one lost write kept a circuit off
    until its next start."""
    begun = site.cloud.command("event", event_id=site.event_id(), shed_kw=3, duration_sec=600)
    assert begun["status"] == "accepted", begun
    assert site.open_contactors() == {"dryer1"}
    site.panel.fault("illegal", register="coil", address=3)
    stopping = gevent.spawn(site.stop, VEN)
    alerts = lambda: site.cloud.messages("ven/alerts/test_thing")  # noqa: E731
    wait_for(lambda: "restore.failed" in [m["code"] for m in alerts()], "it says so", 60.0)
    site.panel.clear()
    stopping.join()
    assert site.pid(VEN) is None
    assert site.open_contactors() == set()


def test_killed_in_mid_event_it_comes_back_and_ends_the_event_on_time(site: Site) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=40)
    site.kill(VEN)
    wait_for(
        lambda: (
            site.cloud.messages("ven/status/test_thing")[-1:]
            and site.cloud.messages("ven/status/test_thing")[-1]["status"] == "online"
        ),
        "the monitor starts the agent again",
    )
    assert site.open_contactors() == {"heater1", "dryer1"}
    completed = site.cloud.ack(60.0, event_id=event_id, status="completed")
    assert completed["summary"]["end_ts"] >= ack["end_ts"]
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


def take_lightly(site: Site) -> None:
    """Another agent has the panel, by a task that gives way."""
    now = get_aware_utc_now()
    slot = [DEVICE, format_timestamp(now), format_timestamp(now + timedelta(seconds=60))]
    made = site.rpc(ACTUATOR, "request_new_schedule", "", "weak", "LOW_PREEMPT", [slot])
    assert made["result"] == "SUCCESS"


def test_the_time_of_grace_of_an_agent_that_gives_way_is_waited_out(site: Site) -> None:
    """A HIGH task preempts, but the actuator lets the old owner write for a while yet."""
    site.store(ACTUATOR, "config", {"preempt_grace_time": 3})
    take_lightly(site)
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=60)
    assert ack["status"] == "accepted"
    assert site.open_contactors() == {"heater1", "dryer1"}
    site.store(ACTUATOR, "config", {"preempt_grace_time": 60})


def test_a_time_of_grace_longer_than_we_wait_is_a_failure_with_the_owner(site: Site) -> None:
    config = copy.deepcopy(site.config)
    config["event"]["preempt_wait_sec"] = 2.0
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    site.store(ACTUATOR, "config", {"preempt_grace_time": 5})
    take_lightly(site)
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=60)
    assert ack["status"] == "failed"
    assert site.volttron.dynamic_agent.core.identity in ack["reason"]
    assert site.open_contactors() == set()

    def accepted() -> bool:
        """It may be scheduled first: while the one that failed is being restored."""
        event_id = site.event_id()
        again = site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=60)
        if again["status"] == "scheduled":
            mine = {"correlationId": again["correlationId"]}
            wait_for(lambda: len(site.cloud.acks(**mine)) > 1, "it has its turn")
            again = site.cloud.acks(**mine)[1]
        return bool(again["status"] == "accepted")

    wait_for(accepted, "the grace time is over")
    site.store(ACTUATOR, "config", {"preempt_grace_time": 60})


def test_taken_by_another_agent_the_circuits_go_back_and_it_is_told(site: Site) -> None:
    config = copy.deepcopy(site.config)
    config["event"]["task_priority"] = "LOW_PREEMPT"
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=60)
    assert site.open_contactors() == {"heater1", "dryer1"}
    now = get_aware_utc_now()
    slot = [DEVICE, format_timestamp(now), format_timestamp(now + timedelta(seconds=60))]
    made = site.rpc(ACTUATOR, "request_new_schedule", "", "stronger", "HIGH", [slot])
    assert made["result"] == "SUCCESS"
    try:
        ack = site.cloud.ack(event_id=event_id, status="adjusted")
        assert site.volttron.dynamic_agent.core.identity in ack["reason"]
        assert ack["circuits_curtailed"] == []
        assert site.open_contactors() == set()
        alerts = site.cloud.messages(f"ven/alerts/{VEN_ID}")
        assert "devices.preempted" in {alert["code"] for alert in alerts}
    finally:
        site.rpc(ACTUATOR, "request_cancel_schedule", "", "stronger")


def test_with_the_actuator_gone_the_circuits_still_go_back_at_the_end(site: Site) -> None:
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=8)
    assert site.open_contactors() == {"heater1", "dryer1"}
    site.kill(ACTUATOR)
    site.cloud.ack(event_id=event_id, status="completed")
    assert site.open_contactors() == set()
    wait_for(lambda: site.pid(ACTUATOR) is not None, "the monitor starts the actuator", 60.0)
    site.wait_until_it_answers(ACTUATOR)


def test_with_the_driver_gone_for_long_the_device_ends_the_shed_by_itself(site: Site) -> None:
    config = copy.deepcopy(site.config)
    config["leases"][0]["timeout_sec"] = 6
    config["event"]["confirm_sec"] = 1.0
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=600)
    assert ack["status"] == "accepted", ack
    site.cloud.ack(event_id=event_id, status="measured")
    site.stop(DRIVER)
    wait_for(lambda: site.open_contactors() == set(), "the lease runs out")
    site.start(DRIVER)
    ack = site.cloud.ack(event_id=event_id, status="adjusted")
    assert "by themselves" in ack["reason"]
    assert site.open_contactors() == {"heater1", "dryer1"}


def test_the_lease_is_given_back_so_that_a_person_s_switch_stays(site: Site) -> None:
    config = copy.deepcopy(site.config)
    config["leases"][0]["timeout_sec"] = 3
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    assert site.panel.state()["heartbeat"]["count"] > 0
    site.cloud.command("restore")
    wait_for(lambda: site.panel.state()["heartbeat"]["timeout_sec"] == 0, "the lease is given back")


def test_a_circuit_switched_by_hand_is_left_alone_and_told_of(site: Site) -> None:
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    site.cloud.ack(event_id=event_id, status="measured")
    site.rpc(DRIVER, "set_point", DEVICE, "heater1_contactor", True)
    ack = site.cloud.ack(event_id=event_id, status="adjusted")
    assert "by hand" in ack["reason"]
    assert "heater1" not in {entry["id"] for entry in ack["circuits_curtailed"]}


def test_a_person_opts_out_by_rpc(site: Site) -> None:
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=600)
    answer = site.rpc(VEN, "opt_out", "cooking", 600.0)
    try:
        assert answer["status"] == "opted_out"
        assert site.cloud.ack(event_id=event_id, status="opted_out")["reason"].endswith("cooking")
        wait_for(lambda: not site.open_contactors(), "the circuits are back")
        refused = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=60)
        assert refused["status"] == "opted_out"
    finally:
        site.rpc(VEN, "opt_in")


def test_a_stuck_contactor_is_found_out_and_replaced(site: Site) -> None:
    site.panel.fault("stuck_contactor", circuit="heater1")
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    ack = site.cloud.ack(event_id=event_id, status="adjusted")
    assert "heater1" in ack["reason"]
    state = site.panel.state()
    assert 22.6 - state["total_kw"] == pytest.approx(4.5, rel=0.05)


def test_a_circuit_is_switched_by_command(site: Site) -> None:
    ack = site.cloud.command("setLoad", loadId="dryer1", enabled=False)
    assert ack["status"] == "success"
    assert site.open_contactors() == {"dryer1"}
    ack = site.cloud.command("setLoad", loadId="dryer1", enabled=True)
    assert ack["data"] == {"loadId": "dryer1", "enabled": True}
    assert site.open_contactors() == set()


def test_the_running_event_is_changed_without_a_restore_in_between(site: Site) -> None:
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    ack = site.cloud.command(
        "event", event_id=event_id, shed_kw=7.5, duration_sec=600, modification=1
    )
    assert (ack["status"], ack["modification"]) == ("accepted", 1)
    assert site.open_contactors() == {"heater1", "dryer1"}
    ack = site.cloud.command("event", event_id=event_id, shed_kw=9, duration_sec=600)
    assert ack["status"] == "rejected"


def test_a_weightier_event_takes_over_and_the_first_goes_on_after(site: Site) -> None:
    first, second = site.event_id(), site.event_id()
    site.cloud.command("event", event_id=first, shed_kw=4.5, duration_sec=600)
    site.cloud.command("event", event_id=second, shed_kw=7.5, duration_sec=8, event_priority=0)
    assert site.open_contactors() == {"heater1", "dryer1"}
    assert second in site.cloud.ack(event_id=first, status="scheduled")["reason"]
    site.cloud.ack(event_id=first, status="adjusted")
    assert site.open_contactors() == {"heater1"}
