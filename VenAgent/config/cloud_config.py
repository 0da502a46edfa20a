"""The blocks of the configuration about the broker's side."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
    StringConstraints,
    model_validator,
)

from VenAgent.config.config_block import (
    ConfigBlock,
    FileName,
    Name,
    NotBoolean,
    Positive,
    TopicName,
)


class TlsConfig(ConfigBlock):
    """The TLS client certificate: three PEM files, or a secret of AWS Secrets Manager."""

    ca_cert: FileName | None = None
    """Beside a secret: used if the secret holds no CA."""
    client_cert: FileName | None = None
    private_key: FileName | None = None
    secret_name: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_+=.@:-]{1,2048}$")] | None
    ) = None
    """Its name or ARN; a JSON object with CA, certificate and key."""
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")] | None = None
    """The secret's; what the AWS libraries find if none."""
    refresh_interval_sec: Annotated[
        float, Field(allow_inf_nan=False, ge=60, le=604_800), NotBoolean
    ] = 21_600.0
    """A newer version of the secret is looked for that often, and whenever TLS fails."""

    @model_validator(mode="after")
    def _one_way(self) -> TlsConfig:
        files = {"client_cert": self.client_cert, "private_key": self.private_key}
        if self.secret_name is None:
            missing = [
                name for name, file in {"ca_cert": self.ca_cert, **files}.items() if not file
            ]
            if missing:
                raise ValueError(
                    f"{', '.join(missing)} missing: name all three PEM files, or a secret_name"
                )
        elif any(files.values()):
            raise ValueError("name either client_cert and private_key, or secret_name, not both")
        return self


class BrokerConfig(ConfigBlock):
    """Where the MQTT broker is. Without `tls` it is plain TCP, for a broker on this machine."""

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535), NotBoolean] = 1883
    keepalive_sec: Annotated[int, Field(ge=5, le=1200), NotBoolean] = 30
    tls: TlsConfig | None = None


class OutboxConfig(ConfigBlock):
    """What is kept while the broker is away, and how fast it is sent afterwards.

    AWS IoT Core takes 100 messages and 512 KiB a second from a connection; the pace leaves room
    for what happens meanwhile.
    """

    max_mb: Annotated[float, Field(allow_inf_nan=False, ge=1, le=1_000_000), NotBoolean] = 256.0
    """On the disk (1 MB = 1,000,000 bytes); 24 h at 5 s on two topics need 167. Beyond it
    telemetry is thinned, acks and alerts never."""
    backlog_per_sec: Positive = 50.0
    backlog_kib_per_sec: Positive = 256.0


class TopicsConfig(ConfigBlock):
    """Topics that differ from the usual ones (docs/mqtt-topics.md). AWS IoT Core takes at most 7
    slashes and 256 bytes in a topic (the first three levels of `$aws/rules/…/` aside)."""

    metering: TopicName | None = None
    telemetry: TopicName | None = None
    loads: TopicName | None = None
    ack: TopicName | None = None
    command: TopicName | None = None


class StreamsConfig(ConfigBlock):
    """What is sent; the per-VEN telemetry and the loads snapshot double the traffic."""

    metering: bool = True
    telemetry: bool = True
    loads: bool = True
    shadow: bool = True
