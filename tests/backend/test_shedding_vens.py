"""The simulated sites that an operator tries the backend with answer as an agent does."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from benchmarks.shedding_vens import Fleet
from ops.host.condition import wait_for_condition
from tests.backend.conftest import Broker
from VenAgent.contract.json_codec import encode_json

PREFIX = "acting"
VEN_ID = f"{PREFIX}-00000"


class Dispatcher:
    """Sends commands to one site, and hears its acks."""

    def __init__(self, broker: Broker) -> None:
        self._heard: list[dict[str, Any]] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        ready = threading.Event()
        self.client.on_message = lambda *given: self._heard.append(json.loads(given[2].payload))
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect(broker.host, broker.port)
        self.client.subscribe(f"ven/ack/{VEN_ID}", qos=1)
        self.client.loop_start()
        assert ready.wait(60)

    def send(self, op: str, event_id: str, **fields: Any) -> None:
        correlation_id = f"evt-{event_id}-{op}"
        command = {"op": op, "correlationId": correlation_id, "event_id": event_id, **fields}
        self.client.publish(f"ven/cmd/{VEN_ID}", encode_json(command), qos=1)

    def heard(self, event_id: str) -> list[dict[str, Any]]:
        return [ack for ack in self._heard if ack["event_id"] == event_id]

    def completed(self, event_id: str) -> dict[str, Any]:
        """The ack that ends an event."""

        def ends() -> list[dict[str, Any]]:
            return [ack for ack in self.heard(event_id) if ack["status"] == "completed"]

        assert wait_for_condition(lambda: bool(ends()), 60), self.heard(event_id)
        return ends()[0]


@pytest.fixture
def dispatcher(broker: Broker) -> Iterator[Dispatcher]:
    options = {"host": broker.host, "port": broker.port, "prefix": PREFIX, "vens": 1}
    fleet = Fleet(argparse.Namespace(**options, interval=0.1, refusing=0.0))
    dispatcher, stop = Dispatcher(broker), threading.Event()
    thread = threading.Thread(target=fleet.run, args=(stop,))
    thread.start()
    assert fleet.subscribed.wait(60)
    yield dispatcher
    stop.set()
    thread.join(60)
    dispatcher.client.disconnect()
    dispatcher.client.loop_stop()


def test_a_site_ends_its_events_once_with_what_they_brought(dispatcher: Dispatcher) -> None:
    ahead = {"shed_kw": 3.0, "start_ts": time.time() + 3_600.0, "end_ts": time.time() + 7_200.0}
    dispatcher.send("event", "ahead", **ahead)
    dispatcher.send("event", "withdrawn", **ahead)
    dispatcher.send("event", "short", shed_kw=2.0, duration_sec=0.5)
    dispatcher.send("cancel", "withdrawn")
    assert dispatcher.completed("short")["summary"]["requested_shed_kw"] == 2.0
    dispatcher.send("event", "ahead", **{**ahead, "start_ts": time.time()})
    assert wait_for_condition(lambda: dispatcher.heard("ahead")[-1]["status"] == "measured", 60)
    dispatcher.send("restore", "ahead")
    assert dispatcher.completed("ahead")["summary"]["delivered_kwh"] > 0.0
    told = [(ack["op"], ack["status"]) for ack in dispatcher.heard("ahead")]
    begun = [("event", "scheduled"), ("event", "accepted"), ("event", "measured")]
    assert told == [*begun, ("restore", "success"), ("event", "completed")]
    told = [(ack["op"], ack["status"]) for ack in dispatcher.heard("withdrawn")]
    assert told == [("event", "scheduled"), ("cancel", "success")]
    assert [ack["status"] for ack in dispatcher.heard("short")].count("completed") == 1
