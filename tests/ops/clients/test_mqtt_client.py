"""Commands and acks through a real broker."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ops.cli.ven_telemetry import follow_ven_telemetry
from ops.clients.command_sender import UNANSWERED, CommandSenderDraft, send_command_to_ven
from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings, load_site_settings, save_site_settings
from tests.ops.conftest import mosquitto
from tests.support.ports import free_port

ANSWER_SEC = 0.5
"""For a VEN that does not answer; what the broker keeps comes with the subscription."""


@pytest.fixture
def target(settings: SiteSettings, broker_port: int) -> VenTarget:
    return settings.ven_target({"MQTT_PORT": str(broker_port)})


@contextmanager
def ven(target: VenTarget, *answers: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """A VEN that answers each command with all of `answers`; what it received."""
    received: list[dict[str, Any]] = []
    topics = target.topics

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
    client.connect(target.broker_host, target.broker_port)
    client.subscribe(topics.command, qos=1)
    client.loop_start()
    try:
        assert wait_online(target, 10)
        yield received
    finally:
        client.disconnect()
        client.loop_stop()


def wait_online(target: VenTarget, timeout_sec: float) -> bool:
    """Whether the VEN shows itself online at its broker within that time."""
    status = target.topics.status
    with OperatorMqttClient(target) as client:
        client.subscribe(status)
        for _, contents in mqtt_client_messages(client.messages(timeout_sec)):
            if contents.get("status") == "online":
                return True
    return False


def test_the_ack_of_a_command(target: VenTarget) -> None:
    stranger = {"correlationId": "another's", "ok": False}
    with ven(target, stranger, {"ok": True, "status": "accepted"}) as received:
        message = CommandSenderDraft(target.ven_id).event(5, 30, "evt-1")
        answer = send_command_to_ven(target, message)
    assert answer["status"] == "accepted"
    assert received == [message]


def test_an_event_as_it_goes_on_the_wire() -> None:
    before = time.time()
    message = CommandSenderDraft("v", 20.0).event(5.0, 30.0, "e1", modification=2)
    assert message.pop("correlationId").startswith("evt-e1-")
    issued_ts, expires_ts = message.pop("issued_ts"), message.pop("expires_ts")
    assert before - 1 <= issued_ts <= time.time() + 1
    assert expires_ts - issued_ts == pytest.approx(20.0)
    assert message == {
        "op": "event",
        "venId": "v",
        "event_id": "e1",
        "shed_kw": 5.0,
        "requestedReductionKw": 5.0,
        "duration_sec": 30.0,
        "modification": 2,
    }


def test_fields_that_are_none_are_left_out() -> None:
    message = CommandSenderDraft("v").of("restore", "c", event_id=None)
    assert set(message) == {"op", "correlationId", "venId", "issued_ts", "expires_ts"}


def test_an_op_that_is_none_is_refused_before_it_is_sent() -> None:
    with pytest.raises(OpsError, match="there is no op 'shed'"):
        CommandSenderDraft("v").of("shed")


def test_a_ven_never_seen_is_named(target: VenTarget) -> None:
    with pytest.raises(OpsError, match=r"volttron_thing .* has never been connected"):
        send_command_to_ven(target, CommandSenderDraft(target.ven_id, 0.3).of("ping"), 0.3)


def test_a_ven_that_is_offline_is_named(target: VenTarget) -> None:
    topics = target.topics
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(target.broker_host, target.broker_port)
    client.loop_start()
    client.publish(topics.status, '{"status": "offline"}', qos=1, retain=True).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    ping = CommandSenderDraft(target.ven_id, ANSWER_SEC).of("ping")
    with pytest.raises(OpsError, match="it is offline") as error:
        send_command_to_ven(target, ping, ANSWER_SEC)
    assert error.value.exit_code == UNANSWERED
    assert "does not run when the VEN is back" in " ".join(error.value.advice)


def test_the_broker_knows_when_a_command_expires(target: VenTarget) -> None:
    draft = CommandSenderDraft(target.ven_id, 20.0)
    with OperatorMqttClient(target) as ven, OperatorMqttClient(target) as operator:
        ven.subscribe(target.topics.command)
        operator.publish(target.topics.command, draft.of("ping"), expiry_sec=19.2)
        message = next(ven.messages(60))
    assert message.properties is not None
    assert message.properties.MessageExpiryInterval == 20  # whole seconds, and none too early


def test_a_ven_that_is_online_and_silent(target: VenTarget) -> None:
    with ven(target):
        with OperatorMqttClient(target) as client:
            client.subscribe(target.topics.status)
            assert next(client.messages(60)).payload == b'{"status": "online"}'
        draft = CommandSenderDraft(target.ven_id, ANSWER_SEC)
        for message, withdraws in (
            (draft.of("ping"), False),
            (draft.of("restore", event_id="e1"), False),
            (draft.about_event("event", "e1", None, shed_kw=5.0), True),
            (draft.about_event("limit", "e1", None, import_kw=5.0), True),
            (draft.about_event("loadUp", "e1", None, raise_kw=5.0), True),
        ):
            with pytest.raises(OpsError, match="although it is online") as error:
                send_command_to_ven(target, message, ANSWER_SEC)
            assert error.value.exit_code == UNANSWERED
            advice = " ".join(error.value.advice)
            assert "expired" in advice
            assert ("`restore --event-id e1` ends it" in advice) == withdraws, message


def test_no_broker(settings: SiteSettings) -> None:
    nowhere = settings.ven_target({"MQTT_PORT": str(free_port())})
    with (
        pytest.raises(OpsError, match=r"no broker listens on 127\.0\.0\.1"),
        OperatorMqttClient(nowhere),
    ):
        pass


def test_a_missing_certificate_is_named(settings: SiteSettings) -> None:
    cloud = settings.ven_target(
        {"IOT_ENDPOINT": "localhost", "CA_CERT": "/no/ca", "CLIENT_CERT": "c", "PRIVATE_KEY": "k"}
    )
    with pytest.raises(OpsError, match="a TLS file is missing") as error, OperatorMqttClient(cloud):
        pass
    assert "/no/ca (ca_cert)" in str(error.value)


def test_what_is_not_a_json_object_is_passed_over(target: VenTarget) -> None:
    with OperatorMqttClient(target) as client:
        client.subscribe("t")
        for payload in ("[]", "x", '{"a": 1}'):
            client._client.publish("t", payload, qos=1)
        assert next(mqtt_client_messages(client.messages(60))) == ("t", {"a": 1})


def test_a_broker_that_wants_a_login_gets_it(
    settings: SiteSettings, tmp_path: Path, paths: Paths
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "site", "s3cret"], check=True)
    access = f"user root\npassword_file {passwords}\n"
    with mosquitto(tmp_path, access, anonymous=False) as port:
        variables = {"MQTT_PORT": str(port), "MQTT_USERNAME": "site", "MQTT_PASSWORD": "s3cret"}
        known = replace(settings, variables=variables)
        with OperatorMqttClient(known.ven_target()) as client:
            client.subscribe("t")
        wrong = settings.ven_target({**variables, "MQTT_PASSWORD": "another"})
        with pytest.raises(OpsError, match="refuses us"), OperatorMqttClient(wrong):
            pass
        save_site_settings(paths, known)
    assert "s3cret" not in paths.settings.read_text()
    loaded = load_site_settings(paths)
    assert loaded is not None
    assert loaded.ven_target() == known.ven_target()


def test_who_follows_the_telemetry_is_told_that_the_ven_is_away(
    target: VenTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    away = {"venId": target.ven_id, "status": "offline"}
    reading = {"venId": target.ven_id, "seq": 7, "usedPowerKw": 17.6, "shedPowerKw": 0.0}
    with OperatorMqttClient(target) as client:
        for topic, message in ((target.topics.status, away), (target.topics.metering, reading)):
            kept = client._client.publish(topic, json.dumps(message), qos=1, retain=True)
            kept.wait_for_publish(10)
        follow_ven_telemetry(target, 1, json=False)
    said = capsys.readouterr()
    assert f"{target.ven_id} is offline at the broker" in said.err
    assert len(said.out.splitlines()) == 1
    assert "17.60 kW" in said.out
