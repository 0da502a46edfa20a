"""An event's way through a real platform: MQTT command to coil and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.platform.site import ACTUATOR, DEVICE, VEN, VEN_ID, Site, wait_for
from VenAgent.volttron_compat import format_timestamp, get_aware_utc_now


def test_an_event_opens_real_coils_acks_shows_in_telemetry_and_is_restored_at_its_end(
    site: Site,
) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=5.0, duration_sec=15)
    assert ack["status"] == "accepted", ack
    assert ack["ok"] is True
    assert ack["shed_basis"] == "predicted"
    assert ack["actual_shed_kw"] == pytest.approx(5.0, rel=0.05)
    curtailed = {entry["id"]: entry for entry in ack["circuits_curtailed"]}
    assert set(curtailed) == {"heater1", "ev1"}

    state = site.panel.state()
    assert site.open_contactors() == {"heater1"}
    assert state["limits_percent"]["ev1"] < 100
    assert state["total_kw"] == pytest.approx(22.6 - ack["actual_shed_kw"], abs=0.01)

    measured = site.cloud.ack(event_id=event_id, status="measured")
    assert measured["shed_basis"] == "measured"
    assert measured["actual_shed_kw"] == pytest.approx(5.0, rel=0.05)

    def shows_it(message: dict[str, Any]) -> bool:
        return message["eventId"] == event_id and (message["usedPowerKw"] or 99.0) < 20.0

    telemetry = wait_for(
        lambda: next(filter(shows_it, site.cloud.messages("volttron/metering")), None),
        "a telemetry of the shed",
    )
    assert telemetry["venId"] == VEN_ID
    assert telemetry["requestedReductionKw"] == 5.0
    assert telemetry["shedPowerKw"] == pytest.approx(5.0, rel=0.05)
    assert telemetry["usedPowerKw"] == pytest.approx(17.6, rel=0.05)
    by_id = {circuit["id"]: circuit for circuit in telemetry["circuits"]}
    assert by_id["heater1"]["enabled"] is False
    assert by_id["heater1"]["currentKw"] == 0.0

    completed = site.cloud.ack(event_id=event_id, status="completed")
    assert completed["summary"]["achieved_shed_kw"] == pytest.approx(5.0, rel=0.05)
    assert completed["summary"]["end_ts"] >= ack["end_ts"]
    site.wait_until_normal()
    assert site.panel.state()["total_kw"] == pytest.approx(22.6)


def test_a_limit_goes_back_to_what_it_was_and_not_to_a_constant(site: Site) -> None:
    driver = "platform.driver"
    site.rpc(driver, "set_point", "site/building/panel", "ev1_limit", 80)
    try:
        ack = site.cloud.command("shedLoad", loadId="ev1", reduceKw=2, duration_sec=60)
        assert ack["status"] == "accepted", ack
        assert site.limits()["ev1"] < 80
        restored = site.cloud.command("restore")
        assert restored["status"] == "success"
        assert site.limits()["ev1"] == 80
    finally:
        site.rpc(driver, "set_point", "site/building/panel", "ev1_limit", 100)


def test_restore_by_command_closes_the_coils_before_it_is_acked(site: Site) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("shedPanel", eventId=event_id, amountKw=7.5, durationS=600)
    assert {entry["id"] for entry in ack["circuits_curtailed"]} == {"heater1", "dryer1"}
    assert site.open_contactors() == {"heater1", "dryer1"}
    restored = site.cloud.command("restorePanel", event_id=event_id)
    assert restored["status"] == "success"
    assert site.open_contactors() == set()
    assert site.cloud.ack(event_id=event_id, status="completed")["summary"]["samples"] >= 0


@pytest.fixture
def announced(site: Site) -> Iterator[list[str]]:
    """The tasks for the panel, as the actuator announces them when they begin."""
    pubsub, tasks = site.volttron.dynamic_agent.vip.pubsub, []

    def hear(
        peer: str, sender: str, bus: str, topic: str, headers: dict[str, Any], message: Any
    ) -> None:
        tasks.append(str(headers.get("taskID")))

    topic = f"devices/actuators/schedule/announce/{DEVICE}"
    pubsub.subscribe("pubsub", topic, hear).get(timeout=60)
    yield tasks
    pubsub.unsubscribe("pubsub", topic, hear).get(timeout=60)


def scheduled(site: Site, shed_kw: float) -> tuple[str, int]:
    """An event that begins in a moment: its id, and its start."""
    event_id, start_ts = site.event_id(), int(time.time()) + 10
    ack = site.cloud.command(
        "event", event_id=event_id, shed_kw=shed_kw, start_ts=start_ts, duration_sec=600
    )
    assert ack["status"] == "scheduled", ack
    return event_id, start_ts


def holders(site: Site) -> dict[str, Any]:
    """The actuator's tasks for the panel by agent, as another one that asks for it is told."""
    now = get_aware_utc_now()
    slot = [DEVICE, format_timestamp(now), format_timestamp(now + timedelta(seconds=60))]
    made = site.rpc(ACTUATOR, "request_new_schedule", "", "probe", "LOW", [slot])
    if made["result"] == "SUCCESS":
        site.rpc(ACTUATOR, "request_cancel_schedule", "", "probe")
    return made["data"]


def test_a_scheduled_event_is_reserved_ahead_of_its_start_and_given_back_when_cancelled(
    site: Site, announced: list[str], attempt: int
) -> None:
    event_id, start_ts = scheduled(site, 7.5)
    site.cloud.ack(event_id=event_id, status="accepted")
    (task_id,) = holders(site)[VEN]
    assert task_id.startswith(f"{event_id}/")
    assert float(task_id.rpartition("/")[2]) < start_ts
    assert site.open_contactors() == {"heater1", "dryer1"}
    assert site.cloud.command("restore", event_id=event_id)["status"] == "success"

    cancelled_id, _ = scheduled(site, 3.0)
    # not by asking for the panel: whoever asks has it for a moment
    wait_for(lambda: any(task.startswith(f"{cancelled_id}/") for task in announced), "reserved")
    assert site.cloud.command("cancel", event_id=cancelled_id)["status"] == "success"
    wait_for(lambda: not holders(site), "it is given back")
    site.wait_until_normal()


def test_ping(site: Site) -> None:
    ack = site.cloud.command("ping")
    assert (ack["status"], ack["ok"], ack["pong"]) == ("success", True, True)


def test_the_same_correlation_id_gets_the_same_ack_and_changes_nothing(site: Site) -> None:
    command = {"op": "event", "correlationId": "twice", "event_id": site.event_id()}
    command.update(shed_kw=3.0, duration_sec=60)
    site.cloud.publish(command)
    first = site.cloud.ack(correlationId="twice", status="accepted")
    writes = site.panel.state()["write_count"]
    site.cloud.publish(command)
    wait_for(
        lambda: len(site.cloud.acks(correlationId="twice", status="accepted")) == 2, "both acks"
    )
    assert site.cloud.acks(correlationId="twice", status="accepted") == [first, first]
    assert site.panel.state()["write_count"] == writes


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"not json at all", "not JSON"),
        (b'["op"]', "not a JSON object"),
        (b'{"op": "dance", "correlationId": "bad-op"}', "unknown op"),
        (b'{"op": "event", "correlationId": "no-kw"}', "shed_kw: is missing"),
        (b'{"op": "event", "shed_kw": 500}', "more than the panel's rating"),
        (b'{"op": "event", "shed_kw": 5, "venId": "neighbour"}', "the command is for venId"),
        (b'{"op": "shedLoad", "loadId": "fridge1", "reduceKw": 0.1}', "critical"),
        (b'{"op": "shedLoad", "loadId": "pool", "reduceKw": 1}', "unknown circuit"),
        (b'{"op": "limit", "import_kw": 5, "export_kw": 1}', "export_kw: no circuit of this site"),
    ],
)
def test_a_bad_command_is_answered_with_its_reason_and_changes_nothing(
    site: Site, payload: bytes, reason: str
) -> None:
    before = site.panel.state()["write_count"]
    site.cloud.publish(payload)
    ack = site.cloud.ack(status="rejected")
    assert ack["ok"] is False
    assert reason in ack["reason"]
    assert site.panel.state()["write_count"] == before
    assert site.cloud.command("ping")["ok"] is True


def test_a_circuit_that_refuses_is_left_out_and_the_next_takes_its_place(site: Site) -> None:
    site.panel.fault("illegal", register="coil", address=1)  # heater1
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=4.5, duration_sec=60)
    assert ack["status"] == "accepted", ack
    assert "heater1" in ack["reason"]
    assert "heater1" not in {entry["id"] for entry in ack["circuits_curtailed"]}
    assert ack["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)
    measured = site.cloud.ack(status="measured")
    assert measured["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)


def test_a_register_that_never_answers_costs_one_load_and_not_the_event(site: Site) -> None:
    site.panel.fault("write_timeout", register="coil", address=3)  # dryer1
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=60)
    assert ack["status"] == "accepted", ack
    assert "dryer1" in ack["reason"]
    assert ack["actual_shed_kw"] == pytest.approx(7.5, rel=0.05)


def test_the_bus_and_the_shadow_follow_the_event(site: Site) -> None:
    seen: list[tuple[str, object]] = []
    site.volttron.dynamic_agent.vip.pubsub.subscribe(
        "pubsub",
        f"ven/{VEN_ID}",
        lambda peer, sender, bus, topic, headers, message: seen.append((topic, message)),
    ).get(timeout=60)
    event_id = site.event_id()
    answer = site.rpc("ven.agent", "send_event", 3.0, 60.0, event_id)
    assert answer["status"] == "accepted"
    states = lambda: [  # noqa: E731
        message["state"]
        for topic, message in seen
        if topic.endswith("/event") and message["event_id"] == event_id
    ]
    wait_for(lambda: "active" in states(), "the active event on the bus")
    values = wait_for(
        lambda: next(
            (m[0] for t, m in seen if t.endswith("/all") and m[0]["requested_kw"] == 3.0), None
        ),
        "the event's figures on the bus",
    )
    assert values["shed_kw"] == pytest.approx(3.0, rel=0.05)

    def reported() -> dict | None:
        updates = site.cloud.messages(f"$aws/things/{VEN_ID}/shadow/update")
        state = updates[-1]["state"]["reported"] if updates else {}
        return state if (state.get("active_event") or {}).get("event_id") == event_id else None

    shadow = wait_for(reported, "the event in the shadow")
    assert {c["id"]: c["enabled"] for c in shadow["circuits"]}["dryer1"] is False
    assert site.rpc("ven.agent", "get_panel")["active_event"]["event_id"] == event_id
    assert site.rpc("ven.agent", "restore")["status"] == "success"
    wait_for(lambda: "completed" in states(), "the completed event on the bus")


def test_loads_are_sent_with_every_sixth_telemetry(site: Site) -> None:
    topic = f"ven/loads/{VEN_ID}"
    first = wait_for(lambda: site.cloud.messages(topic), "a loads snapshot")[0]
    telemetry = site.cloud.telemetry(lambda message: True)
    assert [load["id"] for load in first["loads"]] == [load["id"] for load in telemetry["loads"]]
    numbers = [message["seq"] for message in site.cloud.messages("volttron/metering")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    own = {message["seq"] for message in site.cloud.messages(f"ven/telemetry/{VEN_ID}")}
    own -= {numbers[0] - 1}  # its other half may have come before these were begun to be kept

    def on_both() -> bool:
        return own <= {message["seq"] for message in site.cloud.messages("volttron/metering")}

    wait_for(on_both, "each is on both topics")
