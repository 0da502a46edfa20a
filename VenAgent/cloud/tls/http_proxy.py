"""The way to the broker through an HTTP proxy (CONNECT), as `https_proxy` names one for the AWS
libraries."""

from __future__ import annotations

import base64
import http.client
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from VenAgent.config.cloud_config import NO_PROXY, CloudBrokerConfig

DEFAULT_PORT = 3128


@dataclass(frozen=True)
class HttpProxy:
    """One proxy, and whom it knows us as."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str) -> HttpProxy:
        """`http://[user:password@]host[:port]`. Raises ValueError, without the password."""
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("a proxy is named like http://proxy.example:3128")
        authorization = None
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(login.encode()).decode()}"
        return cls(parts.hostname, parts.port or DEFAULT_PORT, authorization)

    @classmethod
    def for_broker(
        cls, broker: CloudBrokerConfig, environment: Mapping[str, str] = os.environ
    ) -> HttpProxy | None:
        """The one that the configuration names; else the environment's, for a broker with TLS that
        `no_proxy` does not name. Raises ValueError."""
        if broker.proxy is not None:
            url = broker.proxy.get_secret_value()
            return None if url == NO_PROXY else cls.from_url(url)
        url = environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""
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
    return bool(proxy_bypass_environment(host, {"no": named}))
