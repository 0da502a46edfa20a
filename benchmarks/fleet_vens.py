"""A simulated fleet: many VENs over a few MQTT connections, as fast as asked.

Messages are made from templates with the VEN, the time and the number put in, and sent over plain
sockets: the generator must cost little, since it runs beside what is measured. With `--answer`
the VENs also answer commands, after a delay like a real one's.

    python -m benchmarks.fleet_vens --port 1883 --vens 1000 --interval 5 --answer
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import paho.mqtt.client as mqtt
import uvloop

from VenAgent.contract.acks import AckStatus, build_ack
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import Telemetry, TelemetryCircuit, TelemetryLoad, TelemetryQuality

TOPIC = b"volttron/metering"
CONNECTIONS, WINDOW = 4, 500
"""Each connection has at most so many messages that the broker has not acknowledged."""
LOADS = ("hvac", "heat_pump", "water_heater", "ev_charger", "dryer", "pool", "fridge", "lights")
VARIANTS = 64


def ven_name(number: int) -> str:
    return f"sim-{number:05d}"


def example(chance: random.Random) -> Telemetry:
    """A telemetry of eight loads; VEN, time and number are put in later."""
    powers = [round(chance.uniform(0.0, 5.0), 3) for _ in LOADS]
    total_kw = round(sum(powers), 3)
    return Telemetry(
        ven_id="VEN",
        ts=0.0,
        seq=0,
        used_power_kw=total_kw,
        shed_power_kw=0.0,
        requested_reduction_kw=0.0,
        event_id=None,
        baseline_power_kw=total_kw,
        battery_soc=None,
        panel_amperage_rating=200,
        panel_voltage=240,
        voltage=240.1,
        panel_max_kw=48.0,
        current_amps=round(total_kw / 0.24, 3),
        panel_utilization_percent=round(total_kw / 0.48, 1),
        quality=TelemetryQuality.GOOD,
        circuits=tuple(
            TelemetryCircuit(
                id=name,
                name=name.replace("_", " "),
                breaker_amps=40.0,
                current_kw=power_kw,
                current_amps=round(power_kw / 0.24, 3),
                enabled=True,
                critical=name == "fridge",
            )
            for name, power_kw in zip(LOADS, powers, strict=True)
        ),
        loads=tuple(
            TelemetryLoad(
                load_id=name,
                id=name,
                name=name.replace("_", " "),
                type=name,
                capacity_kw=9.6,
                current_power_kw=power_kw,
                shed_capability_kw=0.0 if name == "fridge" else power_kw,
                enabled=True,
                priority=1 if name == "fridge" else 4,
            )
            for name, power_kw in zip(LOADS, powers, strict=True)
        ),
    )


def templates() -> list[tuple[bytes, bytes]]:
    """What comes before and after the VEN, the time and the number, in some variants."""
    chance = random.Random(7)
    made = []
    for _ in range(VARIANTS):
        before, after = encode_json(example(chance).to_wire()).split(
            b'"venId":"VEN","timestamp":0,"ts_ms":0,"seq":0'
        )
        made.append((before, after))
    return made


def publish(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """A PUBLISH at QoS 1 (MQTT 3.1.1)."""
    length = 4 + len(topic) + len(payload)
    size = bytearray()
    while True:
        length, digit = divmod(length, 128)
        size.append(digit | (0x80 if length else 0))
        if not length:
            break
    head = struct.pack(">H", len(topic)) + topic + struct.pack(">H", packet_id)
    return b"".join((b"\x32", bytes(size), head, payload))


@dataclass
class Fleet:
    """Which VENs speak, and what they say."""

    vens: int
    first_seq: int = 1
    sent: int = 0

    def messages(self, count: int) -> Iterator[bytes]:
        """The next messages, VEN after VEN, each with the time it is made."""
        made = templates()
        for number in range(self.sent, self.sent + count):
            before, after = made[number % VARIANTS]
            ven, seq = number % self.vens, self.first_seq + number // self.vens
            ts_ms = round(time.time() * 1_000)
            times = f'"timestamp":{ts_ms // 1_000},"ts_ms":{ts_ms}'
            said = f'"venId":"{ven_name(ven)}",{times},"seq":{seq}'
            yield b"".join((before, said.encode(), after))
        self.sent += count


class Sender:
    """One connection that publishes within its window."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._free = asyncio.Semaphore(WINDOW)
        self._packet_id = 0
        self._receiving = asyncio.create_task(self._receive())

    @classmethod
    async def connect(cls, host: str, port: int, name: str) -> Sender:
        reader, writer = await asyncio.open_connection(host, port)
        client = struct.pack(">H", len(name)) + name.encode()
        head = b"\x00\x04MQTT\x04\x02\x00\x00" + client  # no keep-alive, a clean session
        writer.write(b"\x10" + bytes([len(head)]) + head)
        answer = await reader.readexactly(4)
        if answer[3]:
            raise ConnectionError(f"the broker refuses: {answer[3]}")
        return cls(reader, writer)

    async def _receive(self) -> None:
        """A PUBACK is four bytes."""
        rest = 0
        while data := await self._reader.read(65_536):
            acknowledged, rest = divmod(rest + len(data), 4)
            for _ in range(acknowledged):
                self._free.release()

    async def send(self, payload: bytes) -> None:
        await self._free.acquire()
        self._packet_id = self._packet_id % 65_535 + 1
        self._writer.write(publish(TOPIC, payload, self._packet_id))

    async def close(self) -> None:
        """When the broker has everything."""
        for _ in range(WINDOW):
            await self._free.acquire()
        self._receiving.cancel()
        self._writer.close()


async def run(host: str, port: int, fleet: Fleet, count: int, per_sec: float | None) -> float:
    """Send `count` messages, `per_sec` or as fast as the broker takes them; seconds it took."""
    senders = [await Sender.connect(host, port, f"fleet-{n}") for n in range(CONNECTIONS)]
    begun = time.monotonic()
    for number, payload in enumerate(fleet.messages(count)):
        if per_sec is not None and number % 20 == 0:
            ahead_sec = begun + number / per_sec - time.monotonic()
            if ahead_sec > 0:
                await asyncio.sleep(ahead_sec)
        await senders[number % CONNECTIONS].send(payload)
        if per_sec is None and number % 50 == 0:
            await asyncio.sleep(0)
    for sender in senders:
        await sender.close()
    return time.monotonic() - begun


def answer_commands(host: str, port: int) -> mqtt.Client:
    """Answers each command as accepted, 40 … 150 ms later, from paho's own thread."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    loop = asyncio.get_running_loop()

    def answer(ven_id: str, command: dict[str, object]) -> None:
        shed_kw = command.get("shed_kw")
        message = build_ack(
            op=str(command.get("op")),
            status=AckStatus.ACCEPTED if shed_kw is not None else AckStatus.SUCCESS,
            ven_id=ven_id,
            ts=time.time(),
            correlation_id=str(command.get("correlationId")),
            event_id=command.get("event_id"),
            requested_shed_kw=shed_kw,
            actual_shed_kw=shed_kw,
            shed_basis="predicted",
            circuits_curtailed=[],
        )
        client.publish(f"ven/ack/{ven_id}", encode_json(message), qos=1)

    def received(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        ven_id = message.topic.rpartition("/")[2]
        command = json.loads(message.payload)
        delay_sec = random.uniform(0.04, 0.15)
        loop.call_soon_threadsafe(loop.call_later, delay_sec, answer, ven_id, command)

    client.max_inflight_messages_set(2_000)
    client.on_connect = lambda *_: client.subscribe("ven/cmd/+", qos=1)
    client.on_message = received
    client.connect(host, port)
    client.loop_start()
    return client


async def _main(arguments: argparse.Namespace) -> None:
    fleet = Fleet(arguments.vens, arguments.first_seq)
    answering = answer_commands(arguments.host, arguments.port) if arguments.answer else None
    per_sec = arguments.vens / arguments.interval if arguments.interval else None
    count = arguments.count or sys.maxsize
    seconds = await run(arguments.host, arguments.port, fleet, count, per_sec)
    print(json.dumps({"sent": fleet.sent, "seconds": round(seconds, 3)}))
    if answering is not None:
        answering.loop_stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--vens", type=int, default=1_000)
    parser.add_argument("--interval", type=float, help="seconds; without it as fast as possible")
    parser.add_argument("--count", type=int, help="messages in all; without it until it is ended")
    parser.add_argument("--first-seq", type=int, default=1)
    parser.add_argument("--answer", action="store_true", help="answer commands, as VENs do")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
