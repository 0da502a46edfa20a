"""Why something was refused, changed or left out: a code for programs and a text for people.

The code is stable: it stands as `reason_code` in acks and alerts, and a program decides by it. The
text may be worded anew at any time, and no program reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ReasonCode(str, Enum):
    """All codes. One may be added; none changes its meaning."""

    # a command that is refused
    UNSUPPORTED_OP = "unsupported_op"
    UNKNOWN_CIRCUIT = "unknown_circuit"
    NOT_CONTROLLABLE = "not_controllable"
    CRITICAL = "critical"
    NO_SWITCH_POINT = "no_switch_point"
    BAD_PRIORITY = "bad_priority"
    NOTHING_TO_SET = "nothing_to_set"
    EVENT_OVER = "event_over"
    MODIFICATION_OUTDATED = "modification_outdated"
    UNKNOWN_EVENT = "unknown_event"
    # what becomes of an event
    SUPERSEDED = "superseded"
    END_PASSED = "end_passed"
    LOWER_PRECEDENCE = "lower_precedence"
    """Another event comes first; this one goes on then if time is left."""
    ENDED_BY_COMMAND = "ended_by_command"
    CANCELLED_BY_COMMAND = "cancelled_by_command"
    ALREADY_RESTORING = "already_restoring"
    NO_EVENT = "no_event"
    OPTED_OUT = "opted_out"
    AGENT_STOPPED = "agent_stopped"
    AGENT_WAS_DOWN = "agent_was_down"
    # what keeps an event from shedding, or changes what it sheds
    NOTHING_TO_SHED = "nothing_to_shed"
    METER_UNREADABLE = "meter_unreadable"
    RESERVATION_REFUSED = "reservation_refused"
    NOT_ANSWERED = "not_answered"
    """An agent that is needed, or the device, gave no answer in time; it may do so soon."""
    WRITE_FAILED = "write_failed"
    PARTLY_WRITTEN = "partly_written"
    DEVICES_TAKEN = "devices_taken"
    """Another VOLTTRON agent has reserved them with a higher priority."""
    LEASE_LAPSED = "lease_lapsed"
    """The devices went back by themselves."""
    OFF_TARGET = "off_target"
    NOT_RESPONDED = "not_responded"
    MANUAL_OVERRIDE = "manual_override"
    RESUMED = "resumed"
    RESTORE_FAILED = "restore_failed"
    # why a circuit is not shed
    NOT_READ = "not_read"
    SWITCHED_OFF = "switched_off"
    DRAWS_NOTHING = "draws_nothing"
    CYCLING_LIMIT = "cycling_limit"
    LAST_RESORT = "last_resort"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True)
class Reason:
    """`text` is one plain sentence that says what to do where something can be done."""

    code: ReasonCode
    text: str

    def __str__(self) -> str:
        return self.text
