"""What is known of the work that is under way for an event, beside the event itself."""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.contract.reasons import Reason, ReasonCode

WORK_LIMIT_SEC = 30.0
"""Every report comes within the time limits of its calls; one that does not must not keep an
event from ending."""


@dataclass
class EventWork:
    """Of the event that has precedence. Not kept in the journal: after a restart all is new."""

    reason: Reason | None = None
    """Why circuits are added or released now; None when a command asked for it."""
    reassert: bool = False
    """What is shed is to be written once more as it is: someone may not have heard it."""
    is_unconfirmed: bool = False
    """No write of an event that is to begin was answered: what was planned is written once more as
    soon as its devices are there again."""
    lease_lapsed: bool = False
    """The devices went back by themselves while other work was under way."""
    reservation_lost: tuple[str, str] | None = None
    """A task that was taken from us meanwhile, and by whom."""
    renewed_ts: float = 0.0
    """When what is shed was written last, for devices that drop it after a while."""
    renewal_asked_ts: float | None = None
    """When a reading was asked for, before that is written again: a person may have changed it."""
    is_renewal: bool = False
    """What is under way is written for that only: nothing follows from it."""
    overdue_ts: float | None = None
    """The work under way is not waited for any longer than this when the event is to end."""

    @property
    def is_next_level(self) -> bool:
        """Whether the event goes from one interval to the next."""
        return self.reason is not None and self.reason.code is ReasonCode.NEXT_INTERVAL

    @property
    def may_exchange(self) -> bool:
        """Whether what is shed may be released for other circuits that fit better."""
        return self.reason is None or self.is_next_level

    def begin(self, reason: Reason | None) -> None:
        """Another event is worked for."""
        self.reassert = self.is_unconfirmed = self.lease_lapsed = self.is_renewal = False
        self.renewal_asked_ts = None
        self.reason = reason

    def end_soon(self, now: float) -> None:
        """The event ends when its work is back, or has been waited for long enough."""
        if self.overdue_ts is None:
            self.overdue_ts = now + WORK_LIMIT_SEC

    def take_lost_reservation(self, task_id: str) -> tuple[str, str] | None:
        """The loss of this task that could not be seen to yet."""
        lost, self.reservation_lost = self.reservation_lost, None
        return lost if lost is not None and lost[0] == task_id else None

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self.renewed_ts += step_sec
        if self.renewal_asked_ts is not None:
            self.renewal_asked_ts += step_sec
        if self.overdue_ts is not None:
            self.overdue_ts += step_sec
