"""Who may ask next behind a gateway that takes one request at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from gevent.event import Event


class GatewayTurns:
    """One turn at a time, in the order of asking; but a write goes before every reading that waits:
    a round of readings may take a minute, and a restore is not to wait for it."""

    def __init__(self) -> None:
        self._taken = False
        self._writes: deque[Event] = deque()
        self._readings: deque[Event] = deque()

    @contextmanager
    def turn(self, *, is_write: bool) -> Iterator[None]:
        """Waits for its turn, and has it inside; who is killed while waiting leaves the queue."""
        if self._taken:
            self._wait(self._writes if is_write else self._readings)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, queue: deque[Event]) -> None:
        mine = Event()
        queue.append(mine)
        try:
            mine.wait()
        except BaseException:
            if mine.is_set():
                self._pass_on()  # it had been given the turn already
            else:
                queue.remove(mine)
            raise

    def _pass_on(self) -> None:
        """The turn stays taken: nobody comes between who gives and who gets it."""
        queue = self._writes or self._readings
        if queue:
            queue.popleft().set()
        else:
            self._taken = False
