"""The local page's server on real sockets: bounds, faults, moves. No platform: gevent only."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as green
from gevent import subprocess

from tests.platform.site import ROOT, process, wait_for
from tests.support.ports import free_port
from tests.web.fake_site import FakeSite
from VenAgent.config.web_config import WebConfig
from VenAgent.web import http_server, page_server
from VenAgent.web.http_server import CONNECTIONS, CONNECTIONS_OF_ONE_ADDRESS, HttpServer
from VenAgent.web.page_changes import PageChanges
from VenAgent.web.page_server import PageServer
from VenAgent.web.page_settings import PageSettings


class Served:
    """A page of a fake site as the agent serves it, with a process of its own."""

    def __init__(self) -> None:
        self.changes: list[str | None] = []
        self.site = FakeSite()
        self.page = PageServer(self.site, lambda: self.changes.append(self.page.failure))

    def apply(self, **settings: Any) -> None:
        self.page.apply(WebConfig(**{"port": 0, **settings}))

    @property
    def port(self) -> int | None:
        return self.page.port

    def touch(self) -> None:
        self.page.touch()

    def stop(self) -> None:
        self.page.stop()

    def connect(self, port: int | None = None) -> Any:
        return green.create_connection(("127.0.0.1", port or self.port), timeout=60)

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


class ServedHere(Served):
    """The same without the process, so that a test can look into the server and change its
    bounds."""

    http: HttpServer

    def apply(self, **settings: Any) -> None:
        self._listener = green.create_server(("127.0.0.1", 0))
        changes = PageChanges(self.site)
        self.http = HttpServer(self._listener, self.site, changes.change, PageSettings(**settings))
        self.http.start()

    @property
    def port(self) -> int | None:
        return int(self._listener.getsockname()[1])

    def touch(self) -> None:
        self.http.touch()

    def stop(self) -> None:
        self.http.stop()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def here() -> Iterator[ServedHere]:
    here = ServedHere()
    yield here
    here.stop()


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
    connection = http.client.HTTPConnection("127.0.0.1", served.page.port, timeout=60)
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
        served.touch()
        event = messages(view, lambda name, value: name == "status" and value["event"])["event"]
        assert event["requested_kw"] == 5.0
        switched = {"op": "setLoad", "loadId": "dryer1", "enabled": False}
        served.site.command(switched)
        served.touch()
        rows = messages(view, lambda name, value: name == "circuits" and not value[3]["enabled"])
        assert rows[3]["state"] == "off"


def test_a_live_view_speaks_every_second_without_any_change(served: Served) -> None:
    served.apply()
    with closing(served.watch()) as view:
        first = messages(view, lambda name, value: name == "status")["ts"]
        messages(view, lambda name, value: name == "status" and value["ts"] > first)


def test_a_live_view_ends_when_its_session_does(here: ServedHere) -> None:
    here.apply()
    stream = here.http.stream
    parts = list(stream.open(here.site.status()["ts"] + 3.0))
    assert parts[0].startswith(b"retry")
    assert b"event: status" in parts[1]


def test_so_many_live_views_and_no_more_and_one_that_leaves_makes_room(here: ServedHere) -> None:
    here.apply(max_clients=2)
    first, second = here.watch(), here.watch()
    until(first, b"event: status")
    until(second, b"event: status")
    assert b"503 Service Unavailable" in here.say(
        "GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    assert b"200 OK" in here.get()
    first.close()
    wait_for(lambda: here.http.stream.clients == 1, "the view that left is noticed")
    third = here.watch()
    until(third, b"event: status")
    second.close()
    third.close()
    wait_for(lambda: here.http.stream.clients == 0, "all have left")
    wait_for(lambda: here.http.stream._looker.dead, "nobody watches: nothing is looked at")


def test_a_client_that_does_not_read_is_dropped(
    here: ServedHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CLIENT_TIMEOUT_SEC", 0.3)
    monkeypatch.setattr(http_server, "SEND_BUFFER_BYTES", 4096)
    monkeypatch.setattr("VenAgent.web.live_stream.LOOK_EVERY_SEC", 0.01)
    here.site.house[0].name = "x" * 200_000
    here.apply()
    with closing(here.connect()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: here.http.stream.clients == 1, "it watches")
        wait_for(lambda: here.http.stream.clients == 0, "it is dropped")
    monkeypatch.undo()
    assert b"200 OK" in here.get("/healthz")


def test_a_client_that_says_nothing_is_dropped(
    here: ServedHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CLIENT_TIMEOUT_SEC", 0.2)
    here.apply()
    for text in (b"", b"GET / HT", b"POST /api/events HTTP/1.1\r\nContent-Length: 9\r\nHost:"):
        with closing(here.connect()) as connection:
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
    here: ServedHere, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(http_server, "CLIENT_TIMEOUT_SEC", 0.3)
    here.apply()
    with closing(here.connect()) as connection:
        connection.sendall(begin)

        wait_for(lambda: len(here.http.connections) == 1, "it is served")

        def dropped() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return len(here.http.connections) == 0

        wait_for(dropped, "it is dropped")
    assert here.site.commands == []


def test_the_connections_are_bounded_and_idle_ones_make_room(here: ServedHere) -> None:
    here.apply()
    idle = [here.connect() for _ in range(CONNECTIONS + 5)]
    assert b"200 OK" in here.get()
    assert len(here.http.connections) <= CONNECTIONS_OF_ONE_ADDRESS < CONNECTIONS
    for connection in idle:
        connection.close()


def test_an_address_with_too_many_connections_at_work_is_refused(
    here: ServedHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS_OF_ONE_ADDRESS", 2)
    here.apply()
    views = [here.watch(), here.watch()]
    for view in views:
        until(view, b"event: status")
    assert here.get().startswith(b"HTTP/1.1 503 ")
    views[0].close()
    wait_for(lambda: b"200 OK" in here.get(), "there is room")
    views[1].close()


def test_many_requests_sent_ahead_let_others_come_between(here: ServedHere) -> None:
    here.apply()
    request = b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with closing(here.connect()) as greedy:
        greedy.sendall(request * 200)
        answers = greedy.recv(65_536)
        assert b"200 OK" in here.get()
        greedy.settimeout(0.0)
        with suppress(BlockingIOError, TimeoutError):
            while part := greedy.recv(65_536):
                answers += part
        assert 1 <= answers.count(b"200 OK") < 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: 999999999999", b"413"),
        ("Content-Length: 20000", b"413"),
        ("Transfer-Encoding: chunked", b"411"),
        ("Content-Length: -1", b"400"),
        ("Content-Length: x", b"400"),
        ("Content-Length: 2\r\nContent-Length: 3", b"400"),
        ("Content-Length: 2\r\nContent-Length: 2", b"400"),
        ("Content-Length: 2, 3", b"400"),
        ("Content-Length: +2", b"411"),
        ("Content-Length: 2_0", b"411"),
        ("Content-Length : 2", b"400"),
        ("X-A: a\r\n Content-Length: 2", b"400"),
        ("X-A: a\r\n\tb\r\nContent-Length: 2", b"400"),
        ("X-A\x00: a\r\nContent-Length: 2", b"400"),
        ("X-A: a\x00\r\nContent-Length: 2", b"400"),
        ("X-A: a\rTransfer-Encoding: chunked\r\nContent-Length: 2", b"400"),
        ("no colon at all\r\nContent-Length: 2", b"400"),
        ("Transfer-Encoding: x\r\nContent-Length: 2", b"411"),
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
    here: ServedHere, caplog: pytest.LogCaptureFixture, count: int, size: int, status: bytes
) -> None:
    """Or each of 64 connections could hold six megabytes, before any token is asked for."""
    here.apply()
    caplog.clear()
    head = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{'X-A: ' + 'a' * size}"
    with closing(here.connect()) as connection:
        connection.sendall(head.encode() + f"\r\nX-A: {'a' * size}".encode() * (count - 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 " + status)
    assert caplog.text == ""
    assert b"200 OK" in here.get("/healthz")


def test_a_view_that_fails_is_logged_once_and_comes_again(
    here: ServedHere, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("VenAgent.web.live_stream.LOOK_EVERY_SEC", 0.01)
    alerts: dict[str, Any] = {"active": [float("nan")]}
    monkeypatch.setattr(here.site, "alerts", lambda: alerts)
    here.apply()
    with closing(here.watch()) as view:
        for _ in range(3):
            now = messages(view, lambda name, value: name == "status")["ts"]
            messages(view, lambda name, value, now=now: name == "status" and value["ts"] > now)
        assert caplog.text.count("the live view of alerts") == 1
        alerts["active"] = []
        assert messages(view, lambda name, value: name == "alerts") == {"active": []}


def test_a_port_in_use_is_said_and_served_as_soon_as_it_is_free(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "RETRY_SEC", 0.05)
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


def test_the_usual_port_makes_way_for_another_program_and_says_so(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as others:
        for _ in range(2):  # the second finds one that is still free
            with suppress(OSError):
                listener = others.enter_context(socket.socket())
                listener.bind(("127.0.0.1", 8080))
                listener.listen()
        served.page.apply(WebConfig())
        port = served.page.port
        assert port is not None
        assert 8080 < port < 8100
        assert served.page.failure is None
        assert served.page.url == f"http://127.0.0.1:{port}"
        assert served.page.moved == (
            f"the local page is at http://127.0.0.1:{port}: another program uses port 8080 "
            f"(set web.port, or WEB_PORT, to choose)"
        )
        assert served.page.moved in caplog.text
        assert b"200 OK" in served.get()
        served.page.stop()
        assert (served.page.url, served.page.moved) == (None, None)


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


# ---- the process ---------------------------------------------------------------------------


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_nobody_looks_and_there_is_no_process(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "IDLE_SEC", 0.2)
    served.apply()
    assert served.page.process_id is None
    with closing(served.watch()) as view:
        until(view, b"event: status")
        first = served.page.process_id
        assert first is not None
        messages(view, lambda name, value: name == "status")  # as long as somebody looks it stays
        assert served.page.process_id == first
    wait_for(lambda: served.page.process_id is None, "it ends")
    assert not exists(first)
    assert b"200 OK" in served.get()
    assert served.page.process_id not in (None, first)
    assert served.changes == []


def test_the_process_ends_with_the_page(served: Served) -> None:
    served.apply()
    served.get()
    pid = served.page.process_id
    assert pid is not None
    served.page.stop()
    assert not exists(pid)


def test_the_process_ends_with_an_agent_that_is_killed() -> None:
    command = [sys.executable, "-m", "tests.web.fake_site", "--port", "0"]
    with process(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        port = int(agent.stdout.readline().rpartition(":")[2])
        with closing(green.create_connection(("127.0.0.1", port), timeout=60)) as connection:
            connection.sendall(b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            until(connection, b"ven_id")
            children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
            assert len(children) == 1
            agent.kill()
            agent.wait(60)
            wait_for(lambda: not exists(int(children[0])), "the page's process is gone")


def test_a_process_that_is_killed_is_said_and_started_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "RETRY_SEC", 0.05)
    served.apply()
    served.get()
    first = served.page.process_id
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: served.changes, "it is noticed")
    assert "ended by itself" in str(served.changes[0])
    assert b"200 OK" in served.get()
    assert served.page.failure is None
    assert served.page.process_id != first


def test_the_process_is_told_no_secret_that_others_can_see(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-more-than-16"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-the-page")
    served.apply(token=token)
    assert b"401" in served.get()
    folder = Path(f"/proc/{served.page.process_id}")
    shown = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
    assert b"page_process" in shown
    assert token.encode() not in shown
    assert b"not-for-the-page" not in shown


def test_a_csrf_token_outlives_the_process(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "IDLE_SEC", 0.2)
    served.apply()
    before = served.get("/api/session").rpartition(b"\r\n")[2]
    wait_for(lambda: served.page.process_id is None, "it ends")
    assert served.get("/api/session").rpartition(b"\r\n")[2] == before


def test_a_fault_of_the_site_is_told_and_logged_by_the_agent(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(served.site, "history", lambda: {"ts": [float("nan")]})
    served.apply()
    assert b"500 Internal Server Error" in served.get("/api/history")
    assert "the local page asked for history" in caplog.text
    assert b"200 OK" in served.get()
