"""Whether a person at the site has refused participation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, SaveFactEffect

OPT_OUT_FACT = "opt_out"
"""The name under which the journal keeps it."""


class OptOut:
    """Why, and until when (epoch s); until the person opts in, if there is no end."""

    def __init__(self) -> None:
        self._fact: dict[str, Any] | None = None

    def begin(self, reason: str, until_ts: float | None) -> SaveFactEffect:
        self._fact = {"reason": reason, "until_ts": until_ts}
        return SaveFactEffect(OPT_OUT_FACT, self._fact)

    def end(self) -> SaveFactEffect:
        self._fact = None
        return SaveFactEffect(OPT_OUT_FACT, None)

    def recall(self, facts: Mapping[str, Any]) -> None:
        """After a restart."""
        self._fact = facts.get(OPT_OUT_FACT)

    def shift(self, step_sec: float) -> Effects:
        """The clock was set by `step_sec`: "for two hours" stays two hours."""
        if self._fact is None or self._fact["until_ts"] is None:
            return []
        return [self.begin(self._fact["reason"], self._fact["until_ts"] + step_sec)]

    @property
    def until_ts(self) -> float | None:
        """None: until they opt in, or they have not opted out."""
        return None if self._fact is None else self._fact["until_ts"]

    def reason(self, now: float) -> Reason | None:
        """The person's own words; None while the site takes part."""
        if self._fact is None:
            return None
        until_ts = self._fact["until_ts"]
        if now >= (math.inf if until_ts is None else until_ts):
            return None
        return Reason(ReasonCode.OPTED_OUT, str(self._fact["reason"]))
