"""Power of the past in the page's process: asked of the agent page by page, and kept a while.

A page is short enough that the agent is not held up by one, and between two of them the agent
rests (page_server.py). One request at a time is collected; what is over does not change any more,
so its pages are kept here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from VenAgent.web.http_messages import HttpError
from VenAgent.web.page_source import PageReadSource

INTERVAL_SEC, INTERVALS_OF_A_PAGE = 900, 288
MINUTE_SEC, MINUTES_OF_A_PAGE = 60, 240
PAGES_KEPT = 256
KEPT_SEC = 900.0
"""A page that is over is asked for again after this: the clock may have been set back."""
SETTLED_SEC = 120.0
"""A page that ended so long ago is over."""
WAIT_SEC = 5.0

Columns = dict[str, list[Any]]


class _Lock(Protocol):
    def acquire(self, *, timeout: float) -> bool: ...

    def release(self) -> Any: ...


class PowerPages:
    """`lock` lets one reader in at a time; `pause` gives others a turn between two pages; `clock`
    tells epoch seconds."""

    def __init__(
        self,
        site: PageReadSource,
        lock: _Lock,
        pause: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._site = site
        self._clock = clock
        self._one_at_a_time = lock
        self._pause = pause
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, Columns]] = OrderedDict()

    def intervals(self, start_ts: float) -> Columns:
        """Means of 15 minutes from `start_ts` until now."""
        width = INTERVAL_SEC * INTERVALS_OF_A_PAGE
        with self._turn():
            return self._collect(
                ("intervals",),
                width,
                start_ts,
                self._clock(),
                lambda begin: self._site.interval_power(begin, INTERVALS_OF_A_PAGE),
            )

    def minutes(self, circuit_id: str | None, start_ts: float, end_ts: float) -> Columns:
        """Means of a minute: of a circuit, or of the site with its baseline and target."""
        width = MINUTE_SEC * MINUTES_OF_A_PAGE
        with self._turn():
            return self._collect(
                ("minutes", circuit_id),
                width,
                start_ts,
                min(end_ts, self._clock() + MINUTE_SEC),
                lambda begin: self._site.minute_power(circuit_id, begin, MINUTES_OF_A_PAGE),
            )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._one_at_a_time.acquire(timeout=WAIT_SEC):
            reason = "others are reading the history: try again in a few seconds"
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, reason, Retry_After="5")
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def _collect(
        self,
        key: tuple[Any, ...],
        width: int,
        start_ts: float,
        end_ts: float,
        ask: Callable[[int], Any],
    ) -> Columns:
        found: Columns = {"ts": []}
        begin = int(start_ts // width) * width
        while begin < end_ts:
            for name, values in self._page((*key, begin), begin + width, partial(ask, begin)):
                found.setdefault(name, []).extend(values)
            begin += width
            self._pause()
        wanted = [place for place, ts in enumerate(found["ts"]) if start_ts <= ts < end_ts]
        return {name: [values[place] for place in wanted] for name, values in found.items()}

    def _page(
        self, key: tuple[Any, ...], end_ts: float, ask: Callable[[], Any]
    ) -> list[tuple[str, list[Any]]]:
        now = self._clock()
        at, kept = self._kept.get(key, (0.0, {}))
        if not kept or not 0.0 <= now - at <= KEPT_SEC:
            kept = dict(ask())
            if end_ts + SETTLED_SEC < now:
                self._kept[key] = (now, kept)
                self._kept.move_to_end(key)
                while len(self._kept) > PAGES_KEPT:
                    self._kept.popitem(last=False)
        return list(kept.items())
