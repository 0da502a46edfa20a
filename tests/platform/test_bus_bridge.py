"""The bus bridge in a real platform: both ways, its refusals, and a flood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from tests.platform.site import DEVICE, VEN, VEN_ID, Site, wait_for

OUTLETS_KW, TOTAL_KW = 1.2, 22.6
OUT, INTO = f"ven/bus/{VEN_ID}/out", f"ven/bus/{VEN_ID}/in"


@pytest.fixture
def bridge(site: Site) -> Site:
    """The site with its bridge on."""
    block = {
        "enabled": True,
        "forward": ["weather/site", "flood", f"devices/{DEVICE}/all"],
        "publish": ["cloud/weather"],
        "interval_sec": 1,
        "queue_length": 200,
        "flood_per_sec": 300,
        "flood_pause_sec": 2,
    }
    site.store(VEN, "config", {**site.config, "bus_bridge": block})
    wait_for(lambda: site.status()["bus_bridge"]["listening"], "the bridge listens")
    return site


def forwarded(site: Site) -> list[dict[str, Any]]:
    return [entry for batch in site.cloud.messages(OUT) for entry in batch["messages"]]


def test_messages_of_the_bus_go_to_mqtt_in_batches(bridge: Site) -> None:
    pubsub = bridge.volttron.dynamic_agent.vip.pubsub

    def came() -> list[dict[str, Any]]:
        return [entry for entry in forwarded(bridge) if entry["topic"].startswith("weather")]

    for number in range(5):
        for topic in ("weather/site/temperature", "weather/site2/temperature"):
            pubsub.publish("pubsub", topic, headers={"Date": "today"}, message=[number, {"u": "C"}])
    wait_for(lambda: len(came()) == 5, "what was published on the bus")
    assert [entry["message"][0] for entry in came()] == list(range(5))
    assert {entry["topic"] for entry in came()} == {"weather/site/temperature"}
    assert came()[0]["headers"]["Date"] == "today"
    wait_for(
        lambda: [e for e in forwarded(bridge) if e["topic"] == f"devices/{DEVICE}/all"],
        "the driver's readings",
    )


def test_leaving_a_topic_that_the_meter_reads_too_does_not_deafen_the_meter(site: Site) -> None:
    block = {
        "enabled": True,
        "forward": [f"devices/{DEVICE}/all"],
        "flood_per_sec": 0.5,  # one reading is a flood
        "flood_pause_sec": 60,
    }
    site.store(VEN, "config", {**site.config, "bus_bridge": block})
    wait_for(lambda: site.status()["bus_bridge"]["floods"] == 1, "the bridge has left the topic")
    site.panel.draw("outlets1", OUTLETS_KW + 0.5)
    try:
        site.cloud.telemetry(lambda m: m["usedPowerKw"] == pytest.approx(TOTAL_KW + 0.5))
    finally:
        site.panel.draw("outlets1", OUTLETS_KW)


@pytest.fixture
def on_bus(site: Site) -> Iterator[list[tuple[str, dict[str, Any], Any]]]:
    heard: list[tuple[str, dict[str, Any], Any]] = []

    def hear(_peer: str, _sender: str, _bus: str, topic: str, headers: Any, message: Any) -> None:
        heard.append((topic, dict(headers), message))

    pubsub = site.volttron.dynamic_agent.vip.pubsub
    for prefix in ("cloud", "devices/actuators/set"):
        pubsub.subscribe("pubsub", prefix, hear).get(timeout=60)
    yield heard
    for prefix in ("cloud", "devices/actuators/set"):
        pubsub.unsubscribe("pubsub", prefix, hear).get(timeout=60)


def test_allowed_messages_from_mqtt_go_onto_the_bus_and_others_are_refused(
    bridge: Site, on_bus: list[tuple[str, dict[str, Any], Any]]
) -> None:
    before = dict(bridge.status()["refused"])
    for topic, payload in (
        ("devices/actuators/set/site/building/panel/heater1", {"message": False}),
        ("cloud/weathering", {"message": 1}),
        ("cloud/weather/today", {"value": 1}),
        ("cloud/weather/today", b'{"message": 1, "message": 2}'),
    ):
        bridge.cloud.publish_to(f"{INTO}/{topic}", payload)
    body = {"message": {"temperature": 21.5}, "headers": {"Source": "forecast"}}
    bridge.cloud.publish_to(f"{INTO}/cloud/weather/today", body)
    topic, headers, message = wait_for(lambda: on_bus, "the message on the bus")[0]
    assert (topic, message) == ("cloud/weather/today", {"temperature": 21.5})
    assert headers["Source"] == "forecast"
    assert "TimeStamp" in headers
    refused = bridge.status()["refused"]
    new = {name: count - before.get(name, 0) for name, count in refused.items()}
    assert (new["bus.bad_topic"], new["bus.bad_field"], new["bus.duplicate_key"]) == (2, 1, 1)
    assert len(on_bus) == 1
    assert bridge.open_contactors() == set()


def test_a_refusal_is_answered_when_there_is_whom_to_answer(bridge: Site) -> None:
    body = {"message": 1, "correlationId": "bus-1"}
    bridge.cloud.publish_to(f"{INTO}/devices/site/building/panel/all", body)
    ack = bridge.cloud.ack(correlationId="bus-1")
    assert (ack["op"], ack["status"]) == ("bus", "rejected")
    assert "cloud/weather" in ack["reason"]


def test_a_flood_on_the_bus_does_not_starve_an_event_and_what_is_dropped_is_counted(
    bridge: Site,
) -> None:
    flooding = True
    sent = 0

    def flood() -> None:
        nonlocal sent
        pubsub = flooder.vip.pubsub
        while flooding:
            for _ in range(50):
                pubsub.publish(
                    "pubsub", "flood/all", headers={}, message={"n": sent, "x": "y" * 99}
                )
                sent += 1
            gevent.sleep(0.02)

    flooder = bridge.volttron.build_agent(identity="flooder")
    running = gevent.spawn(flood)
    try:
        wait_for(lambda: bridge.status()["bus_bridge"]["floods"], "the flood is noticed")
        event_id = bridge.event_id()
        ack = bridge.cloud.command("event", event_id=event_id, shed_kw=5.0, duration_sec=60)
        assert ack["status"] == "accepted", ack
        assert bridge.open_contactors() == {"heater1"}
        wait_for(lambda: bridge.status()["bus_bridge"]["floods"] >= 2, "it is still noticed")
        assert bridge.cloud.command("restore", event_id=event_id)["status"] == "success"
    finally:
        flooding = False
        running.join(60)
        flooder.core.stop(timeout=5)
    counted = bridge.status()["bus_bridge"]
    assert counted["dropped"] > 0
    assert counted["waiting"] <= 200
    assert bridge.status()["outbox_depth"] < 100
    bodies = bridge.cloud.messages(OUT)
    assert all(len(body["messages"]) <= 200 for body in bodies)


def test_a_flood_from_mqtt_does_not_starve_an_event_either(bridge: Site) -> None:
    def flood() -> None:
        while flooding:
            for number in range(200):
                body = {"message": number}
                bridge.cloud.publish_to(f"{INTO}/cloud/weather/x", body, qos=0)
            gevent.sleep(0.02)

    flooding = True
    running = gevent.spawn(flood)
    try:
        wait_for(lambda: bridge.status()["refused"].get("bus.too_many", 0) > 1_000, "it is a flood")
        event_id = bridge.event_id()
        ack = bridge.cloud.command("event", event_id=event_id, shed_kw=5.0, duration_sec=60)
        assert ack["status"] == "accepted", ack
        assert bridge.open_contactors() == {"heater1"}
        assert bridge.cloud.command("restore", event_id=event_id)["status"] == "success"
    finally:
        flooding = False
        running.join(60)
    assert bridge.status()["bus_bridge"]["published"] < 2_000
