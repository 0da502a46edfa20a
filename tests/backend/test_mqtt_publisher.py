"""Commands over MQTT: what the broker confirms, refuses, bounds, or never answers."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.broker_settings import BrokerSettings
from backend.dispatch.command_publisher import CommandPublisherMessage
from backend.dispatch.mqtt_publisher import MqttPublisher
from backend.mqtt import mqtt_packets

from .conftest import mosquitto
from .dispatching import eventually


async def connected(publisher: MqttPublisher) -> None:
    """What `publish` waits for is there: all of its time is for the messages."""
    await publisher.open()
    await eventually(lambda: publisher.problem() is None)


@given(st.text(min_size=1), st.binary(max_size=40_000), st.integers(1, 65_535))
def test_what_is_published_is_read_as_it_was_meant(
    topic: str, payload: bytes, packet_id: int
) -> None:
    data = mqtt_packets.publish_packet(topic, payload, packet_id)
    assert mqtt_packets.split_packets(data) == (
        [mqtt_packets.MqttPublishPacket(topic, payload, packet_id)],
        len(data),
    )


@pytest.mark.parametrize(
    ("properties", "most"),
    [
        (b"", 65_535),
        (b"\x21\x00\x14", 20),
        (b"\x22\x00\x0a\x27\x00\x00\xff\xff\x21\x01\x00", 256),
        (b"\x12\x00\x03abc\x26\x00\x01k\x00\x01v\x24\x01\x21\x00\x07", 7),
    ],
)
def test_the_brokers_bound_is_found_among_its_properties(properties: bytes, most: int) -> None:
    body = b"\0\0" + bytes([len(properties)]) + properties
    assert (
        mqtt_packets.packet_receive_maximum(
            mqtt_packets.MqttControlPacket(mqtt_packets.CONNACK, body)
        )
        == most
    )


@pytest.mark.asyncio
async def test_more_than_the_broker_allows_at_once_goes_out_bit_by_bit(tmp_path: Path) -> None:
    with mosquitto(tmp_path, None, "max_inflight_messages 3") as broker:
        settings = BrokerSettings(MQTT_HOST=broker.host, MQTT_PORT=broker.port)
        publisher = MqttPublisher(settings, timeout_sec=60)
        outcomes = await publisher.publish(
            [CommandPublisherMessage(f"many/{n}", b"{}") for n in range(500)]
        )
        await publisher.close()
    assert {outcome.error for outcome in outcomes} == {None}


@pytest.mark.asyncio
async def test_what_the_broker_does_not_let_us_publish_is_an_error(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic write ven/cmd/a\n")
    rules.chmod(0o600)
    with mosquitto(tmp_path, None, f"acl_file {rules}") as broker:
        settings = BrokerSettings(MQTT_HOST=broker.host, MQTT_PORT=broker.port)
        publisher = MqttPublisher(settings, timeout_sec=60)
        allowed, refused = await publisher.publish(
            [
                CommandPublisherMessage("ven/cmd/a", b"{}"),
                CommandPublisherMessage("ven/cmd/b", b"{}"),
            ]
        )
        await publisher.close()
    assert allowed.error is None
    assert refused.error == "the broker refuses it: not authorized"


@pytest.mark.asyncio
async def test_what_was_not_confirmed_in_time_is_not_sent_later() -> None:
    """A broker that stops reading: what waits for it must not arrive after the event's restore."""
    arrived = bytearray()
    ends = asyncio.Event()

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        # One message at a time, and no PUBACK for the first.
        writer.write(b"\x20\x06\x00\x00\x03\x21\x00\x01")
        with contextlib.suppress(ConnectionResetError):  # thrown away, not sent to the end
            while data := await reader.read(10_000):
                arrived.extend(data)
        ends.set()
        writer.close()

    server = await asyncio.start_server(stalls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    publisher = MqttPublisher(BrokerSettings(MQTT_PORT=port), timeout_sec=3)
    await connected(publisher)
    outcomes = await publisher.publish(
        [CommandPublisherMessage("ven/cmd/x", f"{n}".encode()) for n in range(3)]
    )
    await asyncio.wait_for(ends.wait(), 60)
    await publisher.close()
    server.close()
    assert [outcome.error for outcome in outcomes] == ["the broker did not confirm in time"] * 3
    assert arrived.count(b"ven/cmd/x") == 1


@pytest.mark.asyncio
async def test_a_slow_broker_gets_what_it_can_take_and_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Three seconds to send, and as good as for ever to confirm what was sent.
    monkeypatch.setattr("backend.dispatch.mqtt_publisher.SENT_WITHIN", 0.05)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"\x20\x06\x00\x00\x03\x21\x00\x01")  # one message at a time
        while data := await reader.read(1_000):
            found, _ = mqtt_packets.split_packets(data)
            await asyncio.sleep(0.05)
            for packet in found:
                if isinstance(packet, mqtt_packets.MqttPublishPacket):
                    writer.write(mqtt_packets.puback_packets([packet.packet_id]))
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    publisher = MqttPublisher(BrokerSettings(MQTT_PORT=port), timeout_sec=60)
    await connected(publisher)
    outcomes = await publisher.publish(
        [CommandPublisherMessage("ven/cmd/x", b"{}") for _ in range(200)]
    )
    problem = publisher.problem()
    await publisher.close()
    server.close()
    errors = [outcome.error for outcome in outcomes]
    assert problem is None
    assert errors[0] is None
    assert set(errors) == {None, "the broker confirms too slowly: not sent in time"}


@pytest.mark.asyncio
async def test_a_broker_that_goes_away_fails_what_is_under_way(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        settings = BrokerSettings(MQTT_HOST=broker.host, MQTT_PORT=broker.port)
        publisher = MqttPublisher(settings, timeout_sec=5)
        await connected(publisher)
        (before,) = await publisher.publish([CommandPublisherMessage("ven/cmd/x", b"{}")])
    await eventually(publisher.problem)
    outcomes = await publisher.publish(
        [CommandPublisherMessage("ven/cmd/x", b"{}") for _ in range(3)]
    )
    problem = publisher.problem()
    await publisher.close()
    assert before.error is None
    assert all(outcome.error for outcome in outcomes)
    assert str(broker.port) in (problem or "")


@pytest.mark.asyncio
async def test_a_server_that_speaks_another_language_is_named() -> None:
    async def another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(struct.pack(">4s", b"HTTP"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(another, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    publisher = MqttPublisher(BrokerSettings(MQTT_PORT=port), timeout_sec=1)
    await publisher.open()
    await eventually(lambda: str(port) in (publisher.problem() or ""))
    (outcome,) = await publisher.publish([CommandPublisherMessage("ven/cmd/x", b"{}")])
    await publisher.close()
    server.close()
    assert "is not connected" in (outcome.error or "")
    assert str(port) in (outcome.error or "")
