"""What a link to the broker is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from VenAgent.cloud.outbox_sender import OutboxSenderPace
from VenAgent.cloud.tls.tls_source import TlsSource
from VenAgent.config.cloud_config import CloudBrokerConfig


@dataclass(frozen=True)
class MqttSettings:
    """What a link is made of; a change of any of it needs a new link."""

    broker: CloudBrokerConfig
    ven_id: str
    """The client's id too: AWS IoT wants the thing's name."""
    status_topic: str
    subscriptions: tuple[str, ...]
    """Topic filters, all with QoS 1."""
    outbox_path: Path
    boot_id: str
    command_topic: str = ""
    """What comes there waits in the inbox when it comes faster than it is dealt with."""
    tls: TlsSource | None = None
    """None: plain TCP."""
    pace: OutboxSenderPace = field(default_factory=OutboxSenderPace)

    @property
    def inbox_path(self) -> Path:
        return self.outbox_path.with_name("inbox.sqlite")

    @property
    def where(self) -> str:
        return f"{self.broker.host}:{self.broker.port}"
