"""The page over HTTP: gevent's own WSGI server, one greenlet a connection, everything bounded.

Bounded are the connections, in all and of one address; the size of a request; the time that a
client may take to send one and to take its answer; and how fast one connection may ask.
"""

from __future__ import annotations

import io
import logging
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import gevent
from gevent.lock import Semaphore
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from VenAgent.web.access_guard import AccessGuard
from VenAgent.web.http_messages import MAX_BODY_BYTES
from VenAgent.web.live_stream import LiveStream
from VenAgent.web.page_settings import PageSettings
from VenAgent.web.page_source import Json, PageReadSource
from VenAgent.web.power_pages import PowerPages
from VenAgent.web.static_assets import StaticAssets
from VenAgent.web.wsgi_app import WsgiApp

_log = logging.getLogger(__name__)

CONNECTIONS = 64
CONNECTIONS_OF_ONE_ADDRESS = 48
"""A browser has six, one of them for the live view; a proxy has those of all who come by it."""
CLIENT_TIMEOUT_SEC = 10.0
"""For a client to send its request, to take an answer, or to say more on an open connection."""
BETWEEN_REQUESTS_SEC = 0.01
"""One connection's next request waits so long, and as long as the last one took: others come
between, however many requests a client has sent ahead."""
REQUESTS_OF_A_CONNECTION = 1_000
SEND_BUFFER_BYTES = 262_144
"""What the kernel may hold for a client that does not read."""
MAX_HEAD_BYTES = 16_384
"""Of all headers of a request; without it each connection could hold megabytes."""
STOP_SEC = 0.2

_REFUSED = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class HttpServer:
    """The page of one site at one listening socket, from `start` to `stop`."""

    def __init__(
        self,
        listener: Any,
        site: PageReadSource,
        change: Callable[[str, str, str], tuple[HTTPStatus, Json]],
        settings: PageSettings,
    ) -> None:
        guard = AccessGuard(
            token=settings.token,
            names=settings.names,
            cookie=settings.cookie,
            csrf_token=settings.csrf_token,
        )
        self.stream = LiveStream(site, settings.max_clients)
        self.connections = _Connections()
        pages = PowerPages(site, Semaphore(), lambda: gevent.sleep(0))
        app = WsgiApp(site, change, guard, self.stream.open, StaticAssets(), settings, pages)
        self._server = _Server(
            listener,
            app,
            handler_class=_Handler,
            # One more finds its way in at any time, to be counted and perhaps refused.
            spawn=Pool(2 * CONNECTIONS),
            log=None,
            error_log=_log,
        )
        self._server.connections = self.connections

    def start(self) -> None:
        self._server.start()

    def touch(self) -> None:
        """Something changed: those who watch see it at once."""
        self.stream.touch()

    def stop_accepting(self) -> None:
        """Leave what comes from now on to the listening socket's queue."""
        self._server.stop_accepting()

    def start_accepting(self) -> None:
        self._server.start_accepting()

    def stop(self) -> None:
        """Close the socket and every connection."""
        self.stream.close()
        self._server.stop(timeout=STOP_SEC)


class _Connections:
    """Those that are open, oldest first, and who of them waits for a request."""

    def __init__(self) -> None:
        self._open: dict[Any, str] = {}
        self._idle: set[Any] = set()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, sock: Any, address: str) -> bool:
        """Whether one more may be; an idle one has to go for it, of the same address if that has
        too many."""
        of_address = [each for each, owner in self._open.items() if owner == address]
        if len(of_address) >= CONNECTIONS_OF_ONE_ADDRESS:
            admitted = self._drop_idle(of_address)
        elif len(self._open) >= CONNECTIONS:
            admitted = self._drop_idle(list(self._open))
        else:
            admitted = True
        if admitted:
            self._open[sock] = address
        return admitted

    def _drop_idle(self, among: list[Any]) -> bool:
        for sock in among:
            if sock in self._idle:
                self.closed(sock)
                sock.shutdown_quietly()
                return True
        return False

    def idle(self, sock: Any, idle: bool) -> None:
        if idle and sock in self._open:
            self._idle.add(sock)
        else:
            self._idle.discard(sock)

    def closed(self, sock: Any) -> None:
        self._open.pop(sock, None)
        self._idle.discard(sock)


class _Server(WSGIServer):
    connections: _Connections

    def handle(self, sock: Any, address: Any) -> None:
        connection = _Connection(sock)
        if not self.connections.admit(connection, str(address[0])):
            connection.refuse()
            return
        try:
            handler = self.handler_class(sock, address, self)
            handler.connection = connection
            handler.handle()
        finally:
            self.connections.closed(connection)


class _Connection:
    """A socket, as `_Connections` knows it."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def shutdown_quietly(self) -> None:
        """Its greenlet, which waits for a request, sees the end of it."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        with suppress(OSError):
            self._sock.settimeout(1.0)
            self._sock.sendall(_REFUSED % b"503 Service Unavailable")


class _Handler(WSGIHandler):
    """One connection. Clients that are slow, gone or too talkative cost nothing but themselves."""

    rfile: Any
    connection: _Connection

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        sock.settimeout(CLIENT_TIMEOUT_SEC)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._served = 0
        self._took_sec = 0.0
        super().__init__(sock, address, server)

    def handle_one_request(self) -> Any:
        if self._served:
            gevent.sleep(BETWEEN_REQUESTS_SEC + self._took_sec)
        self._served += 1
        return super().handle_one_request()

    def read_requestline(self) -> Any:
        self.server.connections.idle(self.connection, True)
        try:
            with _in_time():
                return super().read_requestline()
        finally:
            self.server.connections.idle(self.connection, False)

    def read_request(self, raw_requestline: str) -> Any:
        whole, self.rfile = self.rfile, _Head(self.rfile)
        try:
            with _in_time():
                return super().read_request(raw_requestline)
        finally:
            self.rfile = whole

    def handle_one_response(self) -> None:
        # Refused here, or the server would read such a body to its end, to throw it away.
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True
            self.socket.sendall(_REFUSED % refusal)
            return
        try:
            with _in_time():
                self.environ["wsgi.input"] = io.BytesIO(self.wsgi_input.read())
        except OSError:
            self.close_connection = True
            return
        began = time.monotonic()
        super().handle_one_response()
        self._took_sec = min(time.monotonic() - began, 1.0)
        if self._served >= REQUESTS_OF_A_CONNECTION:
            self.close_connection = True

    def _refusal(self) -> bytes | None:
        lengths = self.headers.get_all("Content-Length", ["0"])
        if "HTTP_TRANSFER_ENCODING" in self.environ or not lengths[0].isdigit():
            return b"411 Length Required"
        if len(lengths) > 1:
            return b"400 Bad Request"  # a proxy before us may believe the other one
        if len(lengths[0]) > 9 or int(lengths[0]) > MAX_BODY_BYTES:
            return b"413 Request Entity Too Large"
        return None

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OSError):
            self.close_connection = True  # the client is gone or too slow
        else:
            super().handle_error(kind, error, trace)

    def _handle_client_error(self, error: Exception) -> Any:
        if isinstance(error, _HeadTooLarge):
            return ("431", _REFUSED % b"431 Request Header Fields Too Large")
        # What is no HTTP is answered and not logged: anyone could fill the agent's log with it.
        return None if isinstance(error, OSError) else ("400", _REFUSED % b"400 Bad Request")


class _HeadTooLarge(Exception):
    """A request's headers are more than anyone needs."""


class _HeadUnclear(Exception):
    """A line of it that a proxy before us may read in another way (RFC 9112 §5.1, §5.2)."""


_HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\r]*\r?\n|\r?\n|")


class _Head:
    """What a request's headers are read from: no more than MAX_HEAD_BYTES of it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = MAX_HEAD_BYTES

    def readline(self, most: int = -1) -> bytes:
        line: bytes = self._file.readline(self._left + 1 if most < 0 else min(most, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise _HeadTooLarge
        if not _HEADER_LINE.fullmatch(line):
            raise _HeadUnclear
        return line


def _in_time() -> gevent.Timeout:
    """For all of a request's line, head or body: a byte now and then does not hold it open."""
    return gevent.Timeout(CLIENT_TIMEOUT_SEC, TimeoutError("the client is too slow"))
