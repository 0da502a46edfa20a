"""The broker, and what is subscribed to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from backend.config.settings_block import SettingsBlock, TextList, settings_block_variable


def _command_topic(value: str) -> str:
    if "{venId}" not in value:
        raise ValueError(f"{value!r} has no {{venId}} in it: every VEN would obey every command")
    if "+" in value or "#" in value:
        raise ValueError(f"{value!r} has a wildcard in it: nothing can be published to it")
    return value


def _topic_filter(value: str) -> str:
    levels = value.split("/")
    is_wild = [level for level in levels if ("+" in level or "#" in level) and len(level) > 1]
    if not value or is_wild or "#" in levels[:-1]:
        raise ValueError(
            f"{value!r} is no topic to subscribe to: + is a whole level, # the last levels"
        )
    return value


def _topic_filters(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_topic_filter(value) for value in values)


def _one_topic_filter(value: str) -> str:
    if "," in value:
        raise ValueError(f"{value!r}: one topic only, others belong in MQTT_TOPICS")
    return _topic_filter(value)


def _host(value: str) -> str:
    is_with_port = value.count(":") == 1 and not value.startswith("[")
    if "/" in value or is_with_port:
        raise ValueError(
            f"{value.rpartition('@')[2]!r} is more than a host: only its name or address here, "
            f"the port in MQTT_PORT, and MQTT_USE_TLS=true instead of mqtts://"
        )
    return value


TopicFilter = Annotated[str, AfterValidator(_one_topic_filter)]
TopicFilters = Annotated[TextList, AfterValidator(_topic_filters)]
SHADOW_TOPICS = ("$aws/things/+/shadow/update", "$aws/things/+/shadow/name/+/update")
CommandTopic = Annotated[str, AfterValidator(_command_topic)]


class BrokerSettings(SettingsBlock):
    """The broker, and what is subscribed to."""

    enabled: bool = settings_block_variable("MQTT_ENABLED", default=True)
    host: Annotated[str, AfterValidator(_host)] = settings_block_variable(
        "MQTT_HOST", "MQTT_BROKER", "IOT_ENDPOINT", default="127.0.0.1"
    )
    port: int | None = settings_block_variable("MQTT_PORT", default=None, ge=1, le=65_535)
    use_tls: bool | None = settings_block_variable("MQTT_USE_TLS", default=None)
    username: str | None = settings_block_variable("MQTT_USERNAME", default=None)
    password: str | None = settings_block_variable("MQTT_PASSWORD", default=None, repr=False)
    ca_cert: Path | None = settings_block_variable("MQTT_CA_CERT", "CA_CERT", default=None)
    client_cert: Path | None = settings_block_variable(
        "MQTT_CLIENT_CERT", "CLIENT_CERT", default=None
    )
    client_key: Path | None = settings_block_variable(
        "MQTT_CLIENT_KEY", "PRIVATE_KEY", default=None
    )
    ca_cert_pem: str | None = settings_block_variable("CA_CERT_PEM", default=None)
    client_cert_pem: str | None = settings_block_variable(
        "CLIENT_CERT_PEM", default=None, repr=False
    )
    private_key_pem: str | None = settings_block_variable(
        "PRIVATE_KEY_PEM", default=None, repr=False
    )
    client_id: str | None = settings_block_variable("MQTT_CLIENT_ID", default=None)
    """The ingest's, as it stands here, and the beginning of the dispatcher's. With several ingest
    instances each needs one of its own: the broker lets in only the last of one name."""
    tls_server_name: str | None = settings_block_variable("MQTT_TLS_SERVER_NAME", default=None)
    """The name in the broker's certificate, where it is not the one we connect to."""
    topic_metering: TopicFilter = settings_block_variable(
        "MQTT_TOPIC_METERING", default="volttron/metering"
    )
    topic_alerts: TopicFilter = settings_block_variable("MQTT_TOPIC_ALERTS", default="ven/alerts/+")
    topic_shadow: TopicFilters | None = settings_block_variable("MQTT_TOPIC_SHADOW", default=None)
    """Where VENs report their shadows: subscribed to on a broker that is not AWS's, which keeps
    shadows itself. `none` for no subscription."""
    topic_commands: CommandTopic = settings_block_variable(
        "COMMAND_TOPIC", default="ven/cmd/{venId}"
    )
    topic_loads: TopicFilters = settings_block_variable("BACKEND_LOADS_TOPIC", default=())
    topic_responses: TopicFilters = settings_block_variable("MQTT_TOPIC_RESPONSES", default=())
    topic_status: TopicFilters = settings_block_variable("MQTT_TOPIC_STATUS", default=())
    topic_events: TopicFilters = settings_block_variable("MQTT_TOPIC_EVENTS", default=())
    more_topics: TopicFilters = settings_block_variable("MQTT_TOPICS", default=())
    """These five are subscribed to beside what always is: acks, statuses, alerts, metering."""
    share_group: str | None = settings_block_variable("MQTT_SHARE_GROUP", default="venagent-ingest")
    receive_maximum: int = settings_block_variable(
        "MQTT_RECEIVE_MAXIMUM", default=20_000, ge=1, le=65_535
    )
    session_expiry_sec: int = settings_block_variable(
        "MQTT_SESSION_EXPIRY_SEC", default=86_400, ge=0
    )
    keepalive_sec: int = settings_block_variable(
        "MQTT_KEEPALIVE_SEC", "MQTT_KEEPALIVE", default=30, ge=5, le=1_200
    )

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
        always = (
            *(self.topic_metering, "ven/ack/+", "ven/status/+", self.topic_alerts),
            *self._shadow_topics,
        )
        more = (
            *(*self.topic_loads, *self.topic_responses, *self.topic_status),
            *(*self.topic_events, *self.more_topics),
        )
        return tuple(dict.fromkeys((*always, *more)))

    @property
    def _shadow_topics(self) -> tuple[str, ...]:
        if self.topic_shadow is not None:
            return tuple(topic for topic in self.topic_shadow if topic != "none")
        return () if self.host.endswith(".amazonaws.com") else SHADOW_TOPICS
