"""One point in time, on the clocks of a computer."""

from __future__ import annotations

import time
from typing import NamedTuple


class Moment(NamedTuple):
    """Now, on both clocks: one never jumps and drives everything, the other is for people."""

    mono_sec: float
    wall_ts: float

    @classmethod
    def now(cls) -> Moment:
        """This moment. The only place of the simulator where a clock is read."""
        return cls(mono_sec=time.monotonic(), wall_ts=time.time())
