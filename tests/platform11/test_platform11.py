"""The agent on a real VOLTTRON 11: installed from the root, its events on real Modbus coils."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta, timezone
from typing import Any

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.platform11.site11 import DEVICE, VEN, Operator, Site11, wait_for


def open_contactors(state: dict[str, Any]) -> set[str]:
    return {name for name, closed in state["contactors"].items() if not closed}


def shed(operator: Operator, event_id: str, duration_sec: float = 600.0) -> dict[str, Any]:
    return operator.command("event", event_id=event_id, shed_kw=5.0, duration_sec=duration_sec)


def test_an_event_opens_coils_is_measured_and_ends_by_itself(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    accepted = shed(operator, "by-itself", duration_sec=8.0)
    assert (accepted["status"], accepted["actual_shed_kw"]) == ("accepted", 4.98), accepted
    assert open_contactors(panel.state()) == {"heater1"}
    measured = operator.ack(event_id="by-itself", status="measured")
    assert measured["shed_basis"] == "measured"
    assert abs(measured["actual_shed_kw"] - 5.0) < 0.25
    telemetry = operator.next_telemetry(lambda each: each["eventId"] == "by-itself")
    assert telemetry["quality"] == "good"
    completed = operator.ack(event_id="by-itself", status="completed")
    assert 0.0 < completed["summary"]["achieved_shed_kw"] <= 5.25
    panel.wait_until(lambda state: not open_contactors(state))


def test_killed_in_mid_event_it_goes_on_and_restores_by_command(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    assert shed(operator, "killed")["status"] == "accepted"
    pid = wait_for(lambda: site.pid(VEN), "the agent's pid")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.pid(VEN) not in (None, pid), "the platform starts it again")
    operator.next_telemetry(lambda each: each["eventId"] == "killed")
    assert open_contactors(panel.state()) == {"heater1"}
    assert operator.command("restore", event_id="killed")["status"] == "success"
    assert open_contactors(panel.state()) == set()


def test_an_edit_of_the_configuration_takes_effect_without_a_restart(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    pid = site.pid(VEN)
    site.store_config(report_interval_sec=1.0)
    reported = operator.command("get", what="config")
    assert reported["status"] == "success"
    wait_for(
        lambda: operator.command("get", what="config")["data"]["report_interval_sec"] == 1.0,
        "the new interval is in force",
    )
    assert site.pid(VEN) == pid
    site.store_config()


def test_stopped_in_mid_event_it_restores_first(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    assert shed(operator, "stopped")["status"] == "accepted"
    site.stop(VEN)
    assert open_contactors(panel.state()) == set()
    site.start(VEN)
    assert operator.ack(event_id="stopped", status="completed")


def test_devices_that_another_agent_has_reserved_are_left_alone_and_it_is_named(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    now = datetime.now(timezone.utc)
    slot = [DEVICE, now.isoformat(), (now + timedelta(minutes=10)).isoformat()]
    success, _, info = site.ask("request_new_schedule", "", "theirs", "HIGH", [slot])
    assert (success, info) == (True, "")
    try:
        refused = shed(operator, "theirs")
        assert refused["status"] == "failed"
        assert "held by control.connection as theirs" in refused["reason"]
        assert open_contactors(panel.state()) == set()
    finally:
        site.ask("request_cancel_schedule", "", "theirs")


def test_removed_and_installed_again_it_works(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    site.stop(VEN)
    site.remove(VEN)
    assert site.row(VEN) is None
    site.install_agent()
    site.start(VEN)
    site.wait_for_health("GOOD")
    again = shed(operator, "again")
    assert again["status"] == "accepted", again.get("reason")
    assert open_contactors(panel.state()) == {"heater1"}
