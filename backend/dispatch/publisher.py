"""How commands leave: an interface, and the choice between its two kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from backend.dispatch.settings import DispatchSettings
from backend.settings import Settings


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of a message: when it was handed over, and why it was not confirmed."""

    sent_at: datetime
    error: str | None = None


class Publisher(Protocol):
    @property
    def at_once(self) -> int:
        """How many messages a call of `publish` may have, to be done in its time limit."""

    async def open(self) -> None:
        """Begin to connect, where there is something to connect to."""

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        """Publish at QoS 1; an outcome each, in order. Without an error: the broker has it.

        After the time limit nothing of it is handed over any more.
        """

    def problem(self) -> str | None:
        """Why nothing can be published now; None when it can, as far as is known."""

    async def close(self) -> None: ...


def make_publisher(settings: Settings, dispatch: DispatchSettings) -> Publisher:
    """AWS's data endpoint over HTTPS, or the MQTT broker of the settings."""
    from backend.dispatch.iot_publisher import IotDataPublisher
    from backend.dispatch.mqtt_publisher import MqttPublisher

    endpoint = settings.iot_endpoint or ""
    wanted = dispatch.publisher
    if wanted == "auto":
        wanted = "iot-data" if ".amazonaws.com" in endpoint else "mqtt"
    if wanted == "iot-data":
        return IotDataPublisher(
            endpoint,
            region=settings.kinesis.region,
            parallel=dispatch.parallel,
            timeout_sec=dispatch.publish_timeout_sec,
        )
    return MqttPublisher(settings.mqtt, timeout_sec=dispatch.publish_timeout_sec)
