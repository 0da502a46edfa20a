"""A VTN of OpenADR 3.1 tells of changes over MQTT, where it offers that (3.1.0 Definition,
"Notifications via Additional Protocols").

A notification is a reason to read the VTN at once, and nothing else: what is to be done stands in
the VTN's answer. So one that is lost, comes twice, late or from a stranger does no harm, and an
event that comes by polling and by notification is one event. paho runs in its own thread.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from backend.openadr.openadr3_connection import OpenAdr3Connection
from backend.openadr.openadr_settings import LOOPBACK, OpenAdrSettings

log = structlog.get_logger(__name__)

MQTT, MQTT_AWAY, POLLING = "mqtt", "mqtt_away", "polling"
_ANONYMOUS, _TOKEN, _CERTIFICATE = "ANONYMOUS", "OAUTH2_BEARER_TOKEN", "CERTIFICATE"
_REFUSED = 128
_MOST_TOPICS = 200
_AGAIN_SEC = (1, 60)


class OpenAdr3NotificationsUnusable(Exception):
    """What the VTN offers cannot be used; the text says why. Events are polled for all the same."""


@dataclass(frozen=True)
class _Binding:
    """Where the VTN's broker is, and how we show who we are."""

    host: str
    port: int
    is_tls: bool
    method: str
    details: Mapping[str, Any]


class OpenAdr3Notifications:
    """`told` is set when the VTN tells of something. Used from the event loop."""

    def __init__(self, settings: OpenAdrSettings, connection: OpenAdr3Connection) -> None:
        self._settings = settings
        self._connection = connection
        self.told = asyncio.Event()
        self.problem: str | None = None
        self._client: mqtt.Client | None = None
        self._offer: tuple[Any, ...] = ()
        self._subscribed = False

    @property
    def state(self) -> str:
        if self._client is None:
            return POLLING
        return MQTT if self._subscribed else MQTT_AWAY

    @property
    def wants_listening(self) -> bool:
        """What the VTN offers should be looked at anew: it could not be used, or the broker was
        shown a token that is not the VTN's any more."""
        token = self._offer[2] if self._offer else None
        return self.problem is not None or token not in (None, self._connection.token)

    async def listen(self, notifiers: Mapping[str, Any], topics: set[str]) -> None:
        """Subscribe to these, or stop where there are none. What is subscribed to already stays."""
        offered = notifiers.get("MQTT")
        if not offered or not topics:
            await self.close()
            return
        try:
            binding = _read_binding(offered)
            token = self._connection.token if binding.method == _TOKEN else None
            offer = (binding, tuple(sorted(topics)[:_MOST_TOPICS]), token)
            if offer == self._offer and self._subscribed:
                return
            await self.close()
            self._start(binding, offer[1], token)
            self._offer, self.problem = offer, None
        except (OpenAdr3NotificationsUnusable, OSError, ValueError) as error:
            if str(error) != self.problem:
                log.warning("notifications of the VTN cannot be used", error=str(error))
            self.problem = str(error)[:300]

    async def close(self) -> None:
        client, self._client = self._client, None
        self._offer, self._subscribed = (), False
        if client is not None:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _start(self, binding: _Binding, topics: tuple[str, ...], token: str | None) -> None:
        loop = asyncio.get_running_loop()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{secrets.token_hex(8)}",
            reconnect_on_failure=True,
        )
        client.reconnect_delay_set(*_AGAIN_SEC)
        client.connect_timeout = 10.0
        if binding.is_tls:
            client.tls_set_context(self._tls_context(binding))
        if binding.method == _TOKEN:
            name = str(binding.details.get("username") or "{clientID}")
            client.username_pw_set(
                name.replace("{clientID}", self._settings.client_id or ""), token
            )

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.told.set)

        def stands(is_subscribed: bool) -> None:
            def note() -> None:
                if self._client is client:
                    self._subscribed = is_subscribed

            if not loop.is_closed():
                loop.call_soon_threadsafe(note)

        def on_connect(_client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
            if code.is_failure:
                log.warning("the VTN's broker refuses us", reason=str(code))
            else:
                client.subscribe([(topic, 1) for topic in topics])

        def on_subscribe(_client: Any, _data: Any, _mid: int, codes: Any, _more: Any) -> None:
            refused = sum(1 for code in codes if code.value >= _REFUSED)
            if refused:
                log.warning("the VTN's broker refuses topics", refused=refused, of=len(codes))
            stands(refused < len(codes))
            tell()  # what changed while we were away

        def on_message(_client: Any, _data: Any, _message: Any) -> None:
            tell()

        def on_disconnect(*_given: Any) -> None:
            stands(False)

        def on_socket_open(_client: Any, _data: Any, sock: Any) -> None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        client.on_connect, client.on_disconnect = on_connect, on_disconnect
        client.on_subscribe, client.on_message = on_subscribe, on_message
        client.on_socket_open = on_socket_open
        self._client = client
        client.connect_async(binding.host, binding.port, keepalive=30)
        client.loop_start()

    def _tls_context(self, binding: _Binding) -> ssl.SSLContext:
        """Raises OSError, OpenAdr3NotificationsUnusable."""
        context = self._connection.tls_context(of_the_vtn=False)
        if binding.method != _CERTIFICATE:
            return context
        given = [binding.details.get(name) for name in ("caCert", "clientCert", "clientKey")]
        if not all(isinstance(text, str) and text for text in given):
            raise OpenAdr3NotificationsUnusable("CERTIFICATE without caCert, clientCert, clientKey")
        ca_cert, client_cert, client_key = (str(text) for text in given)
        context.load_verify_locations(cadata=ca_cert)
        # The ssl module reads certificates from files only.
        with tempfile.TemporaryDirectory(prefix="venagent.") as folder:
            both = Path(folder, "client.pem")
            both.touch(mode=0o600)
            both.write_text(f"{client_cert}\n{client_key}\n")
            context.load_cert_chain(str(both))
        return context


def _read_binding(offered: Any) -> _Binding:
    """Raises OpenAdr3NotificationsUnusable."""
    if not isinstance(offered, Mapping) or not isinstance(offered.get("URIS"), list):
        raise OpenAdr3NotificationsUnusable("the MQTT notifier names no URIS")
    if offered.get("serialization", "JSON") != "JSON":
        raise OpenAdr3NotificationsUnusable(f"serialization {offered['serialization']!r}")
    details = offered.get("authentication")
    details = details if isinstance(details, Mapping) else {"method": _ANONYMOUS}
    method = str(details.get("method"))
    if method not in (_ANONYMOUS, _TOKEN, _CERTIFICATE):
        raise OpenAdr3NotificationsUnusable(f"authentication {method!r} is not known")
    for uri in offered["URIS"]:
        try:
            parts = urlsplit(uri if isinstance(uri, str) else "")
            host, port = parts.hostname, parts.port
        except ValueError:
            continue
        is_tls = parts.scheme in ("mqtts", "ssl")
        # "MQTT clients MUST use MQTT over TLS" (3.1.0 Definition, MQTT); to try, on this machine.
        if host and (is_tls or (parts.scheme in ("mqtt", "tcp") and host in LOOPBACK)):
            return _Binding(host, port or (8883 if is_tls else 1883), is_tls, method, details)
    raise OpenAdr3NotificationsUnusable(f"no URI of {offered['URIS']!r:.200} is mqtts://")
