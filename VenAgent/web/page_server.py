"""The agent's side of the page: its listening socket, the process that serves it, and its faults.

The socket is bound here, so that a port in use is reported at once. The process is started when
somebody connects, and ends when nobody has looked for a while: until then it costs nothing. What
it asks is answered one after the other, with a pause in between that grows with what the answer
took, so that no number of requests holds up an event.
"""

from __future__ import annotations

import errno
import logging
import os
import posix
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer

from VenAgent.config.web_config import WebConfig
from VenAgent.web.page_changes import PageChanges
from VenAgent.web.page_channel import PageChannel
from VenAgent.web.page_settings import PageSettings
from VenAgent.web.page_source import PageSource

_log = logging.getLogger(__name__)

BACKLOG = 128
RETRY_SEC = 5.0
IDLE_SEC = 300.0
"""The process ends when for so long nobody was connected."""
REST_PER_ANSWER = 9.0
"""After an answer the page is not listened to for nine times as long as it took: of the agent's
time it gets a tenth at most."""
LEAST_REST_SEC = 0.002
LONGEST_REST_SEC = 1.0
WAIT_FOR_EVENT_SEC = 0.25
"""While an event's circuits are being written, the page waits up to so long."""
CHANGES_AT_ONCE = 4
PORTS_TRIED = 20
"""From the usual port on, where the configuration names none."""
LASTED_SEC = 10.0
"""A process that ended sooner is not started again at once."""
STOP_SEC = 1.0
CHANNEL_FD, LISTENER_FD = 3, 4
_ROOT = str(Path(__file__).parents[2])
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class PageServer:
    """The page of one site. `on_change`: `failure` is another than before; `is_at_work`: the
    engine is in the middle of something."""

    def __init__(
        self,
        site: PageSource,
        on_change: Callable[[], None],
        is_at_work: Callable[[], bool] = lambda: False,
    ) -> None:
        self._site = site
        self._changes = PageChanges(site)
        self._on_change = on_change
        self._is_at_work = is_at_work
        self._csrf_token = secrets.token_urlsafe(24)
        self._settings: WebConfig | None = None
        self._listener: Any = None
        self._process: _Process | None = None
        self._keeper: gevent.Greenlet | None = None
        self.failure: str | None = None
        """Why the page is not served; None while it is, or is not wanted."""
        self.moved: str | None = None
        """That it is at another port than its usual one, in a sentence; None if it is not."""

    @property
    def port(self) -> int | None:
        """The port it listens at; None if it does not."""
        return None if self._listener is None else int(self._listener.getsockname()[1])

    @property
    def url(self) -> str | None:
        """Where a browser on this machine finds it; None if it is not served."""
        if self._settings is None or self.port is None:
            return None
        host = self._settings.host
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self._settings.prefix}"

    @property
    def process_id(self) -> int | None:
        """Of the process that serves the page; None while nobody looks."""
        return None if self._process is None else self._process.pid

    def apply(self, settings: WebConfig | None) -> None:
        """Serve as `settings` say; not at all with None or when not enabled. The same again:
        nothing happens."""
        if settings == self._settings:
            return
        self.stop()
        self._settings = settings
        if settings is not None and settings.enabled:
            self._listen(settings)
            self._keeper = gevent.spawn(self._keep_serving, settings)

    def touch(self) -> None:
        """Something changed: those who watch see it at once."""
        if self._process is not None:
            self._process.touch()

    def stop(self) -> None:
        """Close the socket and every connection."""
        self._settings = None
        if self._keeper is not None:
            self._keeper.kill(timeout=STOP_SEC)
            self._keeper = None
        if self._process is not None:
            self._process.end()
            self._process = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.failure = self.moved = None

    # ---- the socket ------------------------------------------------------------------------

    def _listen(self, settings: WebConfig) -> bool:
        """Bind; whether that worked. A port that the configuration names is used or missed; the
        usual one makes way for another program's."""
        named = "port" in settings.model_fields_set
        ports = [settings.port] if named else range(settings.port, settings.port + PORTS_TRIED)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        for port in ports:
            try:
                self._listener = StreamServer.get_listener((settings.host, port), BACKLOG, family)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == ports[-1]:
                    self._failed(_explain(settings, error))
                    return False
        moved = self.port != settings.port and not named
        self.moved = _explain_move(settings, self.url) if moved else None
        self._failed(None)
        _log.info("the local page is at %s", self.url)
        if self.moved is not None:
            _log.warning("%s", self.moved)
        return True

    def _failed(self, failure: str | None) -> None:
        if failure != self.failure:
            self.failure = failure
            if failure is not None:
                _log.error("%s", failure)
            self._on_change()

    # ---- the process -----------------------------------------------------------------------

    def _keep_serving(self, settings: WebConfig) -> None:
        while self._listener is None:
            gevent.sleep(RETRY_SEC)
            self._listen(settings)
        while True:
            socket.wait_read(self._listener.fileno())
            started = time.monotonic()
            try:
                process = self._process = _Process(self._listener, self._page_settings(settings))
            except OSError as error:
                self._failed(f"the local page has no process: {error.strerror or error}")
                gevent.sleep(RETRY_SEC)
                continue
            self._serve(process)
            process.wait(STOP_SEC)
            process.end()
            self._process = None
            if not process.has_left:
                self._failed("the local page's process ended by itself: the log says why")
                if time.monotonic() - started < LASTED_SEC:
                    gevent.sleep(RETRY_SEC)

    def _page_settings(self, settings: WebConfig) -> PageSettings:
        return PageSettings(
            token=settings.secret,
            names=(*settings.names, settings.host),
            cookie=f"ven_session_{self.port}",
            read_only=settings.read_only,
            max_clients=settings.max_clients,
            prefix=settings.prefix,
            proxies=settings.proxies,
            site_name=settings.site_name,
            csrf_token=self._csrf_token,
        )

    def _serve(self, process: _Process) -> None:
        """Answer what the process asks, until it ends."""
        for message in process.channel.messages():
            self._failed(None)
            if "leaving" in message:
                process.has_left = True
            elif "log" in message:
                level, text = message["log"]
                _log.log(int(level), "the local page: %s", text)
            elif "change" in message:
                self._change(process, message)
            else:
                page_server_yields_to_event(self._is_at_work)
                began = time.thread_time()
                process.answer(message, self._read)
                rest_sec = (time.thread_time() - began) * REST_PER_ANSWER
                gevent.sleep(min(max(rest_sec, LEAST_REST_SEC), LONGEST_REST_SEC))

    def _read(self, message: Mapping[str, Any]) -> Any:
        site = self._site
        reads: dict[str, Callable[..., Any]] = {
            "status": site.status,
            "circuits": lambda: list(site.circuits()),
            "events": lambda limit: list(site.events(int(limit))),
            "alerts": site.alerts,
            "history": site.history,
            "event_in_full": site.event_in_full,
            "interval_power": site.interval_power,
            "minute_power": site.minute_power,
        }
        return reads[message["read"]](*message.get("of", ()))

    def _change(self, process: _Process, message: Mapping[str, Any]) -> None:
        """A command waits for its ack: in a greenlet of its own, so many at a time."""
        if process.changes >= CHANGES_AT_ONCE:
            process.answer(message, _too_many_changes)
            return
        process.changes += 1
        gevent.spawn(process.answer, message, self._make_change).link(process.change_done)

    def _make_change(self, message: Mapping[str, Any]) -> Any:
        status, body = self._changes.change(message["change"], message["item"], message["body"])
        return {"status": int(status), "body": body}


def page_server_yields_to_event(is_at_work: Callable[[], bool]) -> None:
    """Others have a turn; while an event's circuits are being written, all of it, for a while."""
    gevent.sleep(0)
    deadline = time.monotonic() + WAIT_FOR_EVENT_SEC
    while is_at_work() and time.monotonic() < deadline:
        gevent.sleep(0.01)


class _Process:
    """One run of page_process.py, and the channel to it. Raises OSError if there can be none."""

    def __init__(self, listener: Any, settings: PageSettings) -> None:
        ours, theirs = socket.socketpair()
        self.channel = PageChannel(ours)
        self.changes = 0
        self.has_left = False
        """It ends by itself, because nobody looks."""
        self._ended = False
        self._touched = False
        # The system's own call: gevent's processes watch for SIGCHLD, which is VOLTTRON's to use.
        try:
            self.pid = posix.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "VenAgent.web.page_process", *map(str, _FDS)],
                _environment(),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    # First out of the way: the one may have the number that the other is to get.
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 20),
                    (os.POSIX_SPAWN_DUP2, listener.fileno(), 21),
                    (os.POSIX_SPAWN_DUP2, 20, CHANNEL_FD),
                    (os.POSIX_SPAWN_DUP2, 21, LISTENER_FD),
                    (os.POSIX_SPAWN_CLOSE, 20),
                    (os.POSIX_SPAWN_CLOSE, 21),
                ],
            )
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.channel.send({"settings": settings.as_json(), "idle_sec": IDLE_SEC})

    def touch(self) -> None:
        """Tell it that something changed; what it has not taken yet says so already."""
        if not self._touched:
            self._touched = True
            gevent.spawn(self._send_touch)

    def _send_touch(self) -> None:
        self._touched = False
        with suppress(OSError, ValueError):
            self.channel.send({"touched": True})

    def answer(
        self, message: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], Any]
    ) -> None:
        """Send what `answer` returns, or that it failed."""
        number = message.get("id", 0)
        try:
            self.channel.send({"id": number, "result": answer(message)})
        except OSError:
            pass  # it is gone: `messages` ends
        except (Exception, gevent.Timeout):  # noqa: BLE001  a fault of the page stays the page's
            name = message.get("read") or message.get("change")
            _log.exception("the local page asked for %s", name)
            with suppress(OSError):
                self.channel.send({"id": number, "error": f"{name}: the agent's log says why"})

    def change_done(self, _greenlet: Any) -> None:
        self.changes -= 1

    def end(self) -> None:
        """Close the channel, and see to it that the process is gone."""
        self.channel.close()
        if not self._has_ended():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait(STOP_SEC)

    def wait(self, most_sec: float) -> None:
        """Until it has ended, but no longer than that."""
        deadline = time.monotonic() + most_sec
        while not self._has_ended() and time.monotonic() < deadline:
            gevent.sleep(0.005)

    def _has_ended(self) -> bool:
        if not self._ended:
            try:
                pid, _status = posix.waitpid(self.pid, os.WNOHANG)
                self._ended = pid != 0
            except ChildProcessError:  # someone else took note of its end
                self._ended = True
        return self._ended


_FDS = (CHANNEL_FD, LISTENER_FD)


def _environment() -> dict[str, str]:
    """Nothing that the page has no use for: the agent's may hold keys of AWS."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(("PYTHON", "LC_"))
    }
    paths = [_ROOT, *filter(None, [kept.get("PYTHONPATH", "")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _too_many_changes(_message: Mapping[str, Any]) -> Any:
    reason = "other changes are being made: try again in a moment"
    return {"status": int(HTTPStatus.SERVICE_UNAVAILABLE), "body": {"error": reason}}


def _explain(settings: WebConfig, error: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    advice = {
        errno.EADDRINUSE: "another program uses this port: end it, or set web.port (or WEB_PORT)",
        errno.EACCES: "this user may not use this port: set web.port to 1024 or more",
        errno.EADDRNOTAVAIL: "this machine has no such address: correct web.host",
    }.get(error.errno or 0, error.strerror or os.strerror(error.errno or 0))
    return f"the local page cannot be served at {where}: {advice}"


def _explain_move(settings: WebConfig, url: str | None) -> str:
    return (
        f"the local page is at {url}: another program uses port {settings.port} "
        f"(set web.port, or WEB_PORT, to choose)"
    )
