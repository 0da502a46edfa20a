"""How it stands with the broker, and since when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum


class LinkPhase(str, Enum):
    """How it stands with the broker."""

    CONNECTING = "connecting"
    """For the first time; after a loss it is offline until it is online again."""
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    """The broker answers, and will not have us: only a person can change that."""


@dataclass(frozen=True)
class LinkState:
    """How it stands with the broker, since when (epoch s), and what a person should know."""

    phase: LinkPhase
    since_ts: float
    """Of being online, or of not being so: the tries between do not change it."""
    why: str = ""
    """Why it is not online; if it is, what is wrong all the same."""

    @property
    def online(self) -> bool:
        return self.phase is LinkPhase.ONLINE

    def finding(self, where: str) -> str | None:
        """What a person should know; None if all is well. `where`: the broker, host:port."""
        if self.online:
            return self.why or None
        if self.phase is LinkPhase.CONNECTING:
            return self.why or f"connecting to {where}"
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.since_ts))
        return f"{self.phase.value} since {since}: {self.why}"

    def as_message(self) -> dict[str, str | float]:
        """For the bus and the page."""
        return {"state": self.phase.value, "since_ts": self.since_ts, "why": self.why}
