"""The backend's settings: environment variables, in every spelling that docs/backend.md names.

`Settings.from_environment()` raises `SettingsError` with one line a mistake.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)


class SettingsError(Exception):
    """Settings that cannot be used; the text names each variable and what is wrong with it."""


def _topics(value: Any) -> Any:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is no time zone, write it like Europe/Berlin") from None
    return value


Zone = Annotated[str, AfterValidator(_zone)]
TopicList = Annotated[tuple[str, ...], BeforeValidator(_topics)]


def _names(*names: str, **rest: Any) -> Any:
    return Field(validation_alias=AliasChoices(*names), **rest)


class Retention(BaseModel):
    """Days that each kind of row is kept; telemetry is dropped by whole days."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    telemetry_days: int = _names("RETENTION_TELEMETRY_DAYS", default=30, ge=1)
    loads_days: int = _names("RETENTION_LOADS_DAYS", default=30, ge=1)
    quarter_hours_days: int = _names("RETENTION_QUARTER_HOURS_DAYS", default=800, ge=1)
    acks_days: int = _names("RETENTION_ACKS_DAYS", default=800, ge=1)
    alerts_days: int = _names("RETENTION_ALERTS_DAYS", default=400, ge=1)
    dead_letters_days: int = _names("RETENTION_DEAD_LETTERS_DAYS", default=30, ge=1)
    commands_days: int = _names("RETENTION_COMMANDS_DAYS", default=400, ge=1)
    audit_days: int = _names("RETENTION_AUDIT_DAYS", default=800, ge=1)


class MqttSettings(BaseModel):
    """The broker, and what is subscribed to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    enabled: bool = _names("MQTT_ENABLED", default=True)
    host: str = _names("MQTT_HOST", "MQTT_BROKER", "IOT_ENDPOINT", default="127.0.0.1")
    port: int | None = _names("MQTT_PORT", default=None, ge=1, le=65_535)
    use_tls: bool | None = _names("MQTT_USE_TLS", default=None)
    username: str | None = _names("MQTT_USERNAME", default=None)
    password: str | None = _names("MQTT_PASSWORD", default=None, repr=False)
    ca_cert: Path | None = _names("MQTT_CA_CERT", "CA_CERT", default=None)
    client_cert: Path | None = _names("MQTT_CLIENT_CERT", "CLIENT_CERT", default=None)
    client_key: Path | None = _names("MQTT_CLIENT_KEY", "PRIVATE_KEY", default=None)
    ca_cert_pem: str | None = _names("CA_CERT_PEM", default=None)
    client_cert_pem: str | None = _names("CLIENT_CERT_PEM", default=None, repr=False)
    private_key_pem: str | None = _names("PRIVATE_KEY_PEM", default=None, repr=False)
    topic_metering: str = _names("MQTT_TOPIC_METERING", default="volttron/metering")
    topic_acks: str = _names("MQTT_TOPIC_RESPONSES", default="ven/ack/+")
    topic_status: str = _names("MQTT_TOPIC_STATUS", default="ven/status/+")
    topic_alerts: str = _names("MQTT_TOPIC_ALERTS", default="ven/alerts/+")
    topic_loads: str | None = _names("BACKEND_LOADS_TOPIC", default=None)
    topic_commands: str = _names("MQTT_TOPIC_EVENTS", default="ven/cmd/{venId}")
    more_topics: TopicList = _names("MQTT_TOPICS", default=())
    share_group: str | None = _names("MQTT_SHARE_GROUP", default="venagent-ingest")
    receive_maximum: int = _names("MQTT_RECEIVE_MAXIMUM", default=20_000, ge=1, le=65_535)
    session_expiry_sec: int = _names("MQTT_SESSION_EXPIRY_SEC", default=86_400, ge=0)
    keepalive_sec: int = _names("MQTT_KEEPALIVE_SEC", default=30, ge=5, le=1_200)

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


class KinesisSettings(BaseModel):
    """The stream that an AWS IoT rule fills; none by default."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stream: str | None = _names("KINESIS_STREAM", default=None)
    region: str | None = _names("AWS_REGION", "AWS_DEFAULT_REGION", default=None)
    endpoint_url: str | None = _names("KINESIS_ENDPOINT_URL", "AWS_ENDPOINT_URL", default=None)
    poll_interval_sec: float = _names("KINESIS_POLL_INTERVAL_SEC", default=0.25, gt=0)
    lease_sec: float = _names("KINESIS_LEASE_SEC", default=30.0, gt=0)


class Settings(BaseModel):
    """All of them. Names of variables stand beside each; a variable that is empty is not set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    database_url: str = _names("DATABASE_URL", default="sqlite:///venagent-backend.sqlite")
    instance: str = _names("INGEST_INSTANCE", default_factory=lambda: f"{platform.node()}-0")
    batch_max: int = _names("INGEST_BATCH_MAX", default=2_000, ge=1)
    batch_wait_sec: float = _names("INGEST_BATCH_WAIT_SEC", default=0.2, gt=0, le=10)
    state_interval_sec: float = _names("INGEST_STATE_INTERVAL_SEC", default=5.0, gt=0)
    offline_after_sec: float = _names("OFFLINE_AFTER_SEC", default=60.0, gt=0)
    max_ahead_sec: float = _names("TELEMETRY_MAX_AHEAD_SEC", default=3_600.0, ge=0)
    store_raw_payload: bool = _names("STORE_RAW_PAYLOAD", default=False)
    baseline_method: Literal["pre_event_mean", "meter_before", "high_4_of_5", "ten_of_ten"] = (
        _names("BASELINE_METHOD", default="pre_event_mean")
    )
    measure_timezone: Zone = _names("MEASURE_TIMEZONE", default="UTC")
    measure_after_sec: float = _names("MEASURE_AFTER_SEC", default=60.0, ge=0)
    """How long after its end an event is measured: telemetry may be late."""
    health_host: str = _names("INGEST_HEALTH_HOST", default="127.0.0.1")
    health_port: int = _names("INGEST_HEALTH_PORT", default=9_108, ge=0, le=65_535)
    log_level: str = _names("LOG_LEVEL", default="INFO")
    event_command_enabled: bool = _names("EVENT_COMMAND_ENABLED", default=True)
    iot_endpoint: str | None = _names("IOT_ENDPOINT", default=None)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    kinesis: KinesisSettings = Field(default_factory=KinesisSettings)
    retention: Retention = Field(default_factory=Retention)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings in `environment` (the process's own by default)."""
        variables = os.environ if environment is None else environment
        given = {name: value for name, value in variables.items() if value.strip()}
        try:
            return cls.model_validate(
                {
                    **given,
                    "mqtt": MqttSettings.model_validate(given),
                    "kinesis": KinesisSettings.model_validate(given),
                    "retention": Retention.model_validate(given),
                }
            )
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
            raise SettingsError("\n".join(lines)) from error

    @property
    def is_postgresql(self) -> bool:
        return urlsplit(self.database_url).scheme.startswith("postgres")
