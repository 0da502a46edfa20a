"""The broker, and what is subscribed to."""

from __future__ import annotations

from pathlib import Path

from backend.config.settings_block import SettingsBlock, TextList, variable


class BrokerSettings(SettingsBlock):
    """The broker, and what is subscribed to."""

    enabled: bool = variable("MQTT_ENABLED", default=True)
    host: str = variable("MQTT_HOST", "MQTT_BROKER", "IOT_ENDPOINT", default="127.0.0.1")
    port: int | None = variable("MQTT_PORT", default=None, ge=1, le=65_535)
    use_tls: bool | None = variable("MQTT_USE_TLS", default=None)
    username: str | None = variable("MQTT_USERNAME", default=None)
    password: str | None = variable("MQTT_PASSWORD", default=None, repr=False)
    ca_cert: Path | None = variable("MQTT_CA_CERT", "CA_CERT", default=None)
    client_cert: Path | None = variable("MQTT_CLIENT_CERT", "CLIENT_CERT", default=None)
    client_key: Path | None = variable("MQTT_CLIENT_KEY", "PRIVATE_KEY", default=None)
    ca_cert_pem: str | None = variable("CA_CERT_PEM", default=None)
    client_cert_pem: str | None = variable("CLIENT_CERT_PEM", default=None, repr=False)
    private_key_pem: str | None = variable("PRIVATE_KEY_PEM", default=None, repr=False)
    topic_metering: str = variable("MQTT_TOPIC_METERING", default="volttron/metering")
    topic_acks: str = variable("MQTT_TOPIC_RESPONSES", default="ven/ack/+")
    topic_status: str = variable("MQTT_TOPIC_STATUS", default="ven/status/+")
    topic_alerts: str = variable("MQTT_TOPIC_ALERTS", default="ven/alerts/+")
    topic_loads: str | None = variable("BACKEND_LOADS_TOPIC", default=None)
    topic_commands: str = variable("MQTT_TOPIC_EVENTS", default="ven/cmd/{venId}")
    more_topics: TextList = variable("MQTT_TOPICS", default=())
    share_group: str | None = variable("MQTT_SHARE_GROUP", default="venagent-ingest")
    receive_maximum: int = variable("MQTT_RECEIVE_MAXIMUM", default=20_000, ge=1, le=65_535)
    session_expiry_sec: int = variable("MQTT_SESSION_EXPIRY_SEC", default=86_400, ge=0)
    keepalive_sec: int = variable("MQTT_KEEPALIVE_SEC", default=30, ge=5, le=1_200)

    @property
    def tls(self) -> bool:
        """Asked for, or implied by port 8883, a certificate or an AWS endpoint."""
        if self.use_tls is not None:
            return self.use_tls
        given = self.ca_cert or self.client_cert or self.ca_cert_pem or self.client_cert_pem
        return self.port == 8883 or bool(given) or self.host.endswith(".amazonaws.com")

    @property
    def broker_port(self) -> int:
        return self.port or (8883 if self.tls else 1883)

    @property
    def topics(self) -> tuple[str, ...]:
        """What the ingest subscribes to, without the share's prefix."""
        named = (self.topic_metering, self.topic_acks, self.topic_status, self.topic_alerts)
        loads = (self.topic_loads,) if self.topic_loads else ()
        return tuple(dict.fromkeys((*named, *loads, *self.more_topics)))
