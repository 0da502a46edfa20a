"""The blocks of the configuration about the broker's side."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
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


class CloudTlsConfig(ConfigBlock):
    """TLS with the broker. Our client certificate: PEM files, or a secret of AWS Secrets Manager;
    none, where the broker knows us by user name and password."""

    ca_cert: FileName | None = None
    """The broker's CA; without one the authorities that this machine trusts. Beside a secret: used
    if the secret holds none."""
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
    def _one_way(self) -> CloudTlsConfig:
        files = {"client_cert": self.client_cert, "private_key": self.private_key}
        if self.secret_name is not None and any(files.values()):
            raise ValueError("name either client_cert and private_key, or secret_name, not both")
        missing = [name for name, file in files.items() if not file]
        if len(missing) == 1:
            raise ValueError(
                f"{missing[0]} missing: name both PEM files, a secret_name, or none of them where "
                f"the broker knows us by user name and password"
            )
        return self


NO_PROXY = "none"


def _known_proxy(url: SecretStr) -> SecretStr:
    if url.get_secret_value() != NO_PROXY and not _PROXY_URL.fullmatch(url.get_secret_value()):
        raise ValueError('must be like http://proxy.example:3128, or "none"')
    return url


def _host_alone(host: str) -> str:
    """An address with a login in it would stand in messages and on the page."""
    if re.search(r"[\s/@]", host):
        raise ValueError(
            "must be a host's name or address alone, as mqtt.example: port, login and TLS are "
            "settings of their own"
        )
    return host


_PROXY_URL = re.compile(r"http://([^\s/@]+@)?[^\s/@]+")


class CloudBrokerConfig(ConfigBlock):
    """Where the MQTT broker is. Without `tls` it is plain TCP, for a broker on this machine."""

    host: Annotated[Name, AfterValidator(_host_alone)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535), NotBoolean] = 1883
    keepalive_sec: Annotated[int, Field(ge=5, le=1200), NotBoolean] = 30
    tls: CloudTlsConfig | None = None
    username: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """Whom the broker knows us as; none where it knows our client certificate."""
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)] | None = None
    password_file: FileName | None = None
    """A file with the password in it instead, readable for the user that VOLTTRON runs as alone."""
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """Of MQTT. With 5 a command's message expiry is known here too, not only at the broker."""
    transport: Literal["tcp", "websockets"] = "tcp"
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]{0,255}$")] = "/mqtt"
    """Of a broker behind websockets."""
    proxy: Annotated[SecretStr, AfterValidator(_known_proxy)] | None = None
    """An HTTP proxy, `http://[user:password@]host:port`; with TLS the environment's `https_proxy`
    if none is named here, and no proxy at all with `none`."""

    @model_validator(mode="after")
    def _known_login(self) -> CloudBrokerConfig:
        if self.password is not None and self.password_file is not None:
            raise ValueError("name either password or password_file, not both")
        if self.username is None and (self.password is not None or self.password_file is not None):
            raise ValueError("a password without a username: name both")
        return self


class CloudOutboxConfig(ConfigBlock):
    """What is kept while the broker is away, and how fast it is sent afterwards.

    AWS IoT Core takes 100 messages and 512 KiB a second from a connection; the pace leaves room
    for what happens meanwhile.
    """

    max_mb: Annotated[float, Field(allow_inf_nan=False, ge=1, le=1_000_000), NotBoolean] = 256.0
    """On the disk (1 MB = 1,000,000 bytes); 24 h at 5 s on two topics need 167. Beyond it
    telemetry is thinned, acks and alerts never."""
    backlog_per_sec: Positive = 50.0
    backlog_kib_per_sec: Positive = 256.0


class CloudTopicsConfig(ConfigBlock):
    """Topics that differ from the usual ones (docs/mqtt-topics.md). AWS IoT Core takes at most 7
    slashes and 256 bytes in a topic (the first three levels of `$aws/rules/…/` aside)."""

    metering: TopicName | None = None
    telemetry: TopicName | None = None
    loads: TopicName | None = None
    ack: TopicName | None = None
    command: TopicName | None = None


class CloudStreamsConfig(ConfigBlock):
    """What is sent; the per-VEN telemetry and the loads snapshot double the traffic."""

    metering: bool = True
    telemetry: bool = True
    loads: bool = True
    shadow: bool = True
