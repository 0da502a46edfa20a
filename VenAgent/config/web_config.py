"""Where and how the local page is served: the block `web` of the agent's configuration."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

TOKEN_CHARACTERS = 16

HostName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=253, pattern=r"^\S+$")
]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if _is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


class WebConfig(BaseModel):
    """On this machine only, unless a token protects it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    enabled: bool = True
    host: HostName = "127.0.0.1"
    """The address to listen at; 0.0.0.0 for all of this machine's."""
    port: Annotated[int, Field(ge=0, le=65535), BeforeValidator(_no_boolean)] = 8080
    """0 takes a free one; the agent's log says which. Where no port is named here and another
    program uses 8080, the page takes the next free one and says so; a port named here is used or
    missed."""
    token: Annotated[SecretStr, Field(min_length=TOKEN_CHARACTERS, max_length=256)] | None = None
    """What a person or a script must give before anything is shown."""
    names: tuple[HostName, ...] = ()
    """Further names that this machine is asked by, e.g. that of a proxy in front of it."""
    prefix: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~-]{1,64}){0,8}$")] = ""
    """The path below which a proxy shows the page, e.g. `/site-1`; without it a proxy may say so in
    X-Forwarded-Prefix."""
    proxies: tuple[HostName, ...] = ()
    """Addresses of proxies before it, whose X-Forwarded-For, -Host and -Prefix are believed."""
    site_name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)] = ""
    """What people call the site, e.g. "Bakery, Mill Street 4"; the VEN id stands beside it."""
    read_only: bool = False
    """Everything is shown, nothing can be changed."""
    max_clients: Annotated[int, Field(ge=1, le=48), BeforeValidator(_no_boolean)] = 16
    """Live views at the same time."""

    @model_validator(mode="after")
    def _protected(self) -> WebConfig:
        if self.enabled and self.token is None and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines: set a token of at least "
                f"{TOKEN_CHARACTERS} characters, or the host 127.0.0.1"
            )
        return self

    @property
    def secret(self) -> str | None:
        return None if self.token is None else self.token.get_secret_value()
