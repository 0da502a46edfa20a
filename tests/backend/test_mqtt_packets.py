"""MQTT 5 on the wire: whatever way the bytes come in pieces, the packets are the same."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from backend.mqtt.mqtt_packets import (
    CONNACK,
    DISCONNECT,
    SUBACK,
    MalformedMqttPacket,
    MqttControlPacket,
    MqttPublishPacket,
    connect_packet,
    packet_reason,
    packet_reason_text,
    packet_session_present,
    puback_packets,
    split_packets,
    suback_packet_reasons,
    subscribe_packet,
)


def varint(value: int) -> bytes:
    encoded = b""
    while True:
        value, digit = divmod(value, 128)
        encoded += bytes([digit | (0x80 if value else 0)])
        if not value:
            return encoded


def publish(topic: str, payload: bytes, packet_id: int, properties: bytes = b"") -> bytes:
    """As a broker sends it, at QoS 1, or 0 for number 0."""
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name
    body += struct.pack(">H", packet_id) if packet_id else b""
    body += varint(len(properties)) + properties + payload
    return bytes([0x32 if packet_id else 0x30]) + varint(len(body)) + body


packets = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
        st.binary(max_size=200) | st.binary(min_size=20_000, max_size=20_001),
        st.integers(0, 65_535),
        st.binary(max_size=3) | st.binary(min_size=130, max_size=140),
    ),
    max_size=5,
)


@given(packets, st.data())
def test_packets_are_found_wherever_the_stream_is_cut(
    sent: list[tuple[str, bytes, int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(publish(*each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    found, rest = [], b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[begin:end]
        some, used = split_packets(rest)
        found += some
        rest = rest[used:]
    assert rest == b""
    assert found == [
        MqttPublishPacket(topic, payload, number) for topic, payload, number, _ in sent
    ]


@pytest.mark.parametrize(
    "stream", [b"\x30\xff\xff\xff\xff\x01", b"\x32\x05\x00\x01t\x00\x01", b"\x30\x02\x00\x09"]
)
def test_what_is_not_mqtt_is_told(stream: bytes) -> None:
    with pytest.raises((MalformedMqttPacket, IndexError)):
        split_packets(stream)


def test_answers_are_read() -> None:
    (connack, suback, gone), _ = split_packets(
        b"\x20\x03\x01\x00\x00\x90\x05\x00\x01\x00\x01\x87\xe0\x02\x8e\x00"
    )
    assert isinstance(connack, MqttControlPacket)
    assert isinstance(suback, MqttControlPacket)
    assert isinstance(gone, MqttControlPacket)
    assert (connack.kind, packet_session_present(connack), packet_reason(connack)) == (
        CONNACK,
        True,
        0,
    )
    assert (suback.kind, suback_packet_reasons(suback)) == (SUBACK, [1, 0x87])
    assert (gone.kind, packet_reason_text(packet_reason(gone))) == (
        DISCONNECT,
        "another client connected with our client id",
    )
    assert packet_reason(MqttControlPacket(DISCONNECT, b"")) == 0
    assert packet_reason_text(0xFE) == "reason code 0xFE"


def test_acknowledgements_are_in_order() -> None:
    assert puback_packets([1, 258]) == b"\x40\x02\x00\x01\x40\x02\x01\x02"


def test_connect_says_what_paho_would_say() -> None:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3_600
    properties.ReceiveMaximum = 20_000
    properties.MaximumPacketSize = 135_168
    packet = connect_packet(
        "client",
        keepalive_sec=30,
        session_expiry_sec=3_600,
        receive_maximum=20_000,
        maximum_packet_bytes=135_168,
        username="user",
        password="secret",
    )
    head, rest = packet[2:12], packet[12:]
    assert head == b"\x00\x04MQTT\x05\xc0\x00\x1e"
    assert rest[: len(properties.pack())] == properties.pack()
    assert rest[len(properties.pack()) :] == b"\x00\x06client\x00\x04user\x00\x06secret"


def test_subscriptions_are_at_qos_1() -> None:
    assert subscribe_packet(7, ["a/b"]) == b"\x82\x09\x00\x07\x00\x00\x03a/b\x11"
