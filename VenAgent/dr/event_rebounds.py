"""The time after an event: its highest power is told with the summary, once more."""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.dr.command_replies import CommandReplies
from VenAgent.dr.effects import Effects, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.event_completion import event_completion_summary


class EventRebounds:
    """`watched`: the events that are over, but whose rebound is still being watched."""

    def __init__(self, replies: CommandReplies) -> None:
        self._replies = replies
        self.watched: list[Event] = []

    def reading(self, power_kw: float) -> Effects:
        """The site's power, while no event runs."""
        return [SaveEventEffect.of(event) for event in self.watched if event.note_rebound(power_kw)]

    def tick(self, now: float) -> Effects:
        """Time has passed."""
        over = [event for event in self.watched if (event.rebound_until_ts or 0.0) <= now]
        return [effect for event in over for effect in self._close(event, now)]

    def close_all(self, now: float) -> Effects:
        """Another event begins: what is drawn from now on is no rebound."""
        return [effect for event in list(self.watched) for effect in self._close(event, now)]

    def _close(self, event: Event, now: float) -> Effects:
        """The rebound is known: the summary once more, with it."""
        self.watched.remove(event)
        event.close_rebound()
        ack = self._replies.follow_up(
            event, AckStatus.REBOUND, now, summary=event_completion_summary(event)
        )
        return [SaveEventEffect.of(event), ack]
