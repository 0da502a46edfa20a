"""The agent on a real VOLTTRON 11: installed from the root, its events on real Modbus coils."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.documents.pages import commands
from tests.platform11.site11 import (
    DEVICE,
    DRIVER,
    ROOT,
    VEN,
    VEN_ID,
    Operator,
    Site11,
    simulated_panel,
    wait_for,
)
from tests.support.answer_shape import answer_shape

INSTALL = "vctl install . --force --vip-identity"
ASKER = "asking.agent"
"""The identity of asking_agent.py: the driver knows an actuator's call by the caller's own."""
RECORDED = ROOT / "tests" / "platform" / "faces" / "answers.json"


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
    changed = site.file("agent.json", site.config | {"report_interval_sec": 1.0})
    site.vctl("config", "store", VEN, "config", changed)
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
    row = site.row(VEN)
    assert row is not None
    site.vctl("stop", row.split()[0])
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
        assert "held by asking.agent as theirs" in refused["reason"]
        assert open_contactors(panel.state()) == set()
    finally:
        site.ask("request_cancel_schedule", "", "theirs")


def test_where_a_reservation_is_required_all_is_written_under_ours(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    """Driver 2.0.0rc9 refuses one point to everybody then; several points it takes."""
    entry = json.loads((site.folder / "driver.json").read_text())
    site.store(DRIVER, f"devices/{DEVICE}", {**entry, "reservation_required_for_write": True})
    try:
        wait_for(
            lambda: "ReservationLockError" in site.refusal("set_point", DEVICE, "ev1_limit", 100),
            "the driver has the new entry",
        )
        for shed_kw, opened in ((4.5, {"heater1": 0.0}), (5.0, {"heater1": 0.0, "ev1": 6.72})):
            event_id = f"of {len(opened)} points"
            answer = operator.command("event", event_id=event_id, shed_kw=shed_kw, duration_sec=600)
            assert {c["id"]: c["final_kw"] for c in answer["circuits_curtailed"]} == opened, answer
            assert open_contactors(panel.state()) == {"heater1"}
            restored = operator.command("restore", event_id=event_id)
            assert restored["status"] == "success", restored
            assert open_contactors(panel.state()) == set()
            assert panel.state()["limits_percent"]["ev1"] == 100
    finally:
        site.store(DRIVER, f"devices/{DEVICE}", entry)


def test_a_person_s_override_in_the_driver_is_kept_for_several_points_too(
    site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    """The driver itself looks at it for a single point only."""
    pattern, before = f"devices/{DEVICE}", panel.state()["changed_ts"]
    site.ask("set_override_on", pattern, 600.0, False, False)
    try:
        refused = shed(operator, "overridden")
        assert refused["status"] == "failed", refused
        assert "heater1: an override is set in the platform driver" in refused["reason"]
        assert panel.state()["changed_ts"] == before
    finally:
        site.ask("set_override_off", pattern)  # clear_overrides would break its next start


def test_a_publication_of_one_point_leaves_the_others_as_they_are(
    site: Site11, operator: Operator
) -> None:
    operator.next_telemetry(lambda each: each["quality"] == "good")
    for kw in (3.1, 3.2):
        site.publish(f"devices/{DEVICE}/multi", [{"ev1_kw": kw}, {}])
    telemetry = operator.next_telemetry(lambda each: True)
    assert telemetry["quality"] == "good"
    assert all(circuit["currentKw"] is not None for circuit in telemetry["circuits"])


GATEWAY = {"heater1": "site/gateway/unit1", "dryer1": "site/gateway/unit2"}
"""Two units behind a host of one connection: by circuit, the device that it moves to."""


@pytest.fixture
def gateway(site: Site11) -> Iterator[tuple[int, SimulatedPanelControl]]:
    """Its port. It takes 0.2 s for a request and is polled each second, which is too often."""
    with simulated_panel("--device", "panel:2") as (port, control):
        control.fault("gateway", seconds=0.2, connections=1)
        poll_behind(site, port, interval=1)
        circuits = [
            {**c, "device": moved, "control_device": moved}
            if (moved := GATEWAY.get(c["id"]))
            else c
            for c in site.config["circuits"]
        ]
        site.store_config(circuits=circuits)
        try:
            yield port, control
            control.clear()
        finally:
            site.store_config()
            for device in GATEWAY.values():
                site.delete(DRIVER, f"devices/{device}")
            restart_the_driver(site)
            site.wait_for_health("GOOD")


def poll_behind(site: Site11, port: int, interval: int) -> None:
    entry = json.loads((site.folder / "driver.json").read_text())
    for unit, device in enumerate(GATEWAY.values(), 1):
        behind = {**entry["driver_config"], "port": port, "slave_id": unit}
        stored = {**entry, "interval": interval, "driver_config": behind}
        site.store(DRIVER, f"devices/{device}", stored)
    restart_the_driver(site)  # which polls the older devices twice until then


def restart_the_driver(site: Site11) -> None:
    site.stop(DRIVER)
    site.start(DRIVER)


def is_on(units: SimulatedPanelControl) -> dict[str, bool]:
    """The circuits behind the gateway."""
    return {
        circuit: units.state(unit)["contactors"][circuit] for unit, circuit in enumerate(GATEWAY, 1)
    }


def test_two_units_behind_one_slow_connection_are_shed_and_given_back_at_a_pace_that_it_keeps(
    gateway: tuple[int, SimulatedPanelControl], operator: Operator, site: Site11
) -> None:
    port, units = gateway

    def sentence() -> str:
        return str(site.call(VEN, "health.get_status")["context"])

    wait_for(lambda: "polled each 1 s, but one round takes" in sentence(), "the pace is named")
    poll_behind(site, port, interval=15)
    site.stop(VEN)
    site.start(VEN)
    wait_for(lambda: "polled each" not in sentence(), "the pace fits")
    site.wait_for_health("GOOD")
    accepted = operator.command("event", event_id="together", shed_kw=7.5, duration_sec=600.0)
    assert {c["id"] for c in accepted["circuits_curtailed"]} == set(GATEWAY), accepted
    assert not any(is_on(units).values())
    assert operator.command("restore", event_id="together")["status"] == "success"
    assert all(is_on(units).values())


def test_the_driver_answers_as_recorded(site: Site11, operator: Operator) -> None:
    """What the faces of tests/platform replay is what a real one answers."""
    recorded = json.loads(RECORDED.read_text())["11"]
    now = datetime.now(timezone.utc)
    slot = [DEVICE, now.isoformat(), (now + timedelta(minutes=10)).isoformat()]
    answers = {
        "cancel_unknown": site.ask("request_cancel_schedule", "", "nobody's"),
        "reserved": site.ask("request_new_schedule", "", "t1", "HIGH", [slot]),
    }
    site.ask("request_cancel_schedule", "", "t1")
    assert shed(operator, "recorded")["status"] == "accepted"
    conflict = site.ask("request_new_schedule", "", "t2", "LOW", [slot])
    (owner, tasks), *_ = conflict[1].items()
    assert owner == VEN
    slots = next(iter(tasks.values()))
    answers["conflict"] = [conflict[0], {"other.agent": {"t1": slots}}, conflict[2]]
    everything = site.ask("scrape_all", DEVICE)
    assert everything.keys() >= recorded["scrape_all"].keys()
    answers["scrape_all"] = {name: everything[name] for name in recorded["scrape_all"]}
    topic = f"{DEVICE}/ev1_limit"
    answers["set_point"] = site.ask("set_point", DEVICE, "ev1_limit", 100)
    answers["set_point_by_topic"] = site.ask("set_point", ASKER, topic, 100)
    answers["set_multiple_points"] = site.ask("set_multiple_points", ASKER, [[topic, 100]])
    answers["revert_point"] = site.ask("revert_point", DEVICE, "ev1_limit")
    entry = site.call("platform.config_store", "get_config", DRIVER, f"devices/{DEVICE}", True)
    assert json.loads(entry).keys() == json.loads(recorded["get_config"]).keys()
    answers["get_config"] = recorded["get_config"]
    peers = site.call("peerlist", "")
    answers["peerlist"] = [peer for peer in recorded["peerlist"] if peer in peers]
    assert answer_shape(answers) == answer_shape(recorded)


PARAMETERS = {
    "status": (),
    "get_panel": (),
    "send_event": ("shed_kw", "duration_sec", "event_id"),
    "restore": ("event_id",),
    "opt_out": ("reason", "duration_sec"),
    "opt_in": (),
}
"""Every call of ours and the names of its arguments, as in tests/platform/test_agent_rpc.py."""


@pytest.mark.parametrize("by_name", [False, True], ids=["by position", "by name"])
def test_every_call_of_ours_is_obeyed_and_can_be_looked_up(site: Site11, by_name: bool) -> None:
    def call(method: str, *values: Any) -> Any:
        if by_name:
            return site.call(VEN, method, **dict(zip(PARAMETERS[method], values, strict=True)))
        return site.call(VEN, method, *values)

    event_id = f"rpc-{by_name}"
    assert call("send_event", 3.0, 60.0, event_id)["status"] == "accepted"
    assert call("status")["active_event"]["event_id"] == event_id
    assert call("get_panel")["active_event"]["event_id"] == event_id
    assert call("restore", event_id)["status"] == "success"
    assert call("opt_out", "the oven is on", 600.0)["status"] == "opted_out"
    assert call("opt_in")["ok"] is True
    for method in ("send_event", "status"):
        told = site.call(VEN, f"{method}.inspect")
        assert tuple(told["params"]) == PARAMETERS[method]
        assert told["doc"]


@pytest.mark.parametrize("event_id", ["stopped before", "under way"])
def test_a_new_version_as_the_page_says_keeps_the_data(
    event_id: str, site: Site11, operator: Operator, panel: SimulatedPanelControl
) -> None:
    """`--force` alone is refused: 11 looks in the index for what is there, to go back to it. It
    copies the data of an agent that runs before it stops it, with an event that is under way."""
    assert shed(operator, event_id)["status"] == "accepted"
    if event_id == "stopped before":
        site.stop(VEN)
    before = site.uuid(VEN)
    page = [command.text for command in commands(ROOT / "docs/install-volttron11.md")]
    remove, install = (next(t for t in page if t.startswith(w)) for w in ("poetry", INSTALL))
    for text in (remove, install):
        program, *words = shlex.split(text.replace("$VOLTTRON_HOME", str(site.home)))
        words = [site.file("agent.json", site.config) if w == "config" else w for w in words]
        if program == "vctl":
            site.vctl(*words)
        else:
            done = site.run(program, *words)
            assert done.returncode == 0, done.stderr
    assert site.uuid(VEN) not in (None, before)
    Path(f"/tmp/{before}.tar.gz").unlink(
        missing_ok=True
    )  # VOLTTRON's copy of the data, which it leaves
    site.wait_for_health("GOOD")
    panel.wait_until(lambda state: not open_contactors(state), 60.0)
    again = shed(operator, event_id)
    assert again["status"] == "rejected", again
    assert "is over" in again["reason"]
    acks = operator.messages(f"ven/ack/{VEN_ID}")
    told = [ack["status"] for ack in acks if ack.get("event_id") == event_id]
    assert told.count("completed") == 1, told
    assert open_contactors(panel.state()) == set()


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
