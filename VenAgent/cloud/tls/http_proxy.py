"""The way to the broker through an HTTP proxy (CONNECT), as `https_proxy` names one for the AWS
libraries."""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from VenAgent.config.cloud_config import NO_PROXY, CloudBrokerConfig

DEFAULT_PORT = 3128
PROXY_NOT_READ = (
    "the proxy's address (https_proxy, or broker.proxy) cannot be read: it is like "
    "http://user:password@proxy.example:3128, with / # ? @ in a password written as %2F %23 %3F %40"
)
_PROXY_URL = re.compile(r"(?:http://)?(?P<place>(?:[^\s/?#]*@)?[^\s/?#@]+)/?", re.IGNORECASE)
"""A `/`, `?` or `#` in a password would make its rest a path, and its begin a port."""


@dataclass(frozen=True)
class HttpProxy:
    """One proxy, and whom it knows us as."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str) -> HttpProxy:
        """`http://[user:password@]host[:port]`. Raises ValueError, without the password."""
        found = _PROXY_URL.fullmatch(url)
        try:
            parts = urlsplit(f"http://{found['place']}" if found is not None else "")
            known = bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError(PROXY_NOT_READ)
        authorization = None
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(login.encode()).decode()}"
        return cls(parts.hostname or "", parts.port or DEFAULT_PORT, authorization)

    @classmethod
    def for_broker(
        cls, broker: CloudBrokerConfig, environment: Mapping[str, str] = os.environ
    ) -> HttpProxy | None:
        """The one that the configuration names; else the environment's, for a broker with TLS that
        `no_proxy` does not name. Raises ValueError."""
        if broker.proxy is not None:
            url = broker.proxy.get_secret_value()
            return None if url == NO_PROXY else cls.from_url(url)
        url = environment.get("https_proxy", environment.get("HTTPS_PROXY", ""))
        if not url or broker.tls is None or _is_near(broker.host, environment):
            return None
        return cls.from_url(url)

    def connect(self, host: str, port: int, timeout_sec: float) -> Any:
        """A socket to `host`, through the proxy. Raises OSError."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_sec)
        headers = {"Proxy-Authorization": self.authorization} if self.authorization else {}
        connection.set_tunnel(host, port, headers)
        try:
            connection.connect()
        except socket.gaierror:
            raise OSError(f"the name of the proxy {self.host} is not known") from None
        except TimeoutError:
            raise OSError(f"the proxy {self.host}:{self.port} does not answer") from None
        except ConnectionRefusedError:
            raise OSError(f"nothing listens at the proxy {self.host}:{self.port}") from None
        except (OSError, http.client.HTTPException) as error:
            why = str(error).removeprefix("Tunnel connection failed: ")
            raise OSError(
                f"the proxy {self.host}:{self.port} does not let us through to {host}:{port}: {why}"
            ) from None
        return connection.sock


def _is_near(host: str, environment: Mapping[str, str]) -> bool:
    """On this machine, or named in `no_proxy`."""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return True
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if proxy_bypass_environment(host, {"no": named.replace("*.", ".")}):
        return True
    return any(_is_within(host, each.strip()) for each in named.split(",") if "/" in each)


def _is_within(host: str, network: str) -> bool:
    """Of an address: whether it is one of the network, as 10.0.0.0/8."""
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
