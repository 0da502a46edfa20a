"""A broker that does what a real one does only now and then: it confirms what the test says."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent

from tests.platform.link_harness import TOPICS

CONNECT, PUBLISH, SUBSCRIBE, PING, DISCONNECT = 1, 3, 8, 12, 14
GRANTED, REFUSED = 1, 0x80


class FakeBroker:
    """MQTT 3.1.1, as much of it as a link needs; several connections, one after another."""

    def __init__(self) -> None:
        self.session_present = False
        """What the next CONNACK says."""
        self.confirms: Callable[[str], bool] = lambda topic: True
        """Whether a message on this topic gets its PUBACK."""
        self.grants: Callable[[str], bool] = lambda topic_filter: True
        self.answers_subscribes = True
        self.answers_pings = True
        self.connects = 0
        self.told: list[str] = []
        """Topics that were published on, and "disconnect"."""
        self.statuses: list[str] = []
        self.subscribes: list[list[str]] = []
        """The filters of each SUBSCRIBE."""
        self._socks: list[Any] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        self.port = int(self._listener.getsockname()[1])
        self._greenlets = [gevent.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self._socks.append(sock)
            self._greenlets.append(gevent.spawn(self._serve, sock))

    def _serve(self, sock: Any) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as stream:
            while first := stream.read(1):
                length, shift = 0, 0
                while True:
                    (byte,) = stream.read(1)
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                self._take(sock, first[0] >> 4, stream.read(length))

    def _take(self, sock: Any, kind: int, body: bytes) -> None:
        if kind == CONNECT:
            self.connects += 1
            sock.sendall(bytes([0x20, 2, self.session_present, 0]))
        elif kind == SUBSCRIBE:
            filters = _filters(body[2:])
            self.subscribes.append(filters)
            if not self.answers_subscribes:
                return
            codes = [GRANTED if self.grants(each) else REFUSED for each in filters]
            sock.sendall(bytes([0x90, 2 + len(codes)]) + body[:2] + bytes(codes))
        elif kind == PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            topic = body[2:end].decode()
            self.told.append(topic)
            if topic == TOPICS.status:
                self.statuses.append(json.loads(body[end + 2 :])["status"])
            if self.confirms(topic):
                sock.sendall(b"\x40\x02" + body[end : end + 2])
        elif kind == PING and self.answers_pings:
            sock.sendall(b"\xd0\x00")
        elif kind == DISCONNECT:
            self.told.append("disconnect")

    def hang_up(self) -> None:
        """Close all connections, without a word."""
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._socks.clear()

    def close(self) -> None:
        gevent.killall(self._greenlets)
        for sock in [*self._socks, self._listener]:
            sock.close()


def _filters(rest: bytes) -> list[str]:
    filters = []
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        filters.append(rest[2:end].decode())
        rest = rest[end + 1 :]
    return filters
