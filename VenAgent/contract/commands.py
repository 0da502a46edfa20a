"""Commands to `ven/cmd/{venId}` as typed values: what each op is and which fields it has.

`command_reader` makes them from bytes, `command_builder` writes what `command_reader` reads.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, StrictBool

from VenAgent.contract.command_fields import (
    EpochOrNone,
    Number,
    NumberOrNone,
    Text,
    TextOrNone,
    Whole,
    WholeOrNone,
    spelled,
    spelled_or,
)

DEFAULT_DURATION_SEC = 3600.0


class Op(str, Enum):
    """What a command asks for. Two of a kind are two names of the same."""

    EVENT = "event"
    SHED_PANEL = "shedPanel"
    SHED_LOAD = "shedLoad"
    LIMIT = "limit"
    LOAD_UP = "loadUp"
    RESTORE = "restore"
    RESTORE_PANEL = "restorePanel"
    CANCEL = "cancel"
    PING = "ping"
    GET = "get"
    SET = "set"
    SET_CONFIG = "setConfig"
    SET_LOAD = "setLoad"


SHED_OPS = (Op.EVENT.value, Op.SHED_PANEL.value, Op.SHED_LOAD.value)
"""They ask for less power; the acks of their events bear these too."""
EVENT_OPS = (*SHED_OPS, Op.LIMIT.value, Op.LOAD_UP.value)
"""They begin or change an event."""
END_OPS = (Op.RESTORE.value, Op.RESTORE_PANEL.value, Op.CANCEL.value)
"""They end or withdraw one."""


class Command(BaseModel):
    """What every command carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    op: str
    correlation_id: TextOrNone = spelled_or(None, "correlation_id")
    event_id: TextOrNone = spelled_or(None, "event_id")


class ShedCommand(Command):
    """`event` and `shedPanel`: shed `shed_kw` from `start_ts` (now if none) until its end.

    Times are epoch seconds, durations seconds, power kW.
    """

    shed_kw: Number = spelled("shed_kw")
    duration_sec: NumberOrNone = spelled_or(None, "duration_sec")
    start_ts: EpochOrNone = spelled_or(None, "start_ts")
    end_ts: EpochOrNone = spelled_or(None, "end_ts")
    modification: Whole = 0
    issued_ts: EpochOrNone = spelled_or(None, "issued_ts")
    expires_ts: EpochOrNone = spelled_or(None, "expires_ts")
    event_priority: WholeOrNone = spelled_or(None, "event_priority")


class ShedLoadCommand(ShedCommand):
    """`shedLoad`: the same for one circuit; without a circuit, as `shedPanel`."""

    shed_kw: Number = spelled("shed_kw", "reduceKw")
    circuit_id: TextOrNone = spelled_or(None, "circuit_id")


class RestoreCommand(Command):
    """`restore`, `restorePanel`: end the event named, or the active one."""


class CancelCommand(Command):
    """`cancel`: withdraw a scheduled event; on an active one as `restore`."""

    modification: Whole = 0
    """The latest one that it withdraws, should it overtake its event on the way."""


class PingCommand(Command):
    """`ping`."""


class GetCommand(Command):
    """`get`: what is one of `choices`."""

    choices: ClassVar[tuple[str, ...]] = ("status", "config", "loads", "shadow")
    what: Text = "status"


class SetCommand(Command):
    """`set`, `setConfig`: intervals in seconds, written to the config store."""

    report_interval_sec: NumberOrNone = spelled_or(None, "report_interval_sec")
    shadow_interval_sec: NumberOrNone = spelled_or(None, "shadow_interval_sec")


class SetLoadCommand(Command):
    """`setLoad`: switch a circuit, or change its priority (1 critical … 5 flexible)."""

    circuit_id: Text = spelled("circuit_id")
    enabled: StrictBool | None = None
    priority: WholeOrNone = None


COMMAND_OF_OP: dict[str, type[Command]] = {
    Op.EVENT.value: ShedCommand,
    Op.SHED_PANEL.value: ShedCommand,
    Op.SHED_LOAD.value: ShedLoadCommand,
    Op.RESTORE.value: RestoreCommand,
    Op.RESTORE_PANEL.value: RestoreCommand,
    Op.CANCEL.value: CancelCommand,
    Op.PING.value: PingCommand,
    Op.GET.value: GetCommand,
    Op.SET.value: SetCommand,
    Op.SET_CONFIG.value: SetCommand,
    Op.SET_LOAD.value: SetLoadCommand,
}


def event_window(command: ShedCommand, now: float) -> tuple[float, float]:
    """(start, end) of the event in epoch seconds; an end given wins over a duration."""
    start_ts = now if command.start_ts is None else command.start_ts
    if command.end_ts is not None:
        return start_ts, command.end_ts
    duration_sec = DEFAULT_DURATION_SEC if command.duration_sec is None else command.duration_sec
    return start_ts, start_ts + duration_sec
