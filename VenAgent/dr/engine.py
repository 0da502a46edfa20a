"""The event engine: commands, readings, confirmations and time go in, effects come out.

It holds the site's events and decides everything about them; it does nothing itself. The agent
carries the effects out and reports back with `prepared`, `written`, `restored` and `switched`,
each of which may bring more effects. All times are epoch seconds given by the caller.

Which event rules is decided in ruling.py; how that one is carried out, in carrying.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from VenAgent.baseline.methods import RecentPower
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.command_reader import CommandRejected
from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    PingCommand,
    RestoreCommand,
    SetLoadCommand,
    ShedCommand,
)
from VenAgent.dr.arbitration import Arbitration
from VenAgent.dr.command_replies import CommandReplies
from VenAgent.dr.curtailment_plan import circuits_that_look_shed, reasons_spared
from VenAgent.dr.cycling_limits import FACT as WEAR
from VenAgent.dr.cycling_limits import CyclingLimits
from VenAgent.dr.effects import Effects, Prepared, SaveEvent
from VenAgent.dr.event import Event, EventState
from VenAgent.dr.panel import Panel, Reading
from VenAgent.dr.policy import OnStop, Policy
from VenAgent.dr.site_facts import LoadControl
from VenAgent.dr.site_state import SiteState


@dataclass(frozen=True)
class RecoveredState:
    """What an earlier process left in the journal."""

    events: Iterable[Event] = ()
    answers: Iterable[Mapping[str, Any]] = ()
    past: Iterable[tuple[str, int]] = ()
    """Events that are over, oldest first: id and modification."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    last_ts: float | None = None
    """When the earlier process last wrote."""


CLOCK_STEP_SEC = 2.0
"""The clock is slewed by less; a larger difference was set."""


class Engine:
    """One site's events. One rules at a time; others wait for their time or their turn."""

    def __init__(self, panel: Panel, ven_id: str, policy: Policy | None = None) -> None:
        self.answers = CommandReplies(ven_id)
        self.context = SiteState(panel, self.answers, policy or Policy())
        self._rule = Arbitration(self.context)
        self._carrier = self._rule.carrier
        self._switches = LoadControl(self.context)

    @property
    def panel(self) -> Panel:
        return self.context.panel

    @property
    def ven_id(self) -> str:
        return self.answers.ven_id

    @property
    def history(self) -> RecentPower:
        return self.context.history

    @property
    def running(self) -> Event | None:
        return self._carrier.event

    @property
    def scheduled(self) -> Mapping[str, Event]:
        return self._rule.agenda.waiting

    # ---- what comes in -------------------------------------------------------------------

    def command(self, command: Command, now: float) -> Effects:
        """A command that parsed. The same correlation_id again: the same answer, nothing else."""
        repeated = self.answers.repeat(command.correlation_id)
        if repeated is not None:
            return repeated
        if isinstance(command, ShedCommand):
            return self._rule.shed(command, now) + self._rule.turn(now)
        if isinstance(command, (RestoreCommand, CancelCommand)):
            return self._rule.end_by_command(command, now) + self._rule.turn(now)
        if isinstance(command, SetLoadCommand):
            return self._switches.command(command, self.running, now)
        if isinstance(command, PingCommand):
            return [self.answers.to(command, AckStatus.SUCCESS, now, pong=True)]
        reason = f"{command.op} is not supported by this version of VenAgent"
        return [self.answers.to(command, AckStatus.REJECTED, now, reason=reason)]

    def refuse(self, rejected: CommandRejected, now: float) -> Effects:
        """The answer to a command that does not parse (any more: its time may have passed)."""
        repeated = self.answers.repeat(rejected.correlation_id)
        if repeated is not None:
            return repeated
        return [self.answers.refuse(rejected, now)]

    def reading(self, reading: Reading, now: float, *, lease_overdue: bool = False) -> Effects:
        """A new reading of the whole panel. `lease_overdue`: the devices may have gone back by
        themselves, as `lease_lapsed` will tell once they are heard again."""
        self.context.latest = reading
        self.context.lease_overdue = lease_overdue
        if reading.power_kw is None:
            return []
        if self.running is not None:
            return self._carrier.reading(reading, now) + self._rule.turn(now)
        self.history.add(reading.ts, reading.power_kw)
        effects: Effects = []
        for event in self._rule.recovering:
            if event.rebound_kw is None or reading.power_kw > event.rebound_kw:
                event.rebound_kw = reading.power_kw
                effects.append(SaveEvent(event.event_id, event.as_record()))
        return effects

    def tick(self, now: float) -> Effects:
        """Time has passed; call it at `next_deadline` or later."""
        effects: Effects = []
        for late in self._rule.agenda.late(now):
            effects += self._rule.too_late(late, now)
        event = self.running
        if event is not None and event.end_ts <= now:
            effects += self._rule.finish(
                event, "its end came before its writes were confirmed", now
            )
        effects += self._carrier.tick(now)
        for over in [e for e in self._rule.recovering if (e.rebound_until_ts or 0.0) <= now]:
            effects += self._rule.recovered(over, now)
        return effects + self._rule.turn(now)

    def next_deadline(self) -> float | None:
        """When `tick` is next needed; None when nothing is waited for."""
        event = self.running
        active = event is not None and event.state is EventState.ACTIVE
        times = [
            self._carrier.next_deadline(),
            None
            if self._rule.stopping
            else self._rule.agenda.next_deadline(event, is_active=active),
            *(over.rebound_until_ts for over in self._rule.recovering),
        ]
        if event is not None and event.state is not EventState.RESTORING and event.ending is None:
            times.append(event.end_ts)
        return min((ts for ts in times if ts is not None), default=None)

    # ---- what the agent reports back -----------------------------------------------------

    def prepared(self, event_id: str, outcome: Prepared, now: float) -> Effects:
        """The reservation and the fresh reading are there, or why not: plan and write."""
        return self._carrier.prepared(event_id, outcome, now) + self._rule.turn(now)

    def written(
        self,
        event_id: str,
        failures: Mapping[str, str],
        now: float,
        reading: Reading | None = None,
    ) -> Effects:
        """The writes ended; `failures` has a reason by circuit id, all others are confirmed.
        `reading` was taken after them, if the effect asked for it."""
        return self._carrier.written(event_id, failures, now, reading) + self._rule.turn(now)

    def restored(
        self,
        event_id: str,
        failures: Mapping[str, str],
        now: float,
        reading: Reading | None = None,
    ) -> Effects:
        """Writes of a restore ended; `reading` was taken after them."""
        return self._carrier.restored(event_id, failures, now, reading) + self._rule.turn(now)

    def switched(self, switch_id: str, failures: Mapping[str, str], now: float) -> Effects:
        """A switch by hand ended."""
        effects = self._switches.switched(switch_id, failures, self.running, now)
        return effects + self._carrier.tick(now) + self._rule.turn(now)

    def preempted(self, task_id: str, by_whom: str, now: float) -> Effects:
        """The actuator gave our reservation `task_id` to another agent."""
        return self._carrier.preempted(task_id, by_whom, now)

    def lease_lapsed(self, now: float) -> Effects:
        """The shed lease could not be renewed in time, and now it can: the devices have gone
        back by themselves."""
        return self._carrier.lapsed(now)

    # ---- the agent's life ----------------------------------------------------------------

    def resume(self, left: RecoveredState, now: float) -> Effects:
        """Take over what an earlier process left."""
        for body in left.answers:
            self.answers.remember(body)
        self._rule.agenda.recall(left.past, left.facts)
        self.context.wear = CyclingLimits(left.facts.get(WEAR))
        self._rule.opt_out.recall(left.facts)
        effects = self._switches.recall(left.facts)
        for event in sorted(left.events, key=lambda e: e.start_ts):
            self._expect_again(event)
            if event.state is EventState.SCHEDULED:
                self._rule.agenda.waiting[event.event_id] = event
            elif event.state.over:
                self._rule.recovering.append(event)
            else:
                self._rule.left.append(event)
        step_sec = 0.0 if left.last_ts is None else now - left.last_ts
        if step_sec < -CLOCK_STEP_SEC:  # a clock without a battery goes on where it was
            effects += self.clock_stepped(step_sec, now)
        return effects + self._rule.turn(now) + self.tick(now)

    def recover(self, reading: Reading, now: float) -> Effects:
        """The journal is lost, and this agent had shed: bring back whatever reads as shed."""
        circuits = circuits_that_look_shed(self.panel, reading)
        if self.running is not None or not circuits:  # whoever asks, asks again
            return []
        event = Event(
            event_id=f"recovery-{now:.0f}",
            op="recover",
            correlation_id=None,
            requested_kw=0.0,
            start_ts=now,
            end_ts=now,
            state=EventState.RESTORING,
            circuits=circuits,
            answered=True,
        )
        record = SaveEvent(event.event_id, event.as_record())
        return [record, *self._carrier.take_over(event, now)]

    def _expect_again(self, event: Event) -> None:
        asked = [] if event.answered else [event.correlation_id, *event.also]
        if event.next_ask is not None:
            asked.append(event.next_ask.correlation_id)
        if event.ended_by is not None and not event.ended_by.answered:
            asked.append(event.ended_by.correlation_id)
        for correlation_id in asked:
            self.answers.expect(correlation_id)

    def reconfigure(self, panel: Panel, ven_id: str, policy: Policy | None = None) -> None:
        """A new configuration. A running event keeps the circuits and addresses it began with."""
        self.context.panel = self._switches.with_priorities(panel)
        if policy is not None:
            self.context.policy = policy
        if ven_id != self.ven_id:
            self.answers.ven_id = ven_id

    def stop(self, now: float) -> Effects:
        """The agent is stopped in order: the building goes back to normal first, all at once,
        unless the site's policy is to go on at the next start."""
        self._rule.stopping = True
        event = self.running
        if event is None:
            return []
        if self.leaves_to_next_start:
            return []
        return self._carrier.end("the agent was stopped", now, at_once=True)

    @property
    def leaves_to_next_start(self) -> bool:
        """Whether an orderly stop leaves the event that runs as it is."""
        event, resume = self.running, self.context.policy.on_stop is OnStop.RESUME
        return resume and event is not None and event.state is not EventState.RESTORING

    def clock_stepped(self, step_sec: float, now: float) -> Effects:
        """The clock was set by `step_sec`: nothing may take longer for it, or be done earlier than
        the equipment bears."""
        context = self.context
        context.history = RecentPower(self.history.window_sec)
        if context.latest is not None:
            context.latest = replace(context.latest, ts=context.latest.ts + step_sec)
        context.wear.shift(step_sec)
        return [context.keep_wear(), *self._rule.clock_stepped(step_sec, now)]

    # ---- a person at the site ------------------------------------------------------------

    def opt_out(self, reason: str, until_ts: float | None, now: float) -> Effects:
        """A person ends and refuses participation until `until_ts`, or until they opt in."""
        effects: Effects = [self._rule.opt_out.begin(reason, until_ts)]
        event = self.running
        if event is None or event.state is EventState.RESTORING or event.opted_out:
            return effects
        event.opted_out = True
        told = self.answers.follow_up(event, AckStatus.OPTED_OUT, now, reason=reason)
        if event.answered:
            effects.append(told)
        return effects + self._carrier.end(reason, now)

    def opt_in(self, now: float) -> Effects:
        """The site takes part in events again."""
        return [self._rule.opt_out.end(), *self._rule.turn(now)]

    def opted_out(self, now: float) -> str | None:
        """Why the site does not take part now; None when it does."""
        return self._rule.opt_out.reason(now)

    # ---- for telemetry and the page ------------------------------------------------------

    @property
    def shedding(self) -> Event | None:
        """The event that telemetry names: its writes are confirmed and not all undone."""
        return self.running if self.running is not None and self.running.shedding else None

    @property
    def holds(self) -> bool:
        """Whether anything is to stay shed, or about to be: then the devices' lease is renewed."""
        return self._carrier.holds

    def wants_more(self, event_id: str) -> bool:
        """Whether what is being shed for this event now is still wanted."""
        return (
            self.running is not None
            and self.running.event_id == event_id
            and (self._carrier.wants_more)
        )

    @property
    def is_at_work(self) -> bool:
        """Whether circuits are being shed or changed at this moment."""
        event = self.running
        busy = event is not None and event.state is EventState.SHEDDING
        return busy and not self._carrier.is_idle

    def baseline_kw(self, now: float) -> float | None:
        """The running event's baseline; without one, what an event beginning now would have."""
        if self.running is not None and self.running.baseline_kw is not None:
            return self.running.baseline_kw
        latest = self.context.latest
        if latest is None or latest.power_kw is None:
            return None
        return self.history.baseline(now, latest.power_kw).power_kw

    def reasons_spared(self, now: float) -> dict[str, str]:
        """Of each circuit that is not shed now, why not."""
        latest = self.context.latest or Reading(now, None, {})
        return reasons_spared(self.running, self.panel, latest, self.context.wear, now)

    def trouble(self) -> str | None:
        """What a person should know: circuits that do not go back. None when all is well."""
        return self._carrier.trouble()
