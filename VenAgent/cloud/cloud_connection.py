"""The connection of one configuration to the cloud: the MQTT link with its credentials."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.link_state import LinkPhase, LinkState
from VenAgent.cloud.mqtt_link import MqttLink
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.outbox_sender import OutboxSenderPace
from VenAgent.config import AgentConfig
from VenAgent.contract.alerts import AlertSeverity

if TYPE_CHECKING:
    from VenAgent.cloud.tls.credentials import Credentials, CredentialsFinding


class CloudConnection:
    """`on_message` and `on_state` are called in a greenlet of the agent's hub: a message came, and
    the link came, went, or has another reason for not being there."""

    def __init__(
        self,
        outbox_path: Path,
        boot_id: str,
        on_message: Callable[[InboundMessage], None],
        on_state: Callable[[], None],
    ) -> None:
        self._outbox_path = outbox_path
        self._boot_id = boot_id
        self._on_message = on_message
        self._on_state = on_state
        self._before = LinkState(LinkPhase.CONNECTING, time.time())
        self._link: MqttLink | None = None
        self._credentials: Credentials | None = None

    def start(self, config: AgentConfig, subscriptions: tuple[str, ...]) -> None:
        """Connect as `config` has it."""
        self._credentials = self._make_credentials(config)
        settings = MqttSettings(
            broker=config.broker,
            ven_id=config.ven_id,
            status_topic=config.topic_names().status,
            subscriptions=subscriptions,
            outbox_path=self._outbox_path,
            boot_id=self._boot_id,
            command_topic=config.topic_names().command,
            tls=self._credentials,
            pace=OutboxSenderPace(
                messages_per_sec=config.outbox.backlog_per_sec,
                bytes_per_sec=config.outbox.backlog_kib_per_sec * 1024,
            ),
        )
        self._link = MqttLink(settings)
        if self._credentials is not None:
            self._credentials.start(self._link.reconnect)
        self._link.start(self._on_message, self._on_state)

    def _make_credentials(self, config: AgentConfig) -> Credentials | None:
        if config.broker.tls is None:
            return None
        from VenAgent.cloud.tls.credentials import make_tls_credentials  # its library takes 11 MB

        return make_tls_credentials(config.broker.tls, self._outbox_path.parent)

    def stop(self) -> None:
        """Send what can be sent, say offline, disconnect."""
        if self._credentials is not None:
            self._credentials.stop()
        if self._link is not None:
            self._link.stop()

    @property
    def state(self) -> LinkState:
        return self._before if self._link is None else self._link.state

    @property
    def dropped(self) -> int:
        """Messages that came while too many waited; the broker delivers them again."""
        return 0 if self._link is None else self._link.dropped

    @property
    def retained(self) -> int:
        """Messages that the broker had kept for later subscribers; none is obeyed."""
        return 0 if self._link is None else self._link.retained

    def acknowledge(self, inbound: InboundMessage) -> None:
        """It is dealt with: the broker need not deliver it again."""
        if self._link is not None:
            self._link.acknowledge(inbound)

    def wake(self) -> None:
        """There is something new in the outbox."""
        if self._link is not None:
            self._link.wake()

    # ---- credentials ---------------------------------------------------------------------

    @property
    def certificate_expires_ts(self) -> float | None:
        """End (epoch s) of the certificate in use; None without TLS."""
        return None if self._credentials is None else self._credentials.expires_ts

    def credential_findings(self) -> list[CredentialsFinding]:
        """What a person should see to, the gravest last; empty when all is well."""
        return [] if self._credentials is None else self._credentials.findings()

    def alert_credentials(
        self, set_alert: Callable[[str, AlertSeverity, str | None], None]
    ) -> None:
        """Raise or clear the alert of each finding."""
        if self._credentials is not None:
            self._credentials.alert(set_alert)
