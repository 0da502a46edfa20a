"""The local page's server on real sockets: bounds, faults, moves. No platform: gevent only."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import gevent
import pytest
from gevent import socket as green

from tests.platform.site import wait_for
from tests.support.ports import free_port
from tests.web.fake_site import FakeSite
from VenAgent.config.web_config import WebConfig
from VenAgent.web import page_server as server_module
from VenAgent.web.page_server import CONNECTIONS, PageServer


class Served:
    """A page of a fake site, and what a client of it does."""

    def __init__(self) -> None:
        self.changes: list[str | None] = []
        self.site = FakeSite()
        self.page = PageServer(self.site, lambda: self.changes.append(self.page.failure))

    def apply(self, **settings: Any) -> None:
        self.page.apply(WebConfig(**{"port": 0, **settings}))

    def connect(self, port: int | None = None) -> Any:
        return green.create_connection(("127.0.0.1", port or self.page.port), timeout=10)

    def say(self, text: str, port: int | None = None) -> bytes:
        """The whole answer to a request, up to the end of the connection."""
        with closing(self.connect(port)) as connection:
            connection.sendall(text.encode())
            answer = b""
            with suppress(ConnectionResetError):
                while part := connection.recv(65_536):
                    answer += part
            return answer

    def get(self, path: str = "/api/status", port: int | None = None) -> bytes:
        return self.say(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", port
        )

    def watch(self) -> Any:
        """A live view."""
        connection = self.connect()
        connection.sendall(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return connection


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.page.stop()


def until(connection: Any, wanted: bytes) -> bytes:
    """What comes up to and with `wanted`."""
    text = b""
    while wanted not in text:
        part = connection.recv(65_536)
        assert part, text[-300:]
        text += part
    return text


def messages(connection: Any, wanted: Callable[[str, Any], bool]) -> Any:
    """The first message of the live view that is wanted."""
    text = b""
    while True:
        part = connection.recv(65_536)
        assert part, "the stream ended"
        text += part
        for block in text.split(b"\n\n")[:-1]:
            lines = block.split(b"\n")
            name = next((x[7:].decode() for x in lines if x.startswith(b"event: ")), "")
            data = next((x[6:] for x in lines if x.startswith(b"data: ")), b"")
            if name and wanted(name, json.loads(data)):
                return json.loads(data)


def test_it_answers_over_http(served: Served) -> None:
    served.apply()
    connection = http.client.HTTPConnection("127.0.0.1", served.page.port, timeout=10)
    with closing(connection):
        for path in ("/", "/static/page.js", "/api/status", "/api/history", "/metrics"):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read()


def test_a_live_view_gets_everything_once_and_then_what_changes(served: Served) -> None:
    served.apply()
    with closing(served.watch()) as view:
        head = until(view, b"event: alerts")
        assert b"Content-Type: text/event-stream" in head
        for name in (b"status", b"circuits", b"events"):
            assert b"event: " + name in head
        served.site.command({"op": "event", "shed_kw": 5.0})
        served.page.touch()
        event = messages(view, lambda name, value: name == "status" and value["event"])["event"]
        assert event["requested_kw"] == 5.0
        switched = {"op": "setLoad", "loadId": "dryer1", "enabled": False}
        served.site.command(switched)
        served.page.touch()
        rows = messages(view, lambda name, value: name == "circuits" and not value[3]["enabled"])
        assert rows[3]["state"] == "off"


def test_a_live_view_speaks_every_second_without_any_change(served: Served) -> None:
    served.apply()
    with closing(served.watch()) as view:
        first = messages(view, lambda name, value: name == "status")["ts"]
        messages(view, lambda name, value: name == "status" and value["ts"] > first)


def test_a_live_view_ends_when_its_session_does(served: Served) -> None:
    served.apply()
    stream = served.page._stream
    parts = list(stream.open(served.site.status()["ts"] + 3.0))
    assert parts[0].startswith(b"retry")
    assert b"event: status" in parts[1]


def test_so_many_live_views_and_no_more_and_one_that_leaves_makes_room(served: Served) -> None:
    served.apply(max_clients=2)
    first, second = served.watch(), served.watch()
    until(first, b"event: status")
    until(second, b"event: status")
    assert b"503 Service Unavailable" in served.say(
        "GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    assert b"200 OK" in served.get()
    first.close()
    wait_for(lambda: served.page._stream.clients == 1, "the view that left is noticed")
    third = served.watch()
    until(third, b"event: status")
    second.close()
    third.close()
    wait_for(lambda: served.page._stream.clients == 0, "all have left")
    wait_for(lambda: served.page._stream._looker.dead, "nobody watches: nothing is looked at")


def test_a_client_that_does_not_read_is_dropped(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CLIENT_TIMEOUT_SEC", 0.3)
    monkeypatch.setattr(server_module, "SEND_BUFFER_BYTES", 4096)
    monkeypatch.setattr("VenAgent.web.live_stream.LOOK_EVERY_SEC", 0.01)
    served.site.house[0].name = "x" * 200_000
    served.apply()
    with closing(served.connect()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: served.page._stream.clients == 1, "it watches")
        wait_for(lambda: served.page._stream.clients == 0, "it is dropped")
    monkeypatch.undo()
    assert b"200 OK" in served.get("/healthz")


def test_a_client_that_says_nothing_is_dropped(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CLIENT_TIMEOUT_SEC", 0.2)
    served.apply()
    for text in (b"", b"GET / HT", b"POST /api/events HTTP/1.1\r\nContent-Length: 9\r\nHost:"):
        with closing(served.connect()) as connection:
            connection.sendall(text)
            assert connection.recv(100) == b""


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST /api/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999\r\n\r\n",
    ],
)
def test_a_client_that_says_a_letter_now_and_then_is_dropped(
    served: Served, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(server_module, "CLIENT_TIMEOUT_SEC", 0.3)
    served.apply()
    with closing(served.connect()) as connection:
        connection.sendall(begin)

        wait_for(lambda: len(served.page._server.pool) == 1, "it is served")

        def dropped() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return len(served.page._server.pool) == 0

        wait_for(dropped, "it is dropped")
    assert served.site.commands == []


def test_the_connections_are_bounded_and_idle_ones_make_room(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CLIENT_TIMEOUT_SEC", 0.5)
    served.apply()
    idle = [served.connect() for _ in range(CONNECTIONS + 5)]
    wait_for(lambda: b"200 OK" in served.get(), "there is room")
    assert len(served.page._server.pool) <= CONNECTIONS
    for connection in idle:
        connection.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: 999999999999", b"413"),
        ("Content-Length: 20000", b"413"),
        ("Transfer-Encoding: chunked", b"411"),
        ("Content-Length: -1", b"400"),
        ("Content-Length: x", b"400"),
    ],
)
def test_a_body_too_large_or_of_unknown_size_is_not_read(
    served: Served, head: str, status: bytes
) -> None:
    served.apply()
    answer = served.say(f"POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert served.site.commands == []


def test_a_request_line_too_long_is_refused(served: Served) -> None:
    served.apply()
    assert b" 414 " in served.say(f"GET /{'a' * 9000} HTTP/1.1\r\n\r\n").split(b"\r\n")[0]
    assert b"200 OK" in served.get()


@pytest.mark.parametrize(
    ("count", "size", "status"), [(1, 20_000, b"431"), (90, 200, b"431"), (200, 2, b"400")]
)
def test_headers_too_large_are_neither_read_nor_logged(
    served: Served, caplog: pytest.LogCaptureFixture, count: int, size: int, status: bytes
) -> None:
    """Or each of 64 connections could hold six megabytes, before any token is asked for."""
    served.apply()
    caplog.clear()
    head = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{'X-A: ' + 'a' * size}"
    with closing(served.connect()) as connection:
        connection.sendall(head.encode() + f"\r\nX-A: {'a' * size}".encode() * (count - 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 " + status)
    assert caplog.text == ""
    assert b"200 OK" in served.get("/healthz")


def test_a_view_that_fails_is_logged_once_and_comes_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("VenAgent.web.live_stream.LOOK_EVERY_SEC", 0.01)
    alerts: dict[str, Any] = {"active": [float("nan")]}
    monkeypatch.setattr(served.site, "alerts", lambda: alerts)
    served.apply()
    with closing(served.watch()) as view:
        for _ in range(3):
            now = messages(view, lambda name, value: name == "status")["ts"]
            messages(view, lambda name, value, now=now: name == "status" and value["ts"] > now)
        assert caplog.text.count("the live view of alerts") == 1
        alerts["active"] = []
        assert messages(view, lambda name, value: name == "alerts") == {"active": []}


def test_a_port_in_use_is_said_and_served_as_soon_as_it_is_free(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "RETRY_SEC", 0.05)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        served.apply(port=port)
        assert served.page.port is None
        assert served.page.failure == (
            f"the local page cannot be served at 127.0.0.1:{port}: another program uses this "
            f"port: end it, or set web.port (or WEB_PORT)"
        )
        assert served.changes == [served.page.failure]
    wait_for(lambda: served.page.port == port, "it is served")
    assert served.changes[-1] is None
    assert b"200 OK" in served.get()


def test_an_address_that_is_not_ours_is_said(served: Served) -> None:
    served.apply(host="192.0.2.1", token="a-token-of-more-than-16")
    assert "this machine has no such address: correct web.host" in str(served.page.failure)
    served.page.stop()
    assert served.page.failure is None


def test_a_change_of_the_configuration_moves_it_and_ends_its_live_views(served: Served) -> None:
    served.apply()
    before = served.page.port
    with closing(served.watch()) as view:
        until(view, b"event: status")
        moved = free_port()
        served.apply(port=moved)
        with suppress(ConnectionResetError):
            while view.recv(65_536):
                gevent.sleep(0)
    assert b"200 OK" in served.get(port=moved)
    with pytest.raises(ConnectionRefusedError):
        served.get(port=before)
    served.apply(port=moved, read_only=True)
    assert b'"read_only":true' in served.get("/api/session")
    served.apply(enabled=False)
    assert served.page.port is None
    with pytest.raises(ConnectionRefusedError):
        served.get(port=moved)


def test_the_same_configuration_again_disturbs_nobody(served: Served) -> None:
    served.apply()
    port = served.page.port
    with closing(served.watch()) as view:
        until(view, b"event: status")
        served.apply()
        assert served.page.port == port
        until(view, b"event: status")
