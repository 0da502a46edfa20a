"""Whether the site takes part in events: what a person decided, and the schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, SaveFactEffect
from VenAgent.dr.event import Event
from VenAgent.dr.event_state import EventState
from VenAgent.dr.opt_schedule import OptSchedule

OPT_OUT_FACT = "opt_out"
"""The name under which the journal keeps it."""


OPTED_OUT_TEXT = "opted out at the site"


def opt_out_told(words: str) -> Reason:
    """Why an event is ended or refused: a person's words ("guests") do not say it by themselves."""
    told = words if words.startswith(OPTED_OUT_TEXT) else f"{OPTED_OUT_TEXT}: {words}"
    return Reason(ReasonCode.OPTED_OUT, told)


class OptOut:
    """A person's word, until when it holds (epoch s; until another one, if there is no end), goes
    before the schedule: who opts in during a scheduled time takes part until that is over."""

    def __init__(self) -> None:
        self._fact: dict[str, Any] | None = None
        self._schedule_seen = OptSchedule()

    def is_edited(self, schedule: OptSchedule) -> bool:
        """Whether the events that are known have not been held against this schedule yet."""
        return schedule != self._schedule_seen

    def see(self, schedule: OptSchedule) -> None:
        self._schedule_seen = schedule

    def begin(self, reason: str, until_ts: float | None) -> SaveFactEffect:
        self._fact = {"reason": reason, "until_ts": until_ts}
        return SaveFactEffect(OPT_OUT_FACT, self._fact)

    def end(self, schedule: OptSchedule, now: float) -> SaveFactEffect:
        """A person opts in."""
        span = schedule.span_at(now)
        self._fact = None if span is None else {"reason": None, "until_ts": span.end_ts}
        return SaveFactEffect(OPT_OUT_FACT, self._fact)

    def recall(self, facts: Mapping[str, Any]) -> None:
        """After a restart."""
        self._fact = facts.get(OPT_OUT_FACT)

    def shift(self, step_sec: float) -> Effects:
        """The clock was set by `step_sec`: "for two hours" stays two hours."""
        if self._fact is None or self._fact["until_ts"] is None:
            return []
        self._fact = {**self._fact, "until_ts": self._fact["until_ts"] + step_sec}
        return [SaveFactEffect(OPT_OUT_FACT, self._fact)]

    def until_ts(self, schedule: OptSchedule, now: float) -> float | None:
        """When the site takes part again; None: when they opt in, or it takes part."""
        if self._holds(now) and self._fact is not None:
            until_ts: float | None = self._fact["until_ts"] if self._fact["reason"] else None
            return until_ts
        span = schedule.span_at(now)
        return None if span is None else span.end_ts

    def reason(self, schedule: OptSchedule, now: float) -> Reason | None:
        """The person's own words, or the schedule's; None while the site takes part."""
        if not self._holds(now) or self._fact is None:
            return schedule.reason(now)
        if self._fact["reason"] is None:
            return None
        return Reason(ReasonCode.OPTED_OUT, str(self._fact["reason"]))

    def reason_later(self, schedule: OptSchedule, ts: float) -> Reason | None:
        """Why an event that begins at `ts` will find the site without participation, by the
        schedule alone: who opted out may be back by then."""
        opted_in = self._fact is not None and self._fact["reason"] is None and self._holds(ts)
        return None if opted_in else schedule.reason(ts)

    def out_from_ts(self, schedule: OptSchedule, ts: float) -> float:
        """When the next scheduled time without participation begins, after `ts`; infinite: none."""
        span = schedule.next_span(ts)
        return math.inf if span is None else span.start_ts

    # ---- of one event --------------------------------------------------------------------

    def refused(self, event: Event, schedule: OptSchedule, now: float) -> Reason | None:
        """Why the site does not take part in it now. A limit is a condition of the grid connection
        and no offer: nobody at the site can leave it."""
        why = None if event.is_limit else self.reason(schedule, now)
        return (
            why if why is None or why.code is not ReasonCode.OPTED_OUT else opt_out_told(why.text)
        )

    def refused_later(self, event: Event, schedule: OptSchedule, now: float) -> Reason | None:
        """Why the site will not take part when it begins, as far as its schedule says so."""
        start_ts = event.request.start_ts
        if event.is_limit or start_ts <= now:
            return None
        return self.reason_later(schedule, start_ts)

    def leaves_ts(self, event: Event, schedule: OptSchedule) -> float:
        """When the event that runs is ended because the site's schedule says so; infinite: not."""
        if event.is_limit or event.opted_out or event.state is EventState.RESTORING:
            return math.inf
        left_ts = self.out_from_ts(schedule, event.request.start_ts)
        return left_ts if left_ts < event.end_ts else math.inf

    def _holds(self, now: float) -> bool:
        if self._fact is None:
            return False
        until_ts = self._fact["until_ts"]
        return now < (math.inf if until_ts is None else until_ts)
