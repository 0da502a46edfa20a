"""From a message's bytes to what is stored, or to the reason why not. Pure: no I/O, no clock.

Power is kW on the wire; a load's power is stored in whole watts, the resolution of the contract.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from typing import Any

import msgspec

from backend.ingest import wire
from backend.ingest.records import (
    MAX_PAYLOAD_BYTES,
    Ack,
    Alert,
    Decoded,
    Kind,
    Loads,
    LoadSetKey,
    Message,
    Refused,
    Snapshot,
    Status,
    Telemetry,
)

MAX_POWER_KW = 1_000_000.0
"""More than any panel draws: a unit is wrong."""
MAX_POWER_W = 1_000_000_000
MAX_SEQ = 2**63 - 1
MAX_LOADS = 2_000
MAX_PRIORITY = 1_000_000
_MOST_PANELS = 100_000
_fixed_of = attrgetter("loadId", "id", "name", "type", "capacityKw", "priority")
_Fixed = tuple[tuple[Any, ...], ...]
"""These of each load, as they came."""
_is_thing = re.compile(r"[^/+#\s]{1,128}").fullmatch
_MILLISECONDS_FROM = 1e11
"""A number of this size is milliseconds: as seconds it would be the year 5138."""


@dataclass(frozen=True)
class Window:
    """The times that are believed: between the retention's end and a little ahead (epoch s)."""

    oldest: float
    newest: float

    def moment(self, value: float | str | None, what: str) -> datetime:
        """`value` as a moment. Raises Refused for none, and for one outside of the window."""
        if value is None:
            raise Refused(f"{what} is missing")
        if isinstance(value, str):
            value = _epoch(value, what)
        if value >= _MILLISECONDS_FROM:
            value /= 1000.0
        if self.oldest <= value <= self.newest:
            return datetime.fromtimestamp(value, timezone.utc)
        if value < self.oldest:
            raise Refused(f"{what} {value:.0f} is older than what is kept: is the clock right?")
        ahead_sec = value - self.newest
        raise Refused(f"{what} {value:.0f} is {ahead_sec:.0f} s too far ahead: is the clock right?")


def _epoch(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise Refused(f"{what} {text[:64]!r} is neither epoch seconds nor ISO 8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


_KIND_OF_PREFIX = {
    "ven/ack": Kind.ACK,
    "ven/status": Kind.STATUS,
    "ven/alerts": Kind.ALERT,
    "ven/loads": Kind.LOADS,
    "ven/telemetry": Kind.TELEMETRY,
}


def kind_of_topic(topic: str) -> tuple[Kind | None, str | None]:
    """The kind that a topic of the contract tells, and the VEN it names."""
    prefix, _, ven_id = topic.rpartition("/")
    kind = _KIND_OF_PREFIX.get(prefix)
    if kind is not None:
        return kind, ven_id
    return (Kind.TELEMETRY, None) if topic == "volttron/metering" else (None, None)


def kind_of_payload(payload: bytes) -> tuple[Kind, str | None]:
    """The same from a message alone: its topic, if a rule put it in, or its fields.

    Raises Refused for what is not JSON or like nothing known.
    """
    try:
        fields = wire.read_envelope(payload)
    except _UNREADABLE as error:
        raise Refused(_reason(error)) from None
    kind, ven_id = kind_of_topic(fields.mqttTopic or fields.topic or "")
    if kind is not None:
        return kind, ven_id
    if fields.usedPowerKw is not None or fields.power_kw is not None:
        return Kind.TELEMETRY, None
    if fields.severity is not None and fields.code is not None:
        return Kind.ALERT, None
    if fields.op is not None or fields.correlationId is not None:
        return Kind.ACK, None
    if fields.status in ("online", "offline"):
        return Kind.STATUS, None
    if isinstance(fields.loads, list):
        return Kind.LOADS, None
    raise Refused("neither telemetry, loads, ack, status nor alert: no field of them is in it")


class Panels:
    """What is fixed of each VEN's loads, as it was the last time.

    It is the same in nearly every message: to compare costs a quarter of checking it anew, and the
    same panel is one object, whoever has it.
    """

    def __init__(self) -> None:
        self._of_ven: dict[str, tuple[_Fixed, LoadSetKey]] = {}
        self._known: dict[_Fixed, tuple[_Fixed, LoadSetKey]] = {}

    def key(self, ven_id: str, fixed: _Fixed) -> LoadSetKey:
        """The load set that `fixed` is. Raises Refused for what cannot be stored."""
        last = self._of_ven.get(ven_id)
        if last is not None and last[0] == fixed:
            return last[1]
        if max(len(self._known), len(self._of_ven)) >= _MOST_PANELS:
            self._known.clear()
            self._of_ven.clear()
        known = self._known.get(fixed)
        if known is None:
            known = self._known[fixed] = (fixed, _load_set_key(fixed))
        self._of_ven[ven_id] = known
        return known[1]


def decode(message: Message, window: Window, panels: Panels | None = None) -> Decoded:
    """What `message` says. Raises Refused with the reason. `panels` makes it faster, only."""
    panels = panels or Panels()
    topic, payload, received = message
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused(f"{len(payload)} bytes are more than {MAX_PAYLOAD_BYTES}")
    if b"\\u0000" in payload:
        raise Refused("a text with the character U+0000, which no database keeps")
    kind, named = kind_of_topic(topic)
    if kind is None:
        kind, named = kind_of_payload(payload)
    try:
        if kind is Kind.TELEMETRY:
            return _telemetry(wire.read_telemetry(payload), message, named, window, panels)
        if kind is Kind.ACK:
            return _ack(wire.read_ack(payload), message, named, window)
        if kind is Kind.LOADS:
            return _snapshot(wire.read_telemetry(payload), named, window, panels)
        if kind is Kind.STATUS:
            return _status(wire.read_status(payload), named, received)
        return _alert(wire.read_alert(payload), message, named, window)
    except _UNREADABLE as error:
        raise Refused(_reason(error)) from None


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be."""


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error)
    return text if isinstance(error, msgspec.ValidationError) else f"not JSON: {text}"


# ---- the kinds ----------------------------------------------------------------------------------


def _telemetry(
    fields: wire.Telemetry,
    message: Message,
    named: str | None,
    window: Window,
    panels: Panels,
) -> Telemetry:
    ven_id = _ven_id(fields, named)
    timestamp = fields.timestamp if fields.timestamp is not None else fields.ts
    seq = fields.seq or 0
    if not 0 <= seq <= MAX_SEQ:
        raise Refused(f"seq {seq} is out of range")
    loads = fields.loads
    if not loads and bytes(fields.circuits):
        loads = wire.read_circuits(fields.circuits)
    event_id = fields.eventId if fields.eventId is not None else fields.event_id
    return Telemetry(
        ven_id=ven_id,
        timestamp=window.moment(timestamp, "timestamp"),
        seq=seq,
        used_power_kw=_kw(fields.usedPowerKw, fields.power_kw, "usedPowerKw"),
        shed_power_kw=_kw(fields.shedPowerKw, fields.shed_kw, "shedPowerKw"),
        requested_reduction_kw=_kw(
            fields.requestedReductionKw, fields.requested_shed_kw, "requestedReductionKw"
        ),
        baseline_power_kw=_kw(fields.baselinePowerKw, None, "baselinePowerKw"),
        battery_soc=_kw(fields.batterySOC, None, "batterySOC"),
        event_id=_name(event_id),
        quality=fields.quality,
        loads=_loads(loads, ven_id, panels) if loads else None,
        panel_max_kw=_kw(fields.panelMaxKw, None, "panelMaxKw"),
        received=message.received,
        payload=message.payload,
    )


def _snapshot(
    fields: wire.Telemetry, named: str | None, window: Window, panels: Panels
) -> Snapshot:
    if not fields.loads:
        raise Refused("loads is missing or empty")
    timestamp = fields.timestamp if fields.timestamp is not None else fields.ts
    part = fields.part or 0
    if not 0 <= part < 2**31:
        raise Refused(f"part {part} is out of range")
    moment = window.moment(timestamp, "timestamp")
    ven_id = _ven_id(fields, named)
    return Snapshot(ven_id, moment, part, _loads(fields.loads, ven_id, panels))


def _ack(fields: wire.Ack, message: Message, named: str | None, window: Window) -> Ack:
    status = fields.status
    if not status:
        if fields.ok is None:
            raise Refused("an ack without status")
        status = "success" if fields.ok else "failed"
    ven_id = _ven_id(fields, named)
    ts = fields.ts if fields.ts is not None else fields.timestamp
    correlation = (
        fields.correlationId if fields.correlationId is not None else (fields.correlation_id)
    )
    event = fields.event_id if fields.event_id is not None else fields.eventId
    return Ack(
        digest=_digest(ven_id, message.payload),
        ven_id=ven_id,
        event_id=_name(event),
        correlation_id=_name(correlation),
        timestamp=window.moment(message.received if ts is None else ts, "ts"),
        op=fields.op,
        status=status,
        requested_shed_kw=_kw(
            fields.requested_shed_kw, fields.requestedShedKw, "requested_shed_kw"
        ),
        actual_shed_kw=_kw(fields.actual_shed_kw, fields.actualShedKw, "actual_shed_kw"),
        shed_basis=fields.shed_basis,
        baseline_kw=_kw(fields.baseline_kw, None, "baseline_kw"),
        reason=fields.reason,
        circuits_curtailed=fields.circuits_curtailed or fields.circuitsCurtailed,
        raw_payload=msgspec.json.decode(message.payload),
        received=message.received,
    )


def _status(fields: wire.Status, named: str | None, received: float) -> Status:
    if fields.status not in ("online", "offline"):
        raise Refused(f"status {str(fields.status)[:64]!r} is neither online nor offline")
    online = fields.status == "online"
    return Status(_ven_id(fields, named), online, _name(fields.bootId), received)


def _alert(fields: wire.Alert, message: Message, named: str | None, window: Window) -> Alert:
    ven_id = _ven_id(fields, named)
    ts = fields.ts if fields.ts is not None else fields.timestamp
    return Alert(
        digest=_digest(ven_id, message.payload),
        ven_id=ven_id,
        timestamp=window.moment(message.received if ts is None else ts, "ts"),
        severity=fields.severity,
        code=fields.code,
        message=fields.message,
        context=fields.context,
        received=message.received,
    )


# ---- fields -------------------------------------------------------------------------------------


def _ven_id(fields: Any, named: str | None) -> str:
    """The VEN: of the message, of its topic, of the client that sent it. They must agree."""
    ven_id = _name(fields.venId if fields.venId is not None else fields.ven_id) or named
    if not ven_id:
        raise Refused("venId is missing")
    if named is not None and named != ven_id:
        raise Refused(f"venId {ven_id[:128]!r} on the topic of {named[:128]!r}")
    if fields.mqttClientId is not None and fields.mqttClientId != ven_id:
        raise Refused(f"venId {ven_id[:128]!r} sent by {fields.mqttClientId[:128]!r}")
    if not (_is_thing(ven_id) and ven_id.isprintable()):
        raise Refused(f"venId {ven_id[:128]!r} is not the name of a thing")
    return ven_id


def _name(value: str | int | None) -> str | None:
    """An identifier as text; an empty one is none."""
    if value is None or isinstance(value, str):
        return value or None
    return str(value)


def _kw(value: float | None, other: float | None, what: str) -> float | None:
    """The first of the two that is there. NaN, infinity and absurd figures are refused."""
    if value is None:
        value = other
        if value is None:
            return None
    if -MAX_POWER_KW <= value <= MAX_POWER_KW:
        return value
    raise Refused(f"{what} {value} is out of range")


def _watts(kw: float | None, other: float | None) -> int | None:
    """The first of the two that is there, in whole watts."""
    if kw is None:
        kw = other
        if kw is None:
            return None
    if -MAX_POWER_KW <= kw <= MAX_POWER_KW:
        return round(kw * 1000.0)
    raise Refused(f"a load's power {kw} kW is out of range")


def _loads(entries: list[wire.Load], ven_id: str, panels: Panels) -> Loads:
    if len(entries) > MAX_LOADS:
        raise Refused(f"{len(entries)} loads are more than {MAX_LOADS}")
    try:
        # Nearly always every number is there: asking for each would cost a third of the reading.
        power_w: list[int | None] = [
            round(load.currentPowerKw * 1000.0)  # type: ignore[operator]
            for load in entries
        ]
        shed_w: list[int | None] = [
            round(load.shedCapabilityKw * 1000.0)  # type: ignore[operator]
            for load in entries
        ]
        every: Any = power_w + shed_w
        usual = max(every) <= MAX_POWER_W and min(every) >= -MAX_POWER_W
    except (TypeError, ValueError, OverflowError):  # none, NaN, infinity
        usual = False
    if not usual:
        power_w = [_watts(load.currentPowerKw, load.currentKw) for load in entries]
        shed_w = [_watts(load.shedCapabilityKw, None) for load in entries]
    enabled = "".join([_ENABLED[load.enabled] for load in entries])
    return Loads(panels.key(ven_id, tuple(map(_fixed_of, entries))), power_w, shed_w, enabled)


_ENABLED = {True: "t", False: "f", None: "?"}


def _load_set_key(fixed: _Fixed) -> LoadSetKey:
    return tuple([_checked(*one) for one in fixed])


def _checked(
    load_id: str | int | None,
    other_id: str | int | None,
    name: str | None,
    kind: str | None,
    capacity_kw: float | None,
    priority: int | None,
) -> tuple[str, str | None, str | None, float | None, int | None]:
    """What is fixed of a load, as it is stored. Raises Refused."""
    load_id = other_id if load_id is None else load_id
    if load_id is None:
        raise Refused("a load without loadId")
    if priority is not None and not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise Refused(f"a load's priority {priority} is out of range")
    return (str(load_id), name, kind, _kw(capacity_kw, None, "capacityKw"), priority)


def _digest(ven_id: str, payload: bytes) -> bytes:
    """The same message of the same VEN has the same: it is stored once."""
    return hashlib.blake2b(ven_id.encode() + b"\0" + payload, digest_size=16).digest()


def load_set_digest(key: LoadSetKey) -> bytes:
    """The name of a load set: the same panel has the same on every instance."""
    return hashlib.blake2b(msgspec.json.encode(key), digest_size=16).digest()


def believed(now: float, *, retention: timedelta, ahead_sec: float) -> Window:
    """What is believed at `now` (epoch s). An hour less than what is kept."""
    return Window(now - (retention - timedelta(hours=1)).total_seconds(), now + ahead_sec)
