"""Events that end without a restore: they do not begin, or another has their circuits."""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.command_replies import CommandReplies
from VenAgent.dr.effects import Effects, saved_and_announced_effects
from VenAgent.dr.event import Event
from VenAgent.dr.event_completion import event_completion_summary
from VenAgent.dr.event_queue import EventQueue
from VenAgent.dr.event_state import EventState
from VenAgent.dr.limit_failsafe import limit_failsafe_over


class EventWithdrawal:
    """Of events that do not run; the queue remembers what became of them."""

    def __init__(self, replies: CommandReplies, queue: EventQueue) -> None:
        self._replies = replies
        self._queue = queue

    def withdraw(self, event: Event, status: AckStatus, reason: Reason, now: float) -> Effects:
        """An event that does not begin (any more): whoever sent it gets an ack."""
        if event.state is EventState.RECEIVED:
            event.to(EventState.REJECTED)
        else:
            event.to(EventState.CANCELLED)
        event.end_soon(reason)  # the record says why
        event.end(now)
        self._queue.remember(event.event_id, event.request.modification)
        acks = self._replies.to_event_or_after(event, status, now, reason)
        return saved_and_announced_effects(event, acks)

    def complete(self, event: Event, now: float) -> Effects:
        """An event whose circuits another one has, or that was preempted to its end."""
        event.to(EventState.COMPLETED)
        event.resume_metering(now)  # all since it was preempted counts as paused
        self._queue.remember(event.event_id, event.request.modification)
        replies, summary = self._replies, event_completion_summary(event)
        acks = replies.to_ender(event, AckStatus.SUCCESS, now)
        if event.acked:
            acks.append(replies.follow_up(event, AckStatus.COMPLETED, now, summary=summary))
        else:  # changed while it was preempted, and over before it could go on
            acks += replies.to_event(event, AckStatus.COMPLETED, now, summary=summary)
        return [*saved_and_announced_effects(event, acks), *limit_failsafe_over(event)]

    def tick(self, now: float) -> Effects:
        """The end of events that wait may have passed."""
        effects: Effects = []
        for late in self._queue.late(now):
            del self._queue.waiting[late.event_id]
            if late.active_ts is not None:
                late.end(now)
                effects += self.complete(late, now)
            else:
                text = "its end passed before it could begin"
                reason = Reason(ReasonCode.END_PASSED, text)
                effects += self.withdraw(late, AckStatus.FAILED, reason, now)
        return effects
