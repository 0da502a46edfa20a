"""Why something was refused, changed or left out: a code for programs and a text for people.

The code is stable: it stands as `reason_code` in acks and alerts, and a program decides by it. The
text may be worded anew at any time, and no program reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class ReasonCode(str, Enum):
    """All codes. One may be added; none changes its meaning."""

    # a message that is refused as it stands, whatever it is about
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    BAD_NUMBER = "bad_number"
    BAD_TOPIC = "bad_topic"
    TOO_MANY = "too_many"
    # a command that is not read
    UNKNOWN_OP = "unknown_op"
    OTHER_VEN = "other_ven"
    UNKNOWN_FIELD = "unknown_field"
    """No op has it: a slip of the pen, or of another version."""
    FIELD_NOT_APPLICABLE = "field_not_applicable"
    """Another op has it."""
    CONTRADICTION = "contradiction"
    """Two spellings of one field with different values."""
    BAD_FIELD = "bad_field"
    """A value that the field cannot have; the code of a field in general."""
    MISSING_FIELD = "missing_field"
    POWER_OUT_OF_RANGE = "power_out_of_range"
    DURATION_OUT_OF_RANGE = "duration_out_of_range"
    TIME_PAST = "time_past"
    TIMES_REVERSED = "times_reversed"
    START_TOO_FAR_AHEAD = "start_too_far_ahead"
    EXPIRED = "expired"
    ISSUED_TOO_LONG_AGO = "issued_too_long_ago"
    CLOCK_AHEAD = "clock_ahead"
    """The sender's clock, by `issued_ts` or `expires_ts`, is further ahead than is tolerated."""
    STALE_UNDATED_COMMAND = "stale_undated_command"
    """It may be as old as the VEN was away."""
    ISSUED_TS_REQUIRED = "issued_ts_required"
    # a command that is refused
    NOT_SUPPORTED = "not_supported"
    """The contract has it, this version does not do it yet."""
    CORRELATION_ID_REUSED = "correlation_id_reused"
    """The same correlationId with other content."""
    TOO_MANY_SCHEDULED = "too_many_scheduled"
    UNKNOWN_CIRCUIT = "unknown_circuit"
    NOT_CONTROLLABLE = "not_controllable"
    CRITICAL = "critical"
    NO_SWITCH_POINT = "no_switch_point"
    BAD_PRIORITY = "bad_priority"
    NOTHING_TO_SET = "nothing_to_set"
    EVENT_OVER = "event_over"
    MODIFICATION_OUTDATED = "modification_outdated"
    UNKNOWN_EVENT = "unknown_event"
    ONLY_ITS_SENDER = "only_its_sender"
    """Someone at the site would end a limit, which is a condition of the grid connection."""
    CONFIG_STORE_FAILED = "config_store_failed"
    NOT_IN_FORCE = "not_in_force"
    """Stored, but the agent does not go by it yet."""
    # what becomes of an event
    SUPERSEDED = "superseded"
    END_PASSED = "end_passed"
    LOWER_PRECEDENCE = "lower_precedence"
    """Another event comes first; this one goes on then if time is left."""
    ENDED_BY_COMMAND = "ended_by_command"
    CANCELLED_BY_COMMAND = "cancelled_by_command"
    RESTORING = "restoring"
    """Circuits go back one after the other; the text has how many are back."""
    ALREADY_RESTORING = "already_restoring"
    NO_EVENT = "no_event"
    OPTED_OUT = "opted_out"
    OPT_SCHEDULE = "opt_schedule"
    """The site does not take part at this time, by its configuration."""
    AGENT_STOPPED = "agent_stopped"
    AGENT_WAS_DOWN = "agent_was_down"
    # what ended an event at the operator's side
    END = "end"
    """Its time was over."""
    STOPPED = "stopped"
    WITHDRAWN = "withdrawn"
    """A person took it back."""
    WITHDRAWN_BY_VTN = "withdrawn_by_vtn"
    """The utility's VTN took it back, or shows it no longer."""
    NO_DISPATCHER_RAN = "no_dispatcher_ran"
    """From its start to its end nobody could be told."""
    # what keeps an event from shedding, or changes what it sheds
    NOTHING_TO_SHED = "nothing_to_shed"
    NOTHING_TO_RAISE = "nothing_to_raise"
    """No circuit can draw more."""
    METER_UNREADABLE = "meter_unreadable"
    METER_FROZEN = "meter_frozen"
    """The meter reads the same to the last digit, whatever is switched: it is not believed."""
    RESERVATION_REFUSED = "reservation_refused"
    NOT_ANSWERED = "not_answered"
    """An agent that is needed, or the device, gave no answer in time; it may do so soon."""
    WRITE_FAILED = "write_failed"
    """A device answered that a write failed, or with another value, or several for various
    reasons."""
    DEVICE_RESERVED = "device_reserved"
    """Another VOLTTRON agent has the device reserved, and its writes alone are let through."""
    DRIVER_OVERRIDE = "driver_override"
    """Someone has set an override for the device in the platform driver."""
    STORAGE_FAILED = "storage_failed"
    """The agent's own disk takes nothing: it sheds nothing that it could not put back."""
    PARTLY_WRITTEN = "partly_written"
    DEVICES_TAKEN = "devices_taken"
    """Another VOLTTRON agent has reserved them with a higher priority."""
    LEASE_LAPSED = "lease_lapsed"
    """The devices went back by themselves."""
    DEVICE_RESTARTED = "device_restarted"
    """Its relays went to their power-up state."""
    OFF_TARGET = "off_target"
    NOT_RESPONDED = "not_responded"
    MANUAL_OVERRIDE = "manual_override"
    RESUMED = "resumed"
    LIMIT_EXCEEDED = "limit_exceeded"
    """The site draws more than a limit allows: circuits are shed."""
    LIMIT_NOT_KEPT = "limit_not_kept"
    """Nothing more can be shed for it."""
    LIMIT_KEPT_AGAIN = "limit_kept_again"
    ROOM_UNDER_LIMIT = "room_under_limit"
    """Less is drawn than a limit allows: circuits go back."""
    FAILSAFE = "failsafe"
    """The sender of a limit was not heard: its failsafe limit rules."""
    FAILSAFE_LEFT = "failsafe_left"
    NEXT_INTERVAL = "next_interval"
    """The next interval of the event has begun."""
    RESTORE_FAILED = "restore_failed"
    COMFORT_GUARD = "comfort_guard"
    """A room's or a tank's value is past its bound, near it, or not known."""
    ROTATION = "rotation"
    """Like units take turns."""
    SOC_RESERVE = "soc_reserve"
    """A battery's charge is at its reserve, or not known: it does not discharge."""
    SOC_FULL = "soc_full"
    """A battery's charge is at its most, or not known: it does not charge."""
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


def common_reason_code(reasons: Iterable[Reason], otherwise: ReasonCode) -> ReasonCode:
    """The code of all of these, if they have one in common."""
    codes = {reason.code for reason in reasons}
    return codes.pop() if len(codes) == 1 else otherwise
