"""A TCP proxy that cuts, delays, stalls and half-opens connections.

One thread with non-blocking sockets: it works the same where gevent has patched them.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress

CHUNK = 65_536
TICK_SEC = 0.005


class _Way:
    """What goes from one socket to the other."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.kept: deque[tuple[float, bytes]] = deque()
        """With when each may go on (monotonic s)."""
        self.ended = False
        """The source has closed."""


class _Pair:
    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.up, self.down = _Way(near, far), _Way(far, near)

    def close(self, *, reset: bool = False) -> None:
        for sock in (self.up.source, self.down.source):
            if reset:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.close()


class TcpProxy:
    """Listens on `port` of 127.0.0.1 and forwards to `target_port`. Change it at any time."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.delay_sec = 0.0
        """Each way."""
        self.stalled_up = self.stalled_down = False
        """What comes is kept until it is false again: from the client, to the client."""
        self.swallowing = False
        """Half-open: all that comes is lost, and no end of a connection is passed on."""
        self.refusing = False
        """New connections are closed at once."""
        self.accepted = 0
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._wake_read, self._wake_write = os.pipe()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def cut(self, *, reset: bool = False) -> None:
        """Close every connection: orderly (FIN), or with a reset (RST)."""
        with self._lock:
            for pair in self._pairs:
                pair.close(reset=reset)
            self._pairs.clear()

    def half_open(self) -> None:
        """As when a router loses its memory: neither side hears of the other, or of an end."""
        self.swallowing = True

    def heal(self) -> None:
        """As at first; what was lost stays lost, so connections from before are cut."""
        if self.swallowing:
            self.cut()
        self.swallowing = self.stalled_up = self.stalled_down = self.refusing = False
        self.delay_sec = 0.0

    def close(self) -> None:
        self._stopping = True
        os.write(self._wake_write, b"x")
        self._thread.join(60)
        self.cut()
        self._listener.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # ---- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                ways = [(pair, way) for pair in self._pairs for way in (pair.up, pair.down)]
                sources = [way.source for _, way in ways if not way.ended]
                waiting = any(way.kept for _, way in ways)
            readable: list[object] = []
            with suppress(OSError, ValueError):  # one was cut meanwhile
                watched = [self._listener, self._wake_read, *sources]
                readable, _, _ = select.select(watched, [], [], TICK_SEC if waiting else 0.05)
            with self._lock:
                if self._listener in readable:
                    self._accept()
                for pair, way in ways:
                    if pair in self._pairs and not self._move(pair, way, way.source in readable):
                        pair.close()
                        self._pairs.remove(pair)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        self.accepted += 1
        if self.refusing:
            near.close()
            return
        far = socket.socket()
        try:
            far.connect(("127.0.0.1", self.target_port))
        except OSError:
            near.close()
            far.close()
            return
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
        self._pairs.append(_Pair(near, far))

    def _move(self, pair: _Pair, way: _Way, readable: bool) -> bool:
        """Take what came, pass on what is due; whether the pair still lives."""
        if readable:
            try:
                data = way.source.recv(CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                data = b""
            if not data:
                way.ended = True
            elif not self.swallowing:
                way.kept.append((time.monotonic() + self.delay_sec, data))
        if self.swallowing:
            way.kept.clear()
            return True
        stalled = self.stalled_up if way is pair.up else self.stalled_down
        while way.kept and not stalled and way.kept[0][0] <= time.monotonic():
            due, data = way.kept.popleft()
            try:
                sent = way.target.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            if sent < len(data):
                way.kept.appendleft((due, data[sent:]))
                break
        return not (way.ended and not way.kept)
