"""The event engine: commands, readings, confirmations and time go in, effects come out.

It holds the site's events and decides everything about them; it does nothing itself. The agent
carries the effects out and reports back with `prepared`, `written`, `restored` and `switched`,
each of which may bring more effects. All times are epoch seconds given by the caller.

Which event has precedence is decided in arbitration.py; how that one is carried out, in
event_execution.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Mapping
from dataclasses import replace

from VenAgent.baseline.intervals import IntervalHistory
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    EventCommand,
    PingCommand,
    RestoreCommand,
    SetLoadCommand,
)
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.arbitration import Arbitration
from VenAgent.dr.command_replies import CommandReplies
from VenAgent.dr.curtailment_reasons import curtailment_reasons_against
from VenAgent.dr.effects import Effects, PreparedEffect, ReadMeterEffect, SaveEventEffect
from VenAgent.dr.engine_recovery import EngineRecovery, RecoveredEngineState, recovery_event
from VenAgent.dr.event import Event
from VenAgent.dr.event_preparation import release_forgotten_preparation
from VenAgent.dr.event_state import EventState
from VenAgent.dr.load_control import LoadControl
from VenAgent.dr.opt_out import opt_out_told
from VenAgent.dr.panel import Panel, PanelReading
from VenAgent.dr.policy import Policy, StopPolicy
from VenAgent.dr.site_state import SiteState

CLOCK_STEP_SEC = 2.0
"""The clock is slewed by less; a larger difference was set."""
NOT_CONFIRMED_IN_TIME = Reason(
    ReasonCode.END_PASSED, "its end came before its writes were confirmed"
)
LEFT_BY_SCHEDULE = Reason(ReasonCode.OPT_SCHEDULE, "the site does not take part by its schedule")
AGENT_STOPPED = Reason(ReasonCode.AGENT_STOPPED, "the agent was stopped")


class Engine:
    """One site's events. One at a time has precedence; others wait for their time or turn."""

    def __init__(self, panel: Panel, ven_id: str, policy: Policy | None = None) -> None:
        self.replies = CommandReplies(ven_id)
        self.site = SiteState(panel, self.replies, policy or Policy())
        self._arbitration = Arbitration(self.site)
        self._execution = self._arbitration.execution
        self._load_control = LoadControl(self.site)
        self._recovery = EngineRecovery(self.site, self._arbitration, self._load_control)

    @property
    def panel(self) -> Panel:
        return self.site.panel

    @property
    def ven_id(self) -> str:
        return self.replies.ven_id

    @property
    def history(self) -> RecentPower:
        return self.site.history

    @property
    def running(self) -> Event | None:
        return self._execution.event

    @property
    def scheduled(self) -> Mapping[str, Event]:
        return self._arbitration.queue.waiting

    # ---- what comes in -------------------------------------------------------------------

    def command(
        self, command: Command, now: float, *, lot: float = 0.0, from_sender: bool = True
    ) -> Effects:
        """A command that parsed. The same correlation_id again: the same ack, nothing else.

        `lot`: drawn by the caller, 0 … 1; by it an event begins whose start each site draws.
        `from_sender`: it is a sign of who sends limits, not of someone at the site.
        """
        heard = self.heard(command, now) if from_sender else []
        repeated = self.replies.repeat(command, now)
        if repeated is not None:
            return heard + repeated
        obeyed = self._obey(command, now, lot, from_sender=from_sender)
        return [*heard, *self.replies.take(command), *obeyed]

    def heard(self, command: Command, now: float) -> Effects:
        """A command of the sender's, whatever it asks: one that waited in a queue is a sign of
        when it was sent."""
        ts = now if command.issued_ts is None else command.issued_ts
        failsafe = self._arbitration.failsafe
        return failsafe.hear(min(ts, now)) + failsafe.tick(now)

    def _obey(self, command: Command, now: float, lot: float, *, from_sender: bool) -> Effects:
        if isinstance(command, EventCommand):
            effects = self._arbitration.take(command, now, lot, from_sender=from_sender)
            effects += self._arbitration.failsafe.tick(now)
            return effects + self._arbitration.advance(now)
        if isinstance(command, (RestoreCommand, CancelCommand)):
            ended = self._arbitration.end_by_command(command, now, from_sender=from_sender)
            return ended + self._arbitration.advance(now)
        if isinstance(command, SetLoadCommand):
            is_written_now = self._execution.status.is_writing(command.circuit_id)
            return self._load_control.command(
                command, self.running, now, is_written_now=is_written_now
            )
        if isinstance(command, PingCommand):
            return [self.replies.to(command, AckStatus.SUCCESS, now, pong=True)]
        text = f"{command.op} is not supported by this version of VenAgent"
        reason = Reason(ReasonCode.NOT_SUPPORTED, text)
        return [self.replies.to(command, AckStatus.REJECTED, now, reason)]

    def refuse(self, rejected: CommandNotRead, now: float) -> Effects:
        """The ack of a command that does not parse (any more: its time may have passed)."""
        return self.replies.refuse(rejected, now)

    def reading(self, reading: PanelReading, now: float, *, lease_overdue: bool = False) -> Effects:
        """A new reading of the whole panel. `lease_overdue`: the devices may have gone back by
        themselves, as `lease_lapsed` will report once they are heard again."""
        guards = self.site.guards.note(self.panel, reading, now, self.gap_limit_sec)
        reading = self.site.guards.believed(self.panel, reading, now)
        self.site.latest = reading
        self.site.lease_overdue = lease_overdue
        running = self.running
        held: Collection[str] = ()
        if running is not None:
            held = {circuit.circuit_id for circuit in running.held()}
            running.put(circuit.in_unit_of(reading) for circuit in running.circuits)
        unrestored = self.site.unrestored.reading(reading, held)
        effects = guards + unrestored + self._execution.protect(reading, now)
        return effects + self._panel_reading(reading, now)

    def _panel_reading(self, reading: PanelReading, now: float) -> Effects:
        if reading.power_kw is None:
            return []
        self.site.stillness.note(reading.ts, reading.power_kw)
        running = self.running
        if self.site.stillness.is_suspect and running is not None:
            return self._execution.reading(reading, now) + self._arbitration.advance(now)
        self.site.sampling.add(reading.ts)
        before_ts = self.site.limits.last_ts
        for limits in self.site.all_limits:
            limits.note(reading.ts, reading.power_kw, self.gap_limit_sec)
        effects = self._execution.limits.account(reading.ts, before_ts)
        if running is None or running.is_limit:  # what would be drawn without the limit
            held_kw = 0.0 if running is None else running.held_off_load_kw
            self.history.add(reading.ts, reading.power_kw + held_kw)
        if running is not None:
            effects += self._execution.reading(reading, now)
            return effects + self._arbitration.advance(now)
        return effects + self._arbitration.rebounds.reading(reading.power_kw)

    def tick(self, now: float) -> Effects:
        """Time has passed; call it at `next_deadline` or later."""
        effects = self._arbitration.withdrawal.tick(now)
        effects += self._arbitration.failsafe.tick(now)
        event = self.running
        leaves = event is not None and self._leaves_by_schedule_ts(event) <= now
        if self._arbitration.is_opt_schedule_edited:
            effects += self._arbitration.see_opt_schedule(now)
            leaves = leaves or (event is not None and self._is_left_by_edit(event, now))
        if event is not None and leaves:
            why = self._arbitration.opted_out(now) or LEFT_BY_SCHEDULE
            effects += self._end_without_part(event, why, now)
            event = self.running
        if event is not None and event.end_ts <= now:
            effects += self._arbitration.finish(event, NOT_CONFIRMED_IN_TIME, now)
        effects += self._execution.tick(now)
        effects += self.site.unrestored.due(now, reserve=self.running is None)
        effects += self._load_control.due(self.running, self._execution.status.is_writing, now)
        effects += self._arbitration.rebounds.tick(now)
        return effects + self._arbitration.advance(now)

    def next_deadline(self) -> float | None:
        """When `tick` is next needed; None when nothing is waited for."""
        event = self.running
        active = event is not None and event.state is EventState.ACTIVE
        times = [
            self._arbitration.failsafe.next_deadline(),
            self._execution.next_deadline(),
            self.site.unrestored.next_deadline(),
            self._load_control.next_deadline(),
            None
            if self._arbitration.stopping
            else self._arbitration.queue.next_deadline(event, is_active=active),
            *(over.rebound_until_ts for over in self._arbitration.rebounds.watched),
        ]
        if event is None and not self._arbitration.stopping:
            times.append(self._arbitration.preparation.next_deadline(self.scheduled.values()))
        ends = event is not None and event.end_reason is None
        if event is not None and ends and event.state is not EventState.RESTORING:
            times.append(event.end_ts)
            times.append(self._leaves_by_schedule_ts(event))
        if self._arbitration.is_opt_schedule_edited:
            times.append(0.0)
        soonest_ts = min((ts for ts in times if ts is not None), default=math.inf)
        return soonest_ts if soonest_ts < math.inf else None

    def _leaves_by_schedule_ts(self, event: Event) -> float:
        return self._arbitration.opt_out.leaves_ts(event, self.site.policy.opt_schedule)

    def _is_left_by_edit(self, event: Event, now: float) -> bool:
        """Whether the schedule was edited so that its time began before the event."""
        stays = event.is_limit or event.opted_out or event.state is EventState.RESTORING
        return not stays and self._arbitration.opted_out(now) is not None

    # ---- what the agent reports back -----------------------------------------------------

    def prepared(self, event_id: str, outcome: PreparedEffect, now: float) -> Effects:
        """The reservation and the fresh reading are there, or why not: plan and write."""
        if outcome.reading is not None:
            believed = self.site.guards.believed(self.panel, outcome.reading, now)
            outcome = replace(outcome, reading=believed)
        return self._arbitration.prepared(event_id, outcome, now) + self._arbitration.advance(now)

    def written(
        self,
        event_id: str,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None = None,
    ) -> Effects:
        """The writes ended; `failures` has a reason by circuit id, all others are confirmed.
        `reading` was taken after them, if the effect asked for it."""
        effects = self._execution.written(event_id, failures, now, reading)
        return effects + self._after_writes(now)

    def restored(
        self,
        event_id: str,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None = None,
        circuit_ids: Container[str] | None = None,
    ) -> Effects:
        """Writes of a restore ended: of these circuits, or of all that are under way; `reading` was
        taken after them."""
        effects = self._execution.restored(event_id, failures, now, reading, circuit_ids)
        return effects + self._after_writes(now)

    def switched(self, switch_id: str, failures: Mapping[str, Reason], now: float) -> Effects:
        """The writes of a `setLoad`, or of a circuit that could not be put back, ended."""
        if self.site.unrestored.switched(switch_id, failures, now):
            return [ReadMeterEffect()]
        effects = self._load_control.switched(switch_id, failures, self.running, now)
        return effects + self._execution.tick(now) + self._after_writes(now)

    def _after_writes(self, now: float) -> Effects:
        waited = self._load_control.start_waiting(
            self.running, self._execution.status.is_writing, now
        )
        return waited + self._arbitration.advance(now)

    def preempted(self, task_id: str, by_whom: str, now: float) -> Effects:
        """The actuator gave our reservation `task_id` to another agent."""
        self._arbitration.preparation.outdate(task_id)
        return self._execution.preempted(task_id, by_whom, now)

    def lease_lapsed(self, now: float) -> Effects:
        """The shed lease could not be renewed in time, and now it can: the devices have gone
        back by themselves."""
        return self._execution.lease_lapsed(now)

    # ---- the agent's life ----------------------------------------------------------------

    def resume(self, recovered: RecoveredEngineState, now: float) -> Effects:
        """Take over what an earlier process left."""
        effects = self._recovery.take(recovered, now)
        step_sec = 0.0 if recovered.last_ts is None else now - recovered.last_ts
        if step_sec < -CLOCK_STEP_SEC:  # a clock without a battery goes on where it was
            effects += self.clock_stepped(step_sec, now)
        effects += release_forgotten_preparation(self.scheduled.values())
        return effects + self._arbitration.advance(now) + self.tick(now)

    def recover(self, reading: PanelReading, now: float) -> Effects:
        """The journal is lost, and this agent had shed: bring back whatever reads as shed."""
        event = recovery_event(self.panel, reading, now)
        if self.running is not None or event is None:  # the caller tries again
            return []
        return [SaveEventEffect.of(event), *self._execution.take_over(event, now)]

    def reconfigure(self, panel: Panel, ven_id: str, policy: Policy | None = None) -> None:
        """A new configuration. A running event keeps the circuits and addresses it began with;
        what was measured under another name or scale is not compared with what is read now."""
        if (panel.measured_by, ven_id) != (self.panel.measured_by, self.ven_id):
            self.site.forget_meter()
            self.site.intervals = IntervalHistory()
            self.site.latest = None
        self._arbitration.preparation.outdate()
        known = self._load_control.with_priorities(panel)
        self.site.panel = self.site.with_learned_sheds(known)
        if policy is not None:
            self.site.policy = policy
        if ven_id != self.ven_id:
            self.replies.ven_id = ven_id

    def stop(self, now: float) -> Effects:
        """The agent is stopped in order: the building goes back to normal first, all at once,
        unless the site's policy is to go on at the next start."""
        self._arbitration.stopping = True
        event = self.running
        if event is None:
            return self._arbitration.preparation.drop()
        if self.leaves_to_next_start:
            return []
        is_kept = event.active_ts is not None and not event.is_ending
        if event.is_limit and is_kept and event.state is not EventState.RESTORING:
            return self._execution.leave(now)
        return self._execution.end(AGENT_STOPPED, now, at_once=True)

    @property
    def leaves_to_next_start(self) -> bool:
        """Whether an orderly stop leaves the event that runs as it is."""
        event, resume = self.running, self.site.policy.on_stop is StopPolicy.RESUME
        return resume and event is not None and event.state is not EventState.RESTORING

    def clock_stepped(self, step_sec: float, now: float) -> Effects:
        """The clock was set by `step_sec`: nothing may take longer for it, or be done earlier than
        the equipment bears."""
        site = self.site
        site.forget_measurements()
        site.stillness.shift(step_sec)
        site.unshown.shift(step_sec)
        if site.latest is not None:
            site.latest = replace(site.latest, ts=site.latest.ts + step_sec)
        site.cycling_limits.shift(step_sec)
        site.guards.shift(step_sec)
        site.guarded_until = {name: ts + step_sec for name, ts in site.guarded_until.items()}
        site.unrestored.shift(step_sec)
        self._load_control.shift(step_sec)
        return [site.save_cycling_limits(), *self._arbitration.clock_stepped(step_sec, now)]

    # ---- a person at the site ------------------------------------------------------------

    def opt_out(self, reason: str, until_ts: float | None, now: float) -> Effects:
        """A person ends and refuses participation until `until_ts`, or until they opt in."""
        effects: Effects = [self._arbitration.opt_out.begin(reason, until_ts)]
        effects += self._arbitration.preparation.drop()
        event = self.running
        if event is None or event.state is EventState.RESTORING or event.opted_out:
            return effects
        if event.is_limit:
            return effects
        return effects + self._end_without_part(event, opt_out_told(reason), now)

    def _end_without_part(self, event: Event, why: Reason, now: float) -> Effects:
        """The event that runs ends: the site does not take part any more."""
        effects: Effects = []
        event.opt_out()
        if event.acked:
            effects.append(self.replies.follow_up(event, AckStatus.OPTED_OUT, now, why))
        return effects + self._arbitration.finish(event, why, now)

    def opt_in(self, now: float) -> Effects:
        """The site takes part in events again."""
        ended = self._arbitration.opt_out.end(self.site.policy.opt_schedule, now)
        return [ended, *self._arbitration.advance(now)]

    def opted_out(self, now: float) -> Reason | None:
        """Why the site does not take part now, in the person's words; None when it does."""
        return self._arbitration.opted_out(now)

    def opted_out_until_ts(self, now: float) -> float | None:
        """When the site takes part again (epoch s); None: when someone opts in."""
        return self._arbitration.opt_out.until_ts(self.site.policy.opt_schedule, now)

    def opts_out_at_ts(self, now: float) -> float | None:
        """When the next scheduled time without participation begins; None: none is near."""
        start_ts = self._arbitration.opt_out.out_from_ts(self.site.policy.opt_schedule, now)
        return start_ts if start_ts < math.inf else None

    # ---- for telemetry and the page ------------------------------------------------------

    @property
    def shedding(self) -> Event | None:
        """The event that telemetry names: its writes are confirmed and not all undone."""
        return self.running if self.running is not None and self.running.shedding else None

    @property
    def holds(self) -> bool:
        """Whether anything is to stay shed, or about to be: then the devices' lease is renewed."""
        return self._execution.status.holds or self._arbitration.preparation.is_holding

    @property
    def is_curtailed(self) -> bool:
        """Whether the site draws less than it would by itself: an event runs, or a limit holds
        circuits off."""
        event = self.running
        return event is not None and (not event.is_limit or bool(event.held()))

    @property
    def is_restored(self) -> bool:
        """Whether nothing is shed or to be put back: then the devices' lease is given back."""
        return not self.holds and not self.site.unrestored.circuit_ids

    def wants_more(self, event_id: str) -> bool:
        """Whether what is being shed for this event now is still wanted."""
        return (
            self.running is not None
            and self.running.event_id == event_id
            and self._execution.status.wants_more
        )

    @property
    def is_meter_frozen(self) -> bool:
        """Whether what the meter reads is not believed: it shows nothing of what was switched."""
        return self.site.stillness.is_suspect and self.running is not None

    def believed(self, reading: PanelReading) -> PanelReading:
        """`reading` without the powers of a frozen meter: the site's, and those of circuits that
        are held and do not show it."""
        running = self.running
        if running is None or not self.is_meter_frozen:
            return reading
        unseen = {
            circuit.circuit_id: replace(reading.circuit(circuit.circuit_id), power_kw=None)
            for circuit in running.held()
            if self.site.unshown.still_since_ts(circuit.circuit_id) < math.inf
        }
        circuits = {**reading.circuits, **unseen}
        return replace(reading, power_kw=None, current_amps=None, circuits=circuits)

    @property
    def is_at_work(self) -> bool:
        """Whether circuits are being shed or changed at this moment."""
        event = self.running
        busy = event is not None and event.state is EventState.SHEDDING
        return busy and not self._execution.status.is_idle

    @property
    def gap_limit_sec(self) -> float:
        """A longer time between two readings is a gap, not a constant power."""
        return self.site.sampling.gap_limit_sec

    @property
    def stale_after_sec(self) -> float:
        """When a reading is stale: as configured, or later with a meter that is read seldom."""
        return self.site.stale_after_sec

    def import_limit_kw(self, now: float) -> float | None:
        """What the site may draw at most now; None without a limit."""
        return self.site.limits.least_kw(now)

    def export_limit_kw(self, now: float) -> float | None:
        """What the site may feed in at most now; None without a limit."""
        return self.site.export_limits.least_kw(now)

    def baseline_kw(self, now: float) -> float | None:
        """The running event's baseline; without one, what an event beginning now would have."""
        if self.running is not None and self.running.baseline_kw is not None:
            return self.running.baseline_kw
        latest = self.site.latest
        if latest is None or latest.power_kw is None:
            return None
        return self.history.baseline(now, latest.power_kw).power_kw

    def reasons_spared(self, now: float) -> dict[str, Reason]:
        """Of each circuit that is not shed now, why not."""
        latest = self.site.latest or PanelReading(now, None, {})
        return curtailment_reasons_against(
            self.running, self.panel, latest, self.site.cycling_limits, now
        )

    def trouble(self) -> str | None:
        """What a person should know: circuits that do not go back. None when all is well."""
        troubles = (self._execution.status.trouble(), self.site.unrestored.trouble())
        return "; ".join(text for text in troubles if text) or None
