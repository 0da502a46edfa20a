"""Which of the site's events rules: what is taken on, changed, set aside, handed over and ended.

Of two at once the higher priority rules, at equal priority the larger request; the other goes on
when that one is over, if time is left. What is shed is handed over, not restored in between.
"""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import CancelCommand, Command, ShedCommand
from VenAgent.contract.json_codec import rounded, utc_text
from VenAgent.dr.curtailment_plan import refusal_of
from VenAgent.dr.effects import Announce, Effects, SaveEvent
from VenAgent.dr.event import EndedBy, Event, EventRequest, EventState
from VenAgent.dr.event_execution import EventExecution
from VenAgent.dr.event_queue import EventQueue, is_same
from VenAgent.dr.site_facts import OptOut
from VenAgent.dr.site_state import SiteState


class Arbitration:
    """All events but how the one that rules is carried out (carrying.py)."""

    def __init__(self, context: SiteState) -> None:
        self._context = context
        self.answers = context.answers
        self.carrier = EventExecution(context)
        self.agenda = EventQueue()
        self.opt_out = OptOut()
        self.recovering: list[Event] = []
        """Over, but the rebound is still being watched."""
        self.stopping = False
        self.left: list[Event] = []
        """Under way when an earlier process ended. More than one only if it could not write the
        end of the first down; each is then gone on with in turn."""

    @property
    def running(self) -> Event | None:
        return self.carrier.event

    # ---- taking on and changing ----------------------------------------------------------

    def shed(self, command: ShedCommand, now: float) -> Effects:
        event = Event.of(command, now)
        refusal = None
        if event.circuit_id is not None:
            refusal = refusal_of(event.circuit_id, self._context.panel)
        if refusal is None and self.agenda.ended(event.event_id, event.modification):
            refusal = (
                f"event {event.event_id} is over in modification {event.modification}: "
                f"send a higher one to begin it again"
            )
        if refusal is not None:
            return self.answers.to_event(event, AckStatus.REJECTED, now, reason=refusal)
        running = self.running
        known = self.agenda.waiting.get(event.event_id)
        if running is not None and running.event_id == event.event_id:
            known = running
        if known is not None:
            return self._change(known, EventRequest.of(command, now), now)
        return self._take_on(event, now)

    def _change(self, known: Event, ask: EventRequest, now: float) -> Effects:
        """An event that is known already: changed by a higher modification, else nothing is."""
        current = known.next_ask or known
        if is_same(current, ask):
            return self._answer_again(known, ask, now)
        if ask.modification <= current.modification:
            reason = (
                f"event {known.event_id} is known in modification {current.modification}: "
                f"this one ({ask.modification}) is older or contradicts it"
            )
            stale = Event.asked(known.event_id, ask)
            return self.answers.to_event(stale, AckStatus.REJECTED, now, reason=reason)
        if known is self.running:
            return self.carrier.change(ask, now)
        self.agenda.waiting.pop(known.event_id)
        superseded: Effects = []
        if not known.answered:
            reason = f"superseded by modification {ask.modification} before it could begin"
            superseded = self.answers.to_event(known, AckStatus.FAILED, now, reason=reason)
        known.change(ask)
        known.set_aside = None
        return self._wait_or_begin(known, now) + superseded

    def _answer_again(self, known: Event, ask: EventRequest, now: float) -> Effects:
        """The same under another correlation_id: the same answer, now or when there is one."""
        if known.answered and known.next_ask is None:
            status = AckStatus.SCHEDULED if known.active_ts is None else AckStatus.ACCEPTED
            given = self.answers.given(known.correlation_id)
            told = given or known.ack(status, self.answers.ven_id, now)
            return [self.answers.remember({**told, "correlationId": ask.correlation_id})]
        if ask.correlation_id is None:
            return []  # the answer to come tells this one too
        self.answers.expect(ask.correlation_id)
        same = known.also if known.next_ask is None else known.next_also
        same.append(ask.correlation_id)
        return [SaveEvent(known.event_id, known.as_record())]

    def _take_on(self, event: Event, now: float) -> Effects:
        if event.start_ts > now:
            event.to(EventState.SCHEDULED)
        return self._wait_or_begin(event, now)

    def _wait_or_begin(self, event: Event, now: float) -> Effects:
        """A new or changed event that nothing is shed for yet."""
        self.answers.expect(event.correlation_id)
        is_free = self.running is None and not self.stopping
        if event.start_ts <= now and is_free and self.agenda.due(now) is None:
            return self._begin(event, now)
        if event.state is EventState.RECEIVED:
            event.to(EventState.SCHEDULED)
        self.agenda.waiting[event.event_id] = event
        told: Effects = []
        if event.start_ts > now:
            start = rounded(event.start_ts)
            told = self.answers.to_event(event, AckStatus.SCHEDULED, now, start_ts=start)
        record = event.as_record()
        return [SaveEvent(event.event_id, record), *told, Announce(record)]

    def turn(self, now: float) -> Effects:
        """Whose turn it is: begin what is due, set aside what is outweighed, tell who waits."""
        effects = self._after_the_last(now)
        while self.left and self.running is None and not self.stopping:
            effects += self.carrier.take_over(self.left.pop(0), now)
            effects += self._after_the_last(now)
        due = self.agenda.due(now)
        if due is None or self.stopping:
            return effects
        running = self.running
        if running is None:
            return effects + self._begin(due, now)
        if running.state is not EventState.ACTIVE:
            return effects
        if due.weight < running.weight:
            return effects + self._displace(running, due, now)
        return effects + self._tell_waiting(running, now)

    def _after_the_last(self, now: float) -> Effects:
        """Take note of an event that is over, and of what was to come in its place."""
        over, self.carrier.over = self.carrier.over, None
        if over is not None:
            self._take_note(over)
        successor, self.carrier.successor = self.carrier.successor, None
        if successor is None:
            return []
        if successor.end_ts > now:
            return self._take_on(successor, now)
        reason = "its end passed while the earlier modification was restored"
        return self.answers.to_event(successor, AckStatus.FAILED, now, reason=reason)

    def _take_note(self, over: Event) -> None:
        """An event is over. One that never began may be tried again in the same modification."""
        self.agenda.remember(over.event_id, over.modification - (not over.past))
        if over.rebound_until_ts is not None:
            self.recovering.append(over)

    def _begin(self, event: Event, now: float) -> Effects:
        why_not = self.opt_out.reason(now)
        self.agenda.waiting.pop(event.event_id, None)
        if why_not is not None:
            event.opted_out = True
            return self._withdraw(event, AckStatus.OPTED_OUT, why_not, now)
        return self._close_recovery(now) + self.carrier.begin(event, now)

    def _displace(self, running: Event, weightier: Event, now: float) -> Effects:
        """`weightier` takes over what `running` has shed; that one waits for what time is left."""
        del self.agenda.waiting[weightier.event_id]
        self.carrier.hand_over(now)
        running.to(EventState.SCHEDULED)
        running.set_aside = weightier.event_id
        self.agenda.waiting[running.event_id] = running
        begun = self.carrier.begin(weightier, now, heir_of=running)
        return [*self._told_to_wait(running, weightier, now), *begun]

    def _tell_waiting(self, running: Event, now: float) -> Effects:
        effects: Effects = []
        for event in self.agenda.waiting.values():
            if event.start_ts <= now and event.set_aside != running.event_id:
                event.set_aside = running.event_id
                effects += self._told_to_wait(event, running, now)
        return effects

    def _told_to_wait(self, event: Event, ruling: Event, now: float) -> Effects:
        reason = (
            f"event {ruling.event_id} comes first until {utc_text(ruling.end_ts)}; "
            f"this one goes on then if time is left"
        )
        if event.answered:
            told: Effects = [self.answers.follow_up(event, AckStatus.SCHEDULED, now, reason=reason)]
        else:
            told = self.answers.to_event(event, AckStatus.SCHEDULED, now, reason=reason)
        record = event.as_record()
        return [SaveEvent(event.event_id, record), *told, Announce(record)]

    # ---- how events end ------------------------------------------------------------------

    def finish(self, event: Event, why: str, now: float) -> Effects:
        """End the running event; if another is due, that one takes over what is shed."""
        heir = self.agenda.due(now)
        if heir is None or event.state is not EventState.ACTIVE or self.opt_out.reason(now):
            return self.carrier.end(why, now)
        del self.agenda.waiting[heir.event_id]
        self.carrier.hand_over(now)
        event.ended_ts = now
        begun = self.carrier.begin(heir, now, heir_of=event)
        return [*self._completed(event, now), *begun]

    def _completed(self, event: Event, now: float) -> Effects:
        """An event whose circuits another one has, or that was set aside to its end."""
        event.to(EventState.COMPLETED)
        event.metered.go_on(now)  # all since it was set aside counts as paused
        self.agenda.remember(event.event_id, event.modification)
        told = self.answers.to_ender(event, AckStatus.SUCCESS, now)
        summary = event.summary()
        if event.answered:
            told.append(self.answers.follow_up(event, AckStatus.COMPLETED, now, summary=summary))
        else:  # changed while it was set aside, and over before it could go on
            told += self.answers.to_event(event, AckStatus.COMPLETED, now, summary=summary)
        record = event.as_record()
        return [SaveEvent(event.event_id, record), *told, Announce(record)]

    def too_late(self, event: Event, now: float) -> Effects:
        del self.agenda.waiting[event.event_id]
        if event.active_ts is not None:
            event.ended_ts = now
            return self._completed(event, now)
        reason = "its end passed before it could begin"
        return self._withdraw(event, AckStatus.FAILED, reason, now)

    def _withdraw(self, event: Event, status: AckStatus, reason: str, now: float) -> Effects:
        """An event that does not begin (any more): tell who sent it."""
        if event.state is EventState.RECEIVED:
            event.to(EventState.REJECTED)
        else:
            event.to(EventState.CANCELLED)
        self.agenda.remember(event.event_id, event.modification)
        if event.answered:
            told: Effects = [self.answers.follow_up(event, status, now, reason=reason)]
        else:
            told = self.answers.to_event(event, status, now, reason=reason)
        record = event.as_record()
        return [SaveEvent(event.event_id, record), *told, Announce(record)]

    def end_by_command(self, command: Command, now: float) -> Effects:
        """`restore` and `cancel`: the event named, or the one that runs."""
        waiting = self.agenda.waiting.pop(command.event_id or "", None)
        if waiting is not None:
            if waiting.active_ts is not None:
                waiting.ended_ts = now
                effects = self._completed(waiting, now)
            else:
                effects = self._withdraw(waiting, AckStatus.FAILED, "cancelled by command", now)
            return [*effects, self.answers.to(command, AckStatus.SUCCESS, now)]
        event = self.running
        if event is None or command.event_id not in (None, event.event_id):
            return self._end_unknown(command, now)
        if event.ended_by is not None:
            reason = f"event {event.event_id} is being restored already"
            return [self.answers.to(command, AckStatus.SUCCESS, now, reason=reason)]
        dropped: Effects = []
        later = event.take_next()
        if later is not None:
            reason = "ended by command before it could be applied"
            dropped = self.answers.to_event(later, AckStatus.FAILED, now, reason=reason)
        event.ended_by = EndedBy(command.op, command.correlation_id)
        self.answers.expect(command.correlation_id)
        if self.carrier.is_idle:
            return [*dropped, *self.finish(event, "ended by command", now)]
        return [*self.carrier.end_soon(now), *dropped]

    def _end_unknown(self, command: Command, now: float) -> Effects:
        if command.event_id is None:
            reason = "no event is running; nothing was to be restored"
            return [self.answers.to(command, AckStatus.SUCCESS, now, reason=reason)]
        reason = f"event {command.event_id} is not running and not scheduled"
        effects: Effects = []
        if isinstance(command, CancelCommand):
            reason += "; should it come later than this command, it will not begin"
            effects.append(self.agenda.withdraw(command.event_id, command.modification))
        return [*effects, self.answers.to(command, AckStatus.REJECTED, now, reason=reason)]

    # ---- the clock -----------------------------------------------------------------------

    def clock_stepped(self, step_sec: float, now: float) -> Effects:
        """The clock was set by `step_sec`. Events that have begun keep what is left of them; those
        to come are due by the new clock."""
        begun = [e for e in self.agenda.waiting.values() if e.start_ts <= now - step_sec]
        effects = self.opt_out.shift(step_sec)
        for event in (*begun, *self.recovering, *self.left):
            event.shift(step_sec)
            effects.append(SaveEvent(event.event_id, event.as_record()))
        return effects + self.carrier.clock_stepped(step_sec, now)

    # ---- the time after ------------------------------------------------------------------

    def recovered(self, event: Event, now: float) -> Effects:
        """The rebound is known: the summary once more, complete."""
        self.recovering.remove(event)
        event.rebound_until_ts = None
        summary = event.summary()
        told = self.answers.follow_up(event, AckStatus.COMPLETED, now, summary=summary)
        return [SaveEvent(event.event_id, event.as_record()), told]

    def _close_recovery(self, now: float) -> Effects:
        """Another event begins: what is drawn from now on is no rebound."""
        return [effect for event in list(self.recovering) for effect in self.recovered(event, now)]
