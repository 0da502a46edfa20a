"""The live view: one look at the site a second, or at once on a change, for all who watch.

What is sent stands in one place, in its newest form, with a number that grows; each watcher
remembers the numbers it has sent on. So a slow watcher skips, and nothing queues for it. Nobody
watches: nothing is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent
from gevent.event import Event

from VenAgent.web.http_messages import http_json_bytes
from VenAgent.web.page_source import PageReadSource

_log = logging.getLogger(__name__)

LOOK_EVERY_SEC = 1.0
GATHER_SEC = 0.1
"""After a change the next look waits so long: an event's first steps go undisturbed, and many
changes at once make one message."""
EVENTS_SHOWN = 12
RETRY_MS = 1000
"""When a browser that lost the stream asks again."""


class LiveStream:
    """The live view of one site, for at most `max_clients` at a time."""

    def __init__(self, site: PageReadSource, max_clients: int) -> None:
        self._looks: dict[str, Callable[[], Any]] = {
            "status": site.status,
            "circuits": lambda: list(site.circuits()),
            "events": lambda: list(site.events(EVENTS_SHOWN)),
            "alerts": site.alerts,
        }
        self._max_clients = max_clients
        self._latest: dict[str, tuple[int, bytes]] = {}
        self._number = 0
        self._failing: set[str] = set()
        self._touched = Event()
        self._fresh = Event()
        self._looker: gevent.Greenlet | None = None
        self.clients = 0

    def touch(self) -> None:
        """Something changed. Costs next to nothing: the look is taken in another greenlet."""
        self._touched.set()

    def open(self, until_ts: float | None = None) -> Iterator[bytes] | None:
        """What one more client is sent, until its session ends (epoch s); None when there are as
        many as may be."""
        if self.clients >= self._max_clients:
            return None
        self.clients += 1
        return _Watch(self, until_ts)

    def close(self) -> None:
        """Stop looking; the clients' own greenlets end with the server."""
        if self._looker is not None:
            self._looker.kill(block=False)
            self._looker = None

    def client_closed(self) -> None:
        self.clients -= 1

    def newer_than(self, seen: Mapping[str, int]) -> dict[str, tuple[int, bytes]]:
        """What a client that has `seen` these numbers lacks; waits until there is something."""
        if not self._looker:  # none yet, or it ended
            self._looker = gevent.spawn(self._keep_looking)
        while True:
            lacking = {
                name: known for name, known in self._latest.items() if known[0] != seen.get(name)
            }
            if lacking:
                return lacking
            self._fresh.wait()

    def _keep_looking(self) -> None:
        while self.clients:
            self._look()
            if self._touched.wait(LOOK_EVERY_SEC):
                gevent.sleep(GATHER_SEC)
        self._latest.clear()  # it would be old when the next client comes

    def _look(self) -> None:
        self._touched.clear()
        for name, look in self._looks.items():
            try:
                seen = http_json_bytes(look())
            except Exception:  # noqa: BLE001  the watchers see that it stands still, and say so
                if name not in self._failing:  # once, not every second
                    self._failing.add(name)
                    _log.exception("the live view of %s", name)
                continue
            self._failing.discard(name)
            if name not in self._latest or self._latest[name][1] != seen:
                self._number += 1
                self._latest[name] = (self._number, seen)
        waiting, self._fresh = self._fresh, Event()
        waiting.set()


class _Watch:
    """One client's stream. The server closes it, also when the client went before its first."""

    def __init__(self, stream: LiveStream, until_ts: float | None) -> None:
        self._stream = stream
        self._until_ts = until_ts
        self._seen: dict[str, int] = {}
        self._begun = self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
            return b"retry: %d\n\n" % RETRY_MS
        messages = []
        lacking = self._stream.newer_than(self._seen)
        if self._until_ts is not None and time.time() >= self._until_ts:
            raise StopIteration
        for name, (number, text) in lacking.items():
            self._seen[name] = number
            messages.append(b"event: %s\ndata: %s\n\n" % (name.encode(), text))
        return b"".join(messages)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._stream.client_closed()
