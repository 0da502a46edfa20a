"""The site as the page's process sees it: asked of the agent over the channel, and kept a moment.

However many ask, the agent is asked for each thing once in a while: what it said is good for
FRESH_SEC, unless it says before that something changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import gevent
from gevent.event import AsyncResult

from VenAgent.web.http_messages import HttpError
from VenAgent.web.page_channel import PageChannel
from VenAgent.web.page_source import Json

FRESH_SEC = 0.25
READ_WITHIN_SEC = 5.0
CHANGE_WITHIN_SEC = 45.0
"""A command's ack comes within half a minute."""
KEPT_ANSWERS = 16

Answer = tuple[HTTPStatus, Json]


class RemotePageSource:
    """A `PageSource` at the other end of `channel`. `clock` is monotonic."""

    def __init__(self, channel: PageChannel, clock: Callable[[], float]) -> None:
        self._channel = channel
        self._clock = clock
        self._count = 0
        self._waiting: dict[int, AsyncResult] = {}
        self._kept: dict[tuple[Any, ...], tuple[float, AsyncResult]] = {}

    # ---- what comes from the agent ---------------------------------------------------------

    def receive(self, message: Mapping[str, Any]) -> None:
        """An answer."""
        waiting = self._waiting.pop(message.get("id", 0), None)
        if waiting is None:
            return
        if "error" in message:
            waiting.set_exception(_RemotePageSourceError(str(message["error"])))
        else:
            waiting.set(message["result"])

    def touched(self) -> None:
        """Something changed: what is kept is old."""
        self._kept.clear()

    # ---- what is ---------------------------------------------------------------------------

    def status(self) -> Json:
        return self._read("status")

    def circuits(self) -> Sequence[Json]:
        return self._read("circuits")

    def events(self, limit: int) -> Sequence[Json]:
        return self._read("events", limit)

    def alerts(self) -> Json:
        return self._read("alerts")

    def history(self) -> Json:
        return self._read("history")

    def event_in_full(self, event_id: str) -> Json | None:
        return self._read("event_in_full", event_id)

    def interval_power(self, start_ts: float, count: int) -> Json:
        return self._read("interval_power", start_ts, count)

    def minute_power(self, circuit_id: str | None, start_ts: float, minutes: int) -> Json:
        return self._read("minute_power", circuit_id, start_ts, minutes)

    def _read(self, name: str, *of: Any) -> Any:
        key = (name, *of)
        at, answer = self._kept.get(key, (0.0, None))
        if answer is None or self._clock() - at > FRESH_SEC:
            if len(self._kept) >= KEPT_ANSWERS:
                self._kept.clear()
            answer = self._ask(read=name, of=of)
            self._kept[key] = (self._clock(), answer)
        return self._answer(answer, READ_WITHIN_SEC)

    # ---- what is to be ---------------------------------------------------------------------

    def change(self, name: str, item: str, body: str) -> Answer:
        """A change that a person wants, as `PageChanges.change` makes it."""
        result = self._answer(self._ask(change=name, item=item, body=body), CHANGE_WITHIN_SEC)
        self._kept.clear()
        return HTTPStatus(result["status"]), result["body"]

    def _ask(self, **call: Any) -> AsyncResult:
        self._count += 1
        waiting = self._waiting[self._count] = AsyncResult()
        self._channel.send({"id": self._count, **call})
        return waiting

    def _answer(self, waiting: AsyncResult, within_sec: float) -> Any:
        try:
            return waiting.get(timeout=within_sec)
        except gevent.Timeout:
            raise HttpError(HTTPStatus.GATEWAY_TIMEOUT, "the agent does not answer") from None


class _RemotePageSourceError(Exception):
    """The agent could not answer; its log says why."""
