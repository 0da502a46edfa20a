"""The listening socket of the page: bound, moved when the configuration moves, and its faults told.

gevent's own WSGI server, one greenlet a connection, everything with a bound: connections, the size
of a request, the time a client may take to send one and to take its answer.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from VenAgent.config.web_config import WebConfig
from VenAgent.web.access_guard import AccessGuard
from VenAgent.web.http_messages import MAX_BODY_BYTES
from VenAgent.web.live_stream import LiveStream
from VenAgent.web.page_source import PageSource
from VenAgent.web.static_assets import StaticAssets
from VenAgent.web.wsgi_app import WsgiApp

_log = logging.getLogger(__name__)

CONNECTIONS = 64
CLIENT_TIMEOUT_SEC = 10.0
"""For a client to send its request, to take an answer, or to say more on an open connection."""
SEND_BUFFER_BYTES = 262_144
"""What the kernel may hold for a client that does not read."""
MAX_HEAD_BYTES = 16_384
"""Of all headers of a request; without it each connection could hold megabytes."""
RETRY_SEC = 5.0
STOP_SEC = 0.2

_REFUSED = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class PageServer:
    """The page of one site. `on_change`: `failure` is another than before."""

    def __init__(self, site: PageSource, on_change: Callable[[], None]) -> None:
        self._site = site
        self._on_change = on_change
        self._assets = StaticAssets()
        self._settings: WebConfig | None = None
        self._server: WSGIServer | None = None
        self._stream: LiveStream | None = None
        self._retry: gevent.Greenlet | None = None
        self.failure: str | None = None
        """Why the page is not served; None while it is, or is not wanted."""

    @property
    def port(self) -> int | None:
        """The port it listens at; None if it does not."""
        return None if self._server is None else int(self._server.server_port)

    def apply(self, settings: WebConfig | None) -> None:
        """Serve as `settings` say; not at all with None or when not enabled. The same again:
        nothing happens."""
        if settings == self._settings:
            return
        self.stop()
        self._settings = settings
        if settings is not None and settings.enabled and not self._listen(settings):
            self._retry = gevent.spawn(self._keep_trying, settings)

    def touch(self) -> None:
        """Something changed: those who watch see it at once."""
        if self._stream is not None:
            self._stream.touch()

    def stop(self) -> None:
        """Close the socket and every connection."""
        self._settings = None
        if self._retry is not None:
            self._retry.kill(block=False)
            self._retry = None
        if self._stream is not None:
            self._stream.close()
        if self._server is not None:
            self._server.stop(timeout=STOP_SEC)
        self._server = self._stream = None
        self.failure = None

    def _keep_trying(self, settings: WebConfig) -> None:
        while not self._listen(settings):
            gevent.sleep(RETRY_SEC)

    def _listen(self, settings: WebConfig) -> bool:
        """Bind and serve; whether that worked."""
        guard = AccessGuard(
            token=settings.secret,
            names=(*settings.names, settings.host),
            cookie=f"ven_session_{settings.port}",
        )
        stream = LiveStream(self._site, settings.max_clients)
        app = WsgiApp(self._site, guard, stream.open, self._assets, read_only=settings.read_only)
        server = WSGIServer(
            (settings.host, settings.port),
            app,
            handler_class=_Handler,
            spawn=Pool(CONNECTIONS),
            log=None,
            error_log=_log,
        )
        try:
            server.start()
        except OSError as error:
            self._failed(_explain(settings, error))
            return False
        self._server, self._stream = server, stream
        self._failed(None)
        _log.info("the local page is at http://%s:%d", settings.host, server.server_port)
        return True

    def _failed(self, failure: str | None) -> None:
        if failure != self.failure:
            self.failure = failure
            if failure is not None:
                _log.error("%s", failure)
            self._on_change()


class _Handler(WSGIHandler):
    """One connection. Clients that are slow, gone or too talkative cost nothing but themselves."""

    rfile: Any

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        sock.settimeout(CLIENT_TIMEOUT_SEC)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().__init__(sock, address, server)

    def read_requestline(self) -> Any:
        with _in_time():
            return super().read_requestline()

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
        super().handle_one_response()

    def _refusal(self) -> bytes | None:
        length = self.environ.get("CONTENT_LENGTH", "0")
        if "HTTP_TRANSFER_ENCODING" in self.environ or not length.isdigit():
            return b"411 Length Required"
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
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
        return line


def _in_time() -> gevent.Timeout:
    """For all of a request's line, head or body: a byte now and then does not hold it open."""
    return gevent.Timeout(CLIENT_TIMEOUT_SEC, TimeoutError("the client is too slow"))


def _explain(settings: WebConfig, error: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    advice = {
        errno.EADDRINUSE: "another program uses this port: end it, or set web.port (or WEB_PORT)",
        errno.EACCES: "this user may not use this port: set web.port to 1024 or more",
        errno.EADDRNOTAVAIL: "this machine has no such address: correct web.host",
    }.get(error.errno or 0, error.strerror or os.strerror(error.errno or 0))
    return f"the local page cannot be served at {where}: {advice}"
