"""Commands and acks through a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ops.clients.command_sender import ask_ven, command, event_command
from ops.clients.mqtt_client import OperatorMqttClient, decoded_messages
from ops.host.ops_error import OpsError
from ops.host.site_settings import SiteSettings
from tests.support.ports import free_port
from VenAgent.config import AgentConfig


@pytest.fixture
def agent(settings: SiteSettings, broker_port: int) -> AgentConfig:
    return settings.agent({"MQTT_PORT": str(broker_port)})


@contextmanager
def ven(agent: AgentConfig, *answers: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """A VEN that answers each command with all of `answers`; what it received."""
    received: list[dict[str, Any]] = []
    topics = agent.topic_names()

    def on_message(client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        received.append(json.loads(message.payload))
        for answer in answers:
            filled = {"correlationId": received[-1]["correlationId"], **answer}
            client.publish(topics.ack, json.dumps(filled), qos=1)

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_subscribe = lambda *_: client.publish(  # type: ignore[method-assign,assignment]
        topics.status, json.dumps({"status": "online"}), qos=1, retain=True
    )
    client.connect(agent.broker.host, agent.broker.port)
    client.subscribe(topics.command, qos=1)
    client.loop_start()
    try:
        assert wait_online(agent, 10)
        yield received
    finally:
        client.disconnect()
        client.loop_stop()


def wait_online(agent: AgentConfig, timeout_sec: float) -> bool:
    """Whether the VEN shows itself online at its broker within that time."""
    status = agent.topic_names().status
    with OperatorMqttClient(agent) as client:
        client.subscribe(status)
        for _, contents in decoded_messages(client.messages(timeout_sec)):
            if contents.get("status") == "online":
                return True
    return False


def test_the_ack_of_a_command(agent: AgentConfig) -> None:
    stranger = {"correlationId": "another's", "ok": False}
    with ven(agent, stranger, {"ok": True, "status": "accepted"}) as received:
        message = event_command(agent.ven_id, 5, 30, "evt-1")
        answer = ask_ven(agent, message)
    assert answer["status"] == "accepted"
    assert received == [message]


def test_an_event_as_it_goes_on_the_wire() -> None:
    message = event_command("v", 5.0, 30.0, "e1")
    assert message["correlationId"].startswith("evt-e1-")
    del message["correlationId"]
    assert message == {
        "op": "event",
        "venId": "v",
        "event_id": "e1",
        "shed_kw": 5.0,
        "duration_sec": 30.0,
    }


def test_fields_that_are_none_are_left_out() -> None:
    assert command("restore", "v", "c", event_id=None) == {
        "op": "restore",
        "correlationId": "c",
        "venId": "v",
    }


def test_a_ven_never_seen_is_named(agent: AgentConfig) -> None:
    with pytest.raises(OpsError, match=r"volttron_thing .* has never been connected"):
        ask_ven(agent, command("ping", agent.ven_id), 0.3)


def test_a_ven_that_is_offline_is_named(agent: AgentConfig) -> None:
    topics = agent.topic_names()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(agent.broker.host, agent.broker.port)
    client.loop_start()
    client.publish(topics.status, '{"status": "offline"}', qos=1, retain=True).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()
    with pytest.raises(OpsError, match="it is offline"):
        ask_ven(agent, command("ping", agent.ven_id), 0.3)


def test_a_ven_that_is_online_and_silent(agent: AgentConfig) -> None:
    with ven(agent), pytest.raises(OpsError, match="although it is online"):
        ask_ven(agent, command("ping", agent.ven_id), 0.3)


def test_no_broker(settings: SiteSettings) -> None:
    nowhere = settings.agent({"MQTT_PORT": str(free_port())})
    with (
        pytest.raises(OpsError, match=r"no broker listens on 127\.0\.0\.1"),
        OperatorMqttClient(nowhere),
    ):
        pass


def test_a_missing_certificate_is_named(settings: SiteSettings) -> None:
    cloud = settings.agent(
        {"IOT_ENDPOINT": "localhost", "CA_CERT": "/no/ca", "CLIENT_CERT": "c", "PRIVATE_KEY": "k"}
    )
    with pytest.raises(OpsError, match="a TLS file is missing") as error, OperatorMqttClient(cloud):
        pass
    assert "/no/ca (ca_cert)" in str(error.value)


def test_what_is_not_a_json_object_is_passed_over(agent: AgentConfig) -> None:
    with OperatorMqttClient(agent) as client:
        client.subscribe("t")
        for payload in ("[]", "x", '{"a": 1}'):
            client._client.publish("t", payload, qos=1)
        assert next(decoded_messages(client.messages(5))) == ("t", {"a": 1})
