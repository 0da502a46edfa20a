"""Which of the site's events has precedence: what is accepted, changed, preempted and ended.

Of two at once the one of higher priority comes first, at equal priority the larger request; the
other goes on when that one is over, if time is left. What is shed is handed over, not restored in
between.
"""

from __future__ import annotations

from datetime import datetime, timezone

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    EventCommand,
    RestoreCommand,
)
from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.dry_run import answer_dry_run
from VenAgent.dr.effects import (
    Effects,
    PreparedEffect,
    ReadMeterEffect,
    SaveEventEffect,
    saved_and_announced_effects,
)
from VenAgent.dr.event import Event
from VenAgent.dr.event_admission import (
    ONLY_ITS_SENDER,
    EventAdmission,
    is_event_of_its_sender_alone,
)
from VenAgent.dr.event_execution import EventExecution
from VenAgent.dr.event_preparation import EventPreparation
from VenAgent.dr.event_queue import EventQueue
from VenAgent.dr.event_rebounds import EventRebounds
from VenAgent.dr.event_request import EventRequest
from VenAgent.dr.event_state import EventState
from VenAgent.dr.event_withdrawal import EventWithdrawal
from VenAgent.dr.limit_failsafe import (
    LimitFailsafe,
    limit_failsafe_reason,
)
from VenAgent.dr.opt_out import OptOut
from VenAgent.dr.site_state import SiteState

ENDED_BY_COMMAND = Reason(ReasonCode.ENDED_BY_COMMAND, "ended by command")


class Arbitration:
    """All events but how the one that has precedence is carried out: that is `execution`."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self.execution = EventExecution(site)
        self.queue = EventQueue()
        self.preparation = EventPreparation()
        self.opt_out = OptOut()
        self.failsafe = LimitFailsafe(site)
        self.rebounds = EventRebounds(site.replies)
        self.withdrawal = EventWithdrawal(site.replies, self.queue)
        self._admission = EventAdmission(site, self.queue)
        self.stopping = False
        self.recovered: list[Event] = []
        """Under way when an earlier process ended. More than one only if it could not write the
        end of the first down; each is then gone on with in turn."""

    @property
    def running(self) -> Event | None:
        return self.execution.event

    # ---- accepting and changing ----------------------------------------------------------

    def take(
        self, command: EventCommand, now: float, lot: float, *, from_sender: bool = True
    ) -> Effects:
        """A command for an event: a new one, or a change of one that is known. `from_sender`: of
        the cloud's, not of someone at the site."""
        event = self._event_of(command, now, lot, from_site=not from_sender)
        running, known = self.running, self._known(event.event_id)
        refusal = self._admission.refusal(event, known, from_sender=from_sender)
        if refusal is not None:
            return self._site.replies.to_event(event, AckStatus.REJECTED, now, refusal)
        if command.dry_run:
            return self._dry_run(event, now)
        if known is not None:
            return self._change(known, event.request, now)
        refusal = self._admission.refusal_of_new(event, running, now)
        if refusal is not None:
            return self._site.replies.to_event(event, AckStatus.REJECTED, now, refusal)
        return self._accept(event, now)

    def _known(self, event_id: str) -> Event | None:
        running = self.running
        if running is not None and running.event_id == event_id:
            return running
        return self.queue.waiting.get(event_id)

    def _event_of(self, command: EventCommand, now: float, lot: float, *, from_site: bool) -> Event:
        """The event that a command asks for. A site draws its start once: one that has begun goes
        on, and one that waits keeps its lot."""
        longest_sec = self._site.policy.max_duration_sec
        known = self._known(command.event_id or "")
        if known is not None and (known.active_ts is not None or known is self.running):
            lot = 0.0
        elif known is not None and known.lot:
            lot = known.lot
        return Event.of(command, now, lot=lot, longest_sec=longest_sec, from_site=from_site)

    def _dry_run(self, event: Event, now: float) -> Effects:
        """What it would shed; an event that is known is not touched."""
        opted_out = self._refused(event, now) or self._refused_later(event, now)
        if opted_out is not None:
            status = AckStatus.OPTED_OUT
            return self._site.replies.to_event(event, status, now, opted_out, dry_run=True)
        return answer_dry_run(event, self.running, self._site, now)

    def _change(self, known: Event, request: EventRequest, now: float) -> Effects:
        """An event that is known already: changed by a higher modification, else nothing is."""
        current = known.newest_request
        if request.kind is not current.kind:
            text = f"event {known.event_id} is of another kind: give this one an id of its own"
            reason = Reason(ReasonCode.CONTRADICTION, text)
            other = Event(known.event_id, request)
            return self._site.replies.to_event(other, AckStatus.REJECTED, now, reason)
        if current.asks_the_same(request):
            if known.limit.is_failsafe:
                known.extend(request)
                self._note_new_limit(now)
            return self._ack_again(known, request, now)
        if request.modification <= current.modification:
            text = (
                f"event {known.event_id} is known in modification {current.modification}: "
                f"this one ({request.modification}) is older or contradicts it"
            )
            reason = Reason(ReasonCode.MODIFICATION_OUTDATED, text)
            outdated = Event(known.event_id, request)
            return self._site.replies.to_event(outdated, AckStatus.REJECTED, now, reason)
        if known.is_limit:
            self._note_new_limit(now)
        if known is self.running:
            return self.execution.change(request, now)
        self.queue.waiting.pop(known.event_id)
        superseded: Effects = []
        if not known.acked:
            text = f"superseded by modification {request.modification} before it could begin"
            reason = Reason(ReasonCode.SUPERSEDED, text)
            superseded = self._site.replies.to_event(known, AckStatus.SUPERSEDED, now, reason)
        known.change(request)
        known.wait_for(None)
        return superseded + self._wait_or_begin(known, now)

    def _ack_again(self, known: Event, request: EventRequest, now: float) -> Effects:
        """The same under another correlation_id: the same ack, now or when there is one."""
        replies = self._site.replies
        if known.acked and known.pending is None:
            status = AckStatus.SCHEDULED if known.active_ts is None else AckStatus.ACCEPTED
            sent = replies.sent_to(known.request.correlation_id)
            body = sent or replies.event_ack(known, status, now)
            return [replies.remember({**body, "correlationId": request.correlation_id})]
        if request.correlation_id is None:
            return []  # the ack to come is this one's too
        replies.expect(request.correlation_id)
        known.note_duplicate(request.correlation_id)
        return [SaveEventEffect.of(known)]

    def _accept(self, event: Event, now: float) -> Effects:
        if event.is_limit:
            self._note_new_limit(now)
        if event.request.start_ts > now:
            event.to(EventState.SCHEDULED)
        return self._wait_or_begin(event, now)

    def _wait_or_begin(self, event: Event, now: float) -> Effects:
        """A new or changed event that nothing is shed for yet."""
        replies, request = self._site.replies, event.request
        replies.expect(request.correlation_id)
        is_free = self.running is None and not self.stopping
        is_due = request.start_ts <= now
        later = self._refused_later(event, now)
        if later is not None:
            event.opt_out()
            return self.withdrawal.withdraw(event, AckStatus.OPTED_OUT, later, now)
        if is_due and ((is_free and self.queue.due(now) is None) or self._refused(event, now)):
            return self._begin(event, now)
        if is_due and event.is_limit:
            return self._join(event, now)
        if event.state is EventState.RECEIVED:
            event.to(EventState.SCHEDULED)
        self.queue.waiting[event.event_id] = event
        acks: Effects = []
        if request.start_ts > now:
            start_ts = json_number(request.start_ts)
            acks = replies.to_event(event, AckStatus.SCHEDULED, now, start_ts=start_ts)
        elif self.running is not None and self.execution.status.restores_for_long(now):
            restored, of = self.running.restored_of()
            text = (
                f"event {self.running.event_id} is being restored, {restored} of {of} circuits "
                f"are back; this one begins then"
            )
            reason = Reason(ReasonCode.RESTORING, text)
            acks = replies.to_event(event, AckStatus.SCHEDULED, now, reason)
        return saved_and_announced_effects(event, acks)

    def _join(self, event: Event, now: float) -> Effects:
        """A limit is in force while another event has the circuits: that one keeps it too."""
        event.join(now)
        self.queue.waiting[event.event_id] = event
        self._site.take_limit(event)
        event.wait_for(None if self.running is None else self.running.event_id)
        acks: Effects = []
        if not event.acked:
            acks = self._site.replies.to_event(
                event, AckStatus.ACCEPTED, now, limit_failsafe_reason(event)
            )
        return [*saved_and_announced_effects(event, acks), ReadMeterEffect()]

    def advance(self, now: float) -> Effects:
        """Begin what is due, preempt what has lower precedence, ack those that have to wait."""
        effects = self._after_the_last(now)
        while self.recovered and self.running is None and not self.stopping:
            effects += self.execution.take_over(self.recovered.pop(0), now)
            effects += self._after_the_last(now)
        due = self.queue.due(now)
        if due is None or self.stopping:
            return effects + self._prepare(now)
        effects += self.execution.make_way(now)
        effects += self._after_the_last(now)
        running = self.running
        if running is None:
            return effects + self._begin(due, now)
        if running.state is not EventState.ACTIVE:
            return effects
        if running.is_ending:  # a limit takes what it has
            return effects + self.finish(running, running.end_reason or ENDED_BY_COMMAND, now)
        if due.request.precedence < running.request.precedence:
            return effects + self._preempt(running, due, now)
        return effects + self._ack_waiting(running, now)

    def _prepare(self, now: float) -> Effects:
        """What the next event needs, ahead of its start."""
        is_free = self.running is None and not self.stopping
        may_begin = is_free and self.opted_out(now) is None
        return self.preparation.look(self.queue.waiting.values(), now, may_begin=may_begin)

    def prepared(self, event_id: str, outcome: PreparedEffect, now: float) -> Effects:
        """A reservation and a reading are there, or why not: for the event that begins, or ahead
        of one."""
        ahead = self.preparation.prepared(outcome)
        return self.execution.prepared(event_id, outcome, now) if ahead is None else ahead

    def _after_the_last(self, now: float) -> Effects:
        """Take note of an event that is over, and begin what was to come in its place. One that
        never began may be tried again in the same modification."""
        finished = self.execution.take_finished()
        if finished is None:
            return []
        over, successor = finished.event, finished.successor
        self.queue.remember(
            over.event_id, over.request.modification - (not over.cannot_begin_again)
        )
        if over.rebound_until_ts is not None:
            self.rebounds.watched.append(over)
        if successor is None:
            return []
        if successor.request.end_ts > now:
            return self._accept(successor, now)
        text = "its end passed while the earlier modification was restored"
        reason = Reason(ReasonCode.END_PASSED, text)
        return self._site.replies.to_event(successor, AckStatus.FAILED, now, reason)

    def _begin(self, event: Event, now: float) -> Effects:
        opted_out = self._refused(event, now)
        self.queue.waiting.pop(event.event_id, None)
        if opted_out is not None:
            event.opt_out()
            return self.withdrawal.withdraw(event, AckStatus.OPTED_OUT, opted_out, now)
        is_under_way = self.preparation.is_under_way(event)
        ahead = self.preparation.take(event, self._site.latest, now)
        dropped = self.preparation.drop()
        begun = self.execution.begin(event, now, ahead=ahead, is_prepared_now=is_under_way)
        return [*self.rebounds.close_all(now), *begun, *dropped]

    def _preempt(self, running: Event, other: Event, now: float) -> Effects:
        """`other` takes over what `running` has shed; that one waits for what time is left."""
        del self.queue.waiting[other.event_id]
        self.execution.hand_over(now)
        running.to(EventState.SCHEDULED)
        running.wait_for(other.event_id)
        self.queue.waiting[running.event_id] = running
        begun = self.execution.begin(other, now, taking_over_from=running)
        if running.is_limit:  # it is kept beside the other: nothing is to be said
            return [*saved_and_announced_effects(running, []), *begun]
        return [*self._wait_acked(running, other, now), *begun]

    def _ack_waiting(self, running: Event, now: float) -> Effects:
        effects: Effects = []
        for event in list(self.queue.waiting.values()):
            if event.request.start_ts <= now and event.preempted_by != running.event_id:
                if event.is_limit:
                    effects += self._join(event, now)
                    continue
                event.wait_for(running.event_id)
                effects += self._wait_acked(event, running, now)
        return effects

    def _wait_acked(self, event: Event, first: Event, now: float) -> Effects:
        text = (
            f"event {first.event_id} comes first until {_utc_text(first.request.end_ts)}; "
            f"this one goes on then if time is left"
        )
        reason = Reason(ReasonCode.LOWER_PRECEDENCE, text)
        return saved_and_announced_effects(
            event, self._site.replies.to_event_or_after(event, AckStatus.SCHEDULED, now, reason)
        )

    def opted_out(self, now: float) -> Reason | None:
        """Why the site does not take part now."""
        return self.opt_out.reason(self._site.policy.opt_schedule, now)

    def _refused(self, event: Event, now: float) -> Reason | None:
        return self.opt_out.refused(event, self._site.policy.opt_schedule, now)

    def _refused_later(self, event: Event, now: float) -> Reason | None:
        return self.opt_out.refused_later(event, self._site.policy.opt_schedule, now)

    @property
    def is_opt_schedule_edited(self) -> bool:
        return self.opt_out.is_edited(self._site.policy.opt_schedule)

    def see_opt_schedule(self, now: float) -> Effects:
        """The schedule was edited: who sent an event that begins in such a time hears it now, as
        when it came, and can ask others."""
        self.opt_out.see(self._site.policy.opt_schedule)
        effects: Effects = []
        for event in list(self.queue.waiting.values()):
            later = None if event.active_ts is not None else self._refused_later(event, now)
            if later is not None:
                del self.queue.waiting[event.event_id]
                event.opt_out()
                effects += self.withdrawal.withdraw(event, AckStatus.OPTED_OUT, later, now)
        return effects

    # ---- the failsafe of limits ----------------------------------------------------------

    def _note_new_limit(self, now: float) -> None:
        """A limit that is in failsafe is left by it, once it has ruled for long enough."""
        for event in self._site.limits.begun():
            if event.limit.is_failsafe:
                event.keep_limit(event.limit.with_new_limit(now))

    # ---- how events end ------------------------------------------------------------------

    def finish(self, event: Event, reason: Reason, now: float) -> Effects:
        """End the running event; if another is due, that one takes over what is shed."""
        due = self.queue.due(now, only_limits=self.opted_out(now) is not None)
        if due is None or event.state is not EventState.ACTIVE or self.stopping:
            return self.execution.end(reason, now)
        del self.queue.waiting[due.event_id]
        self.execution.hand_over(now)
        if event.end_ts > now:
            event.end_soon(reason)
        event.end(now)
        begun = self.execution.begin(due, now, taking_over_from=event)
        return [*self.withdrawal.complete(event, now), *begun]

    def end_by_command(self, command: Command, now: float, *, from_sender: bool = True) -> Effects:
        """`restore` and `cancel`: the event named, or the one that runs. Who is at the site ends no
        limit of the cloud's: `from_sender` is False for them."""
        replies, waits = self._site.replies, len(self.queue.waiting)
        if isinstance(command, CancelCommand) and command.event_id is None and waits:
            text = f"event_id: is missing, and other events wait ({waits}): name the one meant"
            reason = Reason(ReasonCode.MISSING_FIELD, text)
            return [replies.to(command, AckStatus.REJECTED, now, reason)]
        meant = self._known(command.event_id) if command.event_id else self.running
        if meant is not None and is_event_of_its_sender_alone(meant, from_sender=from_sender):
            return [replies.to(command, AckStatus.REJECTED, now, ONLY_ITS_SENDER)]
        waiting = self.queue.waiting.pop(command.event_id or "", None)
        if waiting is not None:
            if waiting.active_ts is not None:
                waiting.end_soon(ENDED_BY_COMMAND)
                waiting.end_by(command.op, command.correlation_id)
                waiting.end(now)
                return self.withdrawal.complete(waiting, now)
            reason = Reason(ReasonCode.CANCELLED_BY_COMMAND, "cancelled by command")
            effects = self.withdrawal.withdraw(waiting, AckStatus.FAILED, reason, now)
            return [*effects, replies.to(command, AckStatus.SUCCESS, now)]
        event = self.running
        if event is None or command.event_id not in (None, event.event_id):
            return self._end_unknown(command, now)
        if event.ended_by is not None:
            text = f"event {event.event_id} is being restored already"
            reason = Reason(ReasonCode.ALREADY_RESTORING, text)
            return [replies.to(command, AckStatus.SUCCESS, now, reason)]
        dropped: Effects = []
        later = event.take_pending()
        if later is not None:
            text = "ended by command before it could be applied"
            reason = Reason(ReasonCode.ENDED_BY_COMMAND, text)
            dropped = replies.to_event(later, AckStatus.FAILED, now, reason)
        event.end_by(command.op, command.correlation_id)
        replies.expect(command.correlation_id)
        if self.execution.status.is_idle:
            return [*dropped, *self.finish(event, ENDED_BY_COMMAND, now)]
        return [*self.execution.end_soon(now), *dropped]

    def _end_unknown(self, command: Command, now: float) -> Effects:
        replies = self._site.replies
        if command.event_id is None:
            text = "no event is running; nothing was to be restored"
            return [replies.to(command, AckStatus.SUCCESS, now, Reason(ReasonCode.NO_EVENT, text))]
        if isinstance(command, RestoreCommand) and self.queue.is_over(command.event_id, 0):
            text = f"event {command.event_id} is over already"
            reason = Reason(ReasonCode.EVENT_OVER, text)
            return [replies.to(command, AckStatus.SUCCESS, now, reason)]
        text = f"event {command.event_id} is not running and not scheduled"
        effects: Effects = []
        if isinstance(command, CancelCommand):
            text += "; should it come later than this command, it will not begin"
            effects.append(self.queue.withdraw(command.event_id, command.modification))
        reason = Reason(ReasonCode.UNKNOWN_EVENT, text)
        return [*effects, replies.to(command, AckStatus.REJECTED, now, reason)]

    # ---- the clock -----------------------------------------------------------------------

    def clock_stepped(self, step_sec: float, now: float) -> Effects:
        """The clock was set by `step_sec`. Events that have begun keep what is left of them; those
        to come are due by the new clock."""
        before = now - step_sec
        begun = [e for e in self.queue.waiting.values() if e.request.start_ts <= before]
        effects = [*self.opt_out.shift(step_sec), *self.preparation.drop()]
        for event in (*begun, *self.rebounds.watched, *self.recovered):
            event.shift(step_sec)
            effects.append(SaveEventEffect.of(event))
        return effects + self.execution.clock_stepped(step_sec)


def _utc_text(ts: float) -> str:
    """Epoch seconds in a sentence for a person: UTC, to the second."""
    return datetime.fromtimestamp(ts, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
