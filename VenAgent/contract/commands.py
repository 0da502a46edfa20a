"""Commands to `ven/cmd/{venId}` as typed values: what each op is and which fields it has.

`command_reader` makes them from bytes, `command_builder` writes what `command_reader` reads.
"""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, StrictBool

from VenAgent.contract.command_fields import (
    LOAD_SHED_SPELLINGS,
    SPELLINGS,
    Duration,
    DurationOrNone,
    Number,
    NumberOrNone,
    Text,
    TextOrNone,
    TimeOrNone,
    Whole,
    WholeOrNone,
)
from VenAgent.contract.op import Op

DEFAULT_DURATION_SEC = 3600.0
FINGERPRINT_FORM = "2-"
"""What a fingerprint begins with: those of an earlier form cannot be compared."""


class CommandFeature(str, Enum):
    """What a command may ask for beyond one level of shedding: not every engine can do each."""

    LIMIT = "limit"
    LOAD_UP = "loadUp"
    INTERVALS = "intervals"
    RANDOMIZE_START = "randomize_start_sec"
    UNTIL_CANCELLED = "duration_sec: 0"
    TEST = "test"
    DRY_RUN = "dry_run"


class Command(BaseModel):
    """What every command carries. Times are epoch seconds, durations seconds, power kW."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    not_taken: ClassVar[frozenset[str]] = frozenset()
    """Fields of this class that the op does not have on the wire."""
    null_is_no_choice: ClassVar[frozenset[str]] = frozenset()
    """Fields whose absence widens what the op does: a null there is a name that its sender failed
    to find, and is refused."""

    op: str
    correlation_id: TextOrNone = None
    event_id: TextOrNone = None
    issued_ts: TimeOrNone = None
    expires_ts: TimeOrNone = None

    @classmethod
    def spellings(cls) -> dict[str, str]:
        """The field by each key that it may have on the wire."""
        return {
            key: field
            for field in cls.model_fields
            if field not in cls.not_taken
            for key in SPELLINGS[field]
        }

    @property
    def features(self) -> frozenset[CommandFeature]:
        """What it asks for beyond one level of shedding."""
        return frozenset()

    @property
    def fingerprint(self) -> str:
        """Of the content: the same for a command that is sent again, dated anew or not, however
        it is spelled; another for one that asks for something else."""
        content = self.model_dump(
            exclude={"op", "correlation_id", "issued_ts", "expires_ts"}, exclude_none=True
        )
        text = json.dumps([self.meaning, content], sort_keys=True, separators=(",", ":"))
        return FINGERPRINT_FORM + hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def meaning(self) -> str:
        """The op, by one of the names that mean the same."""
        return SAME_OP.get(self.op, self.op)


class EventCommandInterval(BaseModel):
    """One level of an event, `duration_sec` long; the next follows without a restore between."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration_sec: Duration
    shed_kw: NumberOrNone = None
    import_kw: NumberOrNone = None


class EventCommand(Command):
    """What every command has that begins or changes an event, from `start_ts` (now if none)."""

    duration_sec: DurationOrNone = None
    start_ts: TimeOrNone = None
    end_ts: TimeOrNone = None
    modification: Whole = 0
    event_priority: WholeOrNone = None
    """As in OpenADR 3: 0 is the highest, none the lowest."""
    intervals: tuple[EventCommandInterval, ...] = ()
    randomize_start_sec: DurationOrNone = None
    """Each site draws its delay within it, once."""
    test: StrictBool = False
    dry_run: StrictBool = False
    """Nothing is written; the ack says what would be."""

    @property
    def lasts_until_cancelled(self) -> bool:
        """Up to the longest that the site takes."""
        return self.duration_sec == 0 and self.end_ts is None

    @property
    def features(self) -> frozenset[CommandFeature]:
        asked = {
            CommandFeature.INTERVALS: bool(self.intervals),
            CommandFeature.RANDOMIZE_START: bool(self.randomize_start_sec),
            CommandFeature.UNTIL_CANCELLED: self.lasts_until_cancelled,
            CommandFeature.TEST: self.test,
            CommandFeature.DRY_RUN: self.dry_run,
        }
        return frozenset(feature for feature, is_asked in asked.items() if is_asked)


class ShedCommand(EventCommand):
    """`event` and `shedPanel`: shed `shed_kw`; with `intervals` that is the highest of them."""

    shed_kw: Number


class ShedLoadCommand(ShedCommand):
    """`shedLoad`: the same for one circuit; without a circuit, as `shedPanel`."""

    null_is_no_choice = frozenset({"circuit_id"})

    circuit_id: TextOrNone = None

    @classmethod
    def spellings(cls) -> dict[str, str]:
        return {**super().spellings(), **dict.fromkeys(LOAD_SHED_SPELLINGS, "shed_kw")}

    @property
    def meaning(self) -> str:
        return Op.EVENT.value if self.circuit_id is None else self.op


class LoadUpCommand(EventCommand):
    """`loadUp`: draw `raise_kw` more."""

    not_taken = frozenset({"intervals"})

    raise_kw: Number

    @property
    def features(self) -> frozenset[CommandFeature]:
        return super().features | {CommandFeature.LOAD_UP}


class LimitCommand(EventCommand):
    """`limit`: keep the site's power, as a mean over `window_sec`, at or under `import_kw` (and
    what it feeds in under `export_kw`). Without an end it holds until further notice.

    With `heartbeat_sec` the limit `failsafe_kw` rules once no command, ping or repeated limit came
    for so long, for at least `failsafe_min_sec` (EEBus LPC; §14a EnWG).
    """

    import_kw: NumberOrNone = None
    export_kw: NumberOrNone = None
    window_sec: DurationOrNone = None
    failsafe_kw: NumberOrNone = None
    heartbeat_sec: DurationOrNone = None
    failsafe_min_sec: DurationOrNone = None

    @property
    def is_without_end(self) -> bool:
        """Until further notice."""
        return not self.duration_sec and self.end_ts is None and not self.intervals

    @property
    def features(self) -> frozenset[CommandFeature]:
        return super().features | {CommandFeature.LIMIT}


class RestoreCommand(Command):
    """`restore`, `restorePanel`: end the event named, or the active one."""

    null_is_no_choice = frozenset({"event_id"})

    modification: Whole = 0


class CancelCommand(Command):
    """`cancel`: withdraw a scheduled event; on an active one as `restore`. Without an id it is
    about the active one, and refused where others wait: it may be meant for one of them."""

    null_is_no_choice = frozenset({"event_id"})

    modification: Whole = 0
    """The latest one that it withdraws, should it overtake its event on the way."""


class PingCommand(Command):
    """`ping`."""

    not_taken = frozenset({"event_id"})


class GetCommand(Command):
    """`get`: what is one of `choices`."""

    not_taken = frozenset({"event_id"})
    choices: ClassVar[tuple[str, ...]] = ("status", "config", "loads", "shadow")

    what: Text = "status"


class SetCommand(Command):
    """`set`, `setConfig`: intervals in seconds, written to the config store."""

    not_taken = frozenset({"event_id"})

    report_interval_sec: DurationOrNone = None
    shadow_interval_sec: DurationOrNone = None


class SetLoadCommand(Command):
    """`setLoad`: switch a circuit, or change its priority (1 critical … 5 flexible)."""

    not_taken = frozenset({"event_id"})

    circuit_id: Text
    enabled: StrictBool | None = None
    priority: WholeOrNone = None


SAME_OP: dict[str, str] = {
    Op.SHED_PANEL.value: Op.EVENT.value,
    Op.RESTORE_PANEL.value: Op.RESTORE.value,
    Op.SET_CONFIG.value: Op.SET.value,
}
"""Of an op that is another name of one."""

COMMAND_OF_OP: dict[str, type[Command]] = {
    Op.EVENT.value: ShedCommand,
    Op.SHED_PANEL.value: ShedCommand,
    Op.SHED_LOAD.value: ShedLoadCommand,
    Op.LIMIT.value: LimitCommand,
    Op.LOAD_UP.value: LoadUpCommand,
    Op.RESTORE.value: RestoreCommand,
    Op.RESTORE_PANEL.value: RestoreCommand,
    Op.CANCEL.value: CancelCommand,
    Op.PING.value: PingCommand,
    Op.GET.value: GetCommand,
    Op.SET.value: SetCommand,
    Op.SET_CONFIG.value: SetCommand,
    Op.SET_LOAD.value: SetLoadCommand,
}


def event_command_window(command: EventCommand, now: float) -> tuple[float, float]:
    """(start, end) of the event in epoch seconds. It lasts for its duration, or its intervals;
    for the usual hour without them. With an end and a duration it begins that long before its end;
    else, without a start, `now` (its intervals have to fit)."""
    lasts_sec, start_ts, end_ts = command.duration_sec, command.start_ts, command.end_ts
    if start_ts is None:
        is_said = end_ts is not None and lasts_sec and not command.intervals
        start_ts = (end_ts or 0.0) - (lasts_sec or 0.0) if is_said else now
    if lasts_sec is None and command.intervals:
        lasts_sec = sum(each.duration_sec for each in command.intervals)
    if end_ts is None:
        end_ts = start_ts + (DEFAULT_DURATION_SEC if lasts_sec is None else lasts_sec)
    return start_ts, end_ts
