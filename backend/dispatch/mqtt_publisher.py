"""The MQTT broker: QoS 1, many in flight, confirmed by PUBACK.

Each connection is a client of its own and takes nothing over from the last one: what was not
confirmed is the outbox's to repeat. A library that sent it again by itself could bring an event's
command after its restore.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from backend.dispatch.publisher import Message, Outcome
from backend.dispatch.wake import happens
from backend.settings import MqttSettings
from backend.store.base import utc_now

log = structlog.get_logger(__name__)

IN_FLIGHT = 2_000
RECONNECT_SEC = (0.2, 5.0)
"""The first wait, doubled up to the second."""


class MqttPublisher:
    """Connects by itself, and again; `publish` waits for a connection as long as it may take."""

    def __init__(self, settings: MqttSettings, *, timeout_sec: float) -> None:
        self._settings = settings
        self._timeout_sec = timeout_sec
        self._client: paho.Client | None = None
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._problem: str | None = "not connected yet"
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt-publisher")

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        await self.open()
        if not await happens(self._connected, self._timeout_sec):
            error = f"the broker is not connected: {self._problem}"
            return [Outcome(utc_now(), error) for _ in messages]
        sent = [self._send(message) for message in messages]
        await asyncio.wait([future for _, future in sent], timeout=self._timeout_sec)
        return [Outcome(at, _error(future)) for at, future in sent]

    def problem(self) -> str | None:
        return self._problem

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    def _send(self, message: Message) -> tuple[Any, asyncio.Future[None]]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._client is None or not self._connected.is_set():
            future.set_exception(ConnectionError("the connection to the broker was lost"))
            return utc_now(), future
        # PUBACKs come through the loop, so none is handled before its future is in place.
        info = self._client.publish(message.topic, message.payload, qos=1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            future.set_exception(ConnectionError(paho.error_string(info.rc)))
        else:
            self._waiting[info.mid] = future
        return utc_now(), future

    # --- the connection ------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        delay_sec = RECONNECT_SEC[0]
        while True:
            client = self._make_client()
            try:
                host, port = self._settings.host, self._settings.broker_port
                await asyncio.to_thread(client.connect, host, port, self._settings.keepalive_sec)
                client.loop_start()
                if await happens(self._connected, self._timeout_sec):
                    delay_sec = RECONNECT_SEC[0]
                    await self._lost.wait()
                elif self._problem is None or "refuses" not in self._problem:
                    self._problem = f"{host}:{port} does not answer as an MQTT broker"
            except (OSError, ValueError) as error:
                self._problem = f"{host}:{port}: {error}"
                log.warning("broker not reached", broker=f"{host}:{port}", error=str(error))
            finally:
                self._fail_waiting()
                client.disconnect()
                await asyncio.shield(asyncio.to_thread(client.loop_stop))
            await asyncio.sleep(delay_sec)
            delay_sec = min(delay_sec * 2, RECONNECT_SEC[1])

    def _make_client(self) -> paho.Client:
        loop = asyncio.get_running_loop()
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            f"venagent-dispatch-{secrets.token_hex(6)}",
            clean_session=True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(IN_FLIGHT)
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls:
            client.tls_set_context(tls_context(settings))

        def connected(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            loop.call_soon_threadsafe(self._on_connected, client, code)

        def confirmed(_client: Any, _data: Any, mid: int, code: Any, _properties: Any) -> None:
            loop.call_soon_threadsafe(self._on_confirmed, mid, code)

        def lost(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._on_lost, client, code)

        client.on_connect, client.on_publish, client.on_disconnect = connected, confirmed, lost
        client.on_socket_open = _send_at_once
        self._connected.clear()
        self._lost.clear()
        self._client = client
        return client

    def _on_connected(self, client: paho.Client, code: Any) -> None:
        if client is not self._client:
            return
        if code.is_failure:
            self._problem = f"the broker refuses us: {code}"
            self._lost.set()
        else:
            self._problem = None
            self._connected.set()

    def _on_confirmed(self, mid: int, code: Any) -> None:
        future = self._waiting.pop(mid, None)
        if future is None or future.done():
            return
        if code.is_failure:
            future.set_exception(ConnectionError(f"the broker refuses the message: {code}"))
        else:
            future.set_result(None)

    def _on_lost(self, client: paho.Client, code: Any) -> None:
        if client is self._client:
            self._problem = f"the connection was lost: {code}"
            self._fail_waiting()
            self._lost.set()

    def _fail_waiting(self) -> None:
        self._connected.clear()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection to the broker was lost"))


def _error(future: asyncio.Future[None]) -> str | None:
    if not future.done():
        future.cancel()
        return "the broker did not confirm in time"
    error = future.exception()
    return str(error) if error else None


def _send_at_once(_client: paho.Client, _data: Any, sock: Any) -> None:
    """Without Nagle's algorithm: 44 ms less for each command."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """From files, or from PEM texts in variables. Raises OSError or ssl.SSLError."""
    context = ssl.create_default_context(cafile=settings.ca_cert, cadata=settings.ca_cert_pem)
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert, settings.client_key)
    elif settings.client_cert_pem and settings.private_key_pem:
        # Python's ssl reads a key from a file only.
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder) / "client.pem"
            pem.touch(mode=0o600)
            pem.write_text(f"{settings.client_cert_pem}\n{settings.private_key_pem}\n")
            context.load_cert_chain(pem)
    return context
