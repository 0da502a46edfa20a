"""The MQTT connection: a paho client in an OS thread of its own.

Inside a VOLTTRON agent sockets and TLS are gevent's, threads are not. So the thread owns the
client and its own end of the outbox, and meets the agent's greenlets in one place only:

- inbound, it puts what came into a bounded queue and wakes the agent's hub by `async_`;
- outbound, the agent puts messages into the outbox and wakes the thread through a pipe.

A command is acknowledged to the broker (PUBACK) only after the agent has journalled it, so that
one that was delivered to a dying process is delivered again.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import socket
import sqlite3
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import paho.mqtt.client as mqtt
from gevent.event import Event as GreenEvent
from paho.mqtt.enums import CallbackAPIVersion

from VenAgent.cloud.outbox import Outbox
from VenAgent.config import BrokerConfig
from VenAgent.contract.topics import Topics

_log = logging.getLogger(__name__)

INBOUND_KEPT = 1_000
MAX_IN_FLIGHT = 20
"""Unacknowledged messages; AWS IoT Core allows 100."""
CONNECT_TIMEOUT_SEC = 10.0
RECONNECT_MAX_SEC = 60.0
IDLE_SEC = 1.0
SWITCH_SEC = 0.0005
"""How long one thread may keep the other waiting for the interpreter: Python's 5 ms would stand
between a command and its handling, and between an ack and the wire."""


@dataclass(frozen=True)
class LinkState:
    """Whether the broker can be reached, since when (epoch s), and if not, why."""

    online: bool
    since_ts: float
    why: str = ""


@dataclass(frozen=True)
class Inbound:
    """A command as it came; `mid` is what `acknowledge` takes."""

    payload: bytes
    mid: int
    """0 for QoS 0, which has nothing to acknowledge."""


class Link:
    """One connection to one broker, from `start` to `stop`."""

    def __init__(
        self, broker: BrokerConfig, topics: Topics, ven_id: str, outbox_path: Path, boot_id: str
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._ven_id = ven_id
        self._outbox_path = outbox_path
        self._boot_id = boot_id
        self.state = LinkState(False, time.time(), "connecting")
        self.dropped = 0
        """Commands that came while the queue was full; the broker delivers them again."""
        self._inbound: deque[Inbound] = deque()
        self._acknowledged: deque[int] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._stopping = False
        self._flush_until = 0.0
        self._refused = False
        self._in_flight: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    # ---- the agent's side: greenlets ----------------------------------------------------

    def start(self, on_command: Callable[[Inbound], None], on_state: Callable[[], None]) -> None:
        """Connect, and call `on_command` and `on_state` in a greenlet of the caller's hub."""
        sys.setswitchinterval(SWITCH_SEC)
        self._arrived = GreenEvent()
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._arrived.set)
        self._reader = gevent.spawn(self._deliver, on_command, on_state, self.state)
        self._thread.start()

    def _deliver(
        self,
        on_command: Callable[[Inbound], None],
        on_state: Callable[[], None],
        known: LinkState,
    ) -> None:
        while True:
            self._arrived.wait()
            self._arrived.clear()
            while self._inbound:
                inbound = self._inbound.popleft()
                try:
                    on_command(inbound)
                except Exception:  # noqa: BLE001  one that breaks us must not deafen us to the next
                    _log.exception("a command could not be handled: %.200r", inbound.payload)
                    self.acknowledge(inbound)
            if self.state is not known:
                known = self.state
                on_state()

    def acknowledge(self, inbound: Inbound) -> None:
        """The command is journalled: the broker need not deliver it again."""
        if inbound.mid:
            self._acknowledged.append(inbound.mid)
            self.wake()

    def wake(self) -> None:
        """There is something new in the outbox."""
        with suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._wake_write, b"x")

    def stop(self, timeout_sec: float = 5.0) -> None:
        """Send what can be sent, say offline, disconnect, and end the thread."""
        deadline = time.monotonic() + timeout_sec
        self._flush_until = deadline - timeout_sec / 2
        self._stopping = True
        self.wake()
        while self._thread.is_alive() and time.monotonic() < deadline:
            gevent.sleep(0.02)  # not join(): a greenlet never blocks on a thread
        if self._thread.is_alive():
            _log.warning("the MQTT thread did not end within %g s", timeout_sec)
            return
        self._reader.kill()
        self._watcher.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # ---- the thread's side ---------------------------------------------------------------

    def _run(self) -> None:
        self._serve()  # a frame of its own: what it holds is freed before the hub goes
        gevent.get_hub().destroy(destroy_loop=True)  # this thread's own, made by its sockets

    def _serve(self) -> None:
        """Connect again and again, with full jitter between the tries, until stopped."""
        tries = 0
        client: mqtt.Client | None = None
        while not self._stopping:
            try:
                with closing(Outbox(self._outbox_path, synced=False)) as outbox:
                    client = self._make_client(outbox)
                    while not self._stopping:
                        tries = 0 if self._converse(client, outbox) else tries + 1
                        self._pause_before(tries)
            # Refused, unreachable, TLS, certificate files; the outbox locked or the disk full:
            # begin again with a new client, whose outbox still has all that was not confirmed.
            except (OSError, ValueError, sqlite3.Error) as error:
                if client is not None:
                    client.disconnect()
                self._in_flight.clear()
                self._set_state(False, _explain(error, self._broker))
                tries += 1
                self._pause_before(tries)

    def _pause_before(self, tries: int) -> None:
        """Full jitter, so that a fleet does not come back all at once."""
        deadline = time.monotonic() + random.uniform(0.2, min(RECONNECT_MAX_SEC, 2.0**tries))
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self._wake_read], [], [], left)
            if readable:
                self._drain_wakes()

    def _make_client(self, outbox: Outbox) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._ven_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_SEC
        client.max_inflight_messages_set(MAX_IN_FLIGHT + 2)  # and birth or goodbye
        tls = self._broker.tls
        if tls is not None:
            client.tls_set(tls.ca_cert, tls.client_cert, tls.private_key)
        client.will_set(self._topics.status, self._status("offline"), qos=1, retain=True)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = lambda _client, _data, mid, _code, _properties: self._sent(mid, outbox)
        return client

    def _converse(self, client: mqtt.Client, outbox: Outbox) -> bool:
        """Serve one connection until it is lost or stopped; whether it ever was established."""
        was_online = False
        client.connect(self._broker.host, self._broker.port, self._broker.keepalive_sec)
        while (sock := client.socket()) is not None:
            buffered = getattr(sock, "pending", int)()  # bytes that TLS has already read
            wanted: list[Any] = [sock] if client.want_write() else []
            sources: list[Any] = [sock, self._wake_read]
            readable, writable, _ = select.select(sources, wanted, [], 0 if buffered else IDLE_SEC)
            if self._wake_read in readable:
                self._drain_wakes()
            if buffered or sock in readable:
                client.loop_read()
            if writable:
                client.loop_write()
            client.loop_misc()
            was_online = was_online or self.state.online
            if client.is_connected():
                self._acknowledge_all(client)
                self._pump(client, outbox)
                flushed = not self._in_flight or time.monotonic() > self._flush_until
                if self._stopping and flushed:
                    self._say_goodbye(client)
            elif self._stopping and not self.state.online:
                break  # still shaking hands: no one to say goodbye to
        return was_online

    def _pump(self, client: mqtt.Client, outbox: Outbox) -> None:
        """Hand the next messages to paho, as many as may be in flight."""
        room = MAX_IN_FLIGHT - len(self._in_flight)
        if room <= 0:
            return
        for waiting in outbox.waiting(room, skip=self._in_flight.values()):
            info = client.publish(waiting.topic, waiting.payload, qos=1, retain=waiting.retain)
            self._in_flight[info.mid] = waiting.id

    def _sent(self, mid: int, outbox: Outbox) -> None:
        """PUBACK. (The birth message has no row in the outbox.)"""
        message_id = self._in_flight.pop(mid, None)
        if message_id is not None:
            outbox.delete(message_id)

    def _acknowledge_all(self, client: mqtt.Client) -> None:
        while self._acknowledged:
            client.ack(self._acknowledged.popleft(), 1)

    def _say_goodbye(self, client: mqtt.Client) -> None:
        client.publish(self._topics.status, self._status("offline"), qos=1, retain=True)
        client.disconnect()
        client.loop_write()

    def _drain_wakes(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 65_536)

    def _status(self, status: str) -> bytes:
        body = {
            "venId": self._ven_id,
            "status": status,
            "ts": round(time.time(), 3),
            "bootId": self._boot_id,
        }
        return json.dumps(body).encode()

    def _set_state(self, online: bool, why: str = "") -> None:
        """Log once each way, and tell the agent."""
        if online == self.state.online and why == self.state.why:
            return
        if online:
            _log.info("MQTT: connected to %s:%d", self._broker.host, self._broker.port)
        else:
            level = logging.INFO if self._stopping else logging.WARNING
            _log.log(level, "MQTT: not connected: %s", why)
        self.state = LinkState(online, time.time(), why)
        self._watcher.send()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._refused = reason.is_failure
        if self._refused:
            self._set_state(False, f"the broker refused the connection: {reason}")
            client.disconnect()
            return
        client.subscribe(self._topics.command, qos=1)
        client.publish(self._topics.status, self._status("online"), qos=1, retain=True)
        self._acknowledged.clear()  # of the last connection; what was not acked comes again
        self._set_state(True)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if self.state.online:
            self._set_state(False, f"the connection was lost: {reason}")
        elif not self._refused:
            where = f"{self._broker.host}:{self._broker.port}"
            self._set_state(
                False,
                f"{where} hung up before it answered: is the client certificate accepted there, "
                f"and may it connect as {self._ven_id}?",
            )

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            # A command is for now; one kept by the broker for later subscribers is a mistake.
            if message.mid:
                self._acknowledged.append(message.mid)
            return
        if len(self._inbound) >= INBOUND_KEPT:
            self.dropped += 1
            return
        self._inbound.append(Inbound(bytes(message.payload), message.mid))
        self._watcher.send()


def _no_delay(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    """Nagle's algorithm and delayed ACKs together cost 40 ms a message."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _explain(error: Exception, broker: BrokerConfig) -> str:
    where = f"{broker.host}:{broker.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if isinstance(error, FileNotFoundError):
        files = broker.tls.model_dump().values() if broker.tls else ()
        missing = [name for name in files if not Path(name).is_file()]
        return f"a TLS file is missing: {', '.join(missing) or error}"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {where} failed: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {where}"
    return f"{where}: {error}"
