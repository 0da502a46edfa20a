"""From a message's bytes to what is stored, or to the reason why not. Pure: no I/O, no clock.

Power is kW on the wire; a load's power is stored in whole watts, the resolution of the contract.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from typing import Any

import msgspec

from backend.ingest.ingest_message import IngestMessage, IngestMessageKind, IngestMessageRefused
from backend.ingest.ingest_records import (
    MAX_PAYLOAD_BYTES,
    IngestAckRecord,
    IngestAlertRecord,
    IngestRecord,
    IngestShadowRecord,
    IngestSnapshotRecord,
    IngestStatusRecord,
    IngestTelemetryRecord,
)
from backend.ingest.known_panels import KnownPanels, read_known_panel_loads
from backend.ingest.message_fields import (
    AckMessageFields,
    AlertMessageFields,
    AvailabilityMessageFields,
    ShadowMessageFields,
    StatusMessageFields,
    TelemetryMessageFields,
    read_ack,
    read_alert,
    read_circuits,
    read_envelope,
    read_shadow,
    read_status,
    read_telemetry,
)
from backend.ingest.plausible_values import PlausibleTimes, plausible_epoch_sec, plausible_kw
from backend.store.statuses import AVAILABLE, MAINTENANCE, OPTED_OUT
from VenAgent.contract.json_codec import MAX_DEPTH

MAX_SEQ = 2**63 - 1
MAX_PARTS = 100
_LATEST_TS = 7_258_118_400.0
_is_thing = re.compile(r"[^/+#\s]{1,128}").fullmatch


_KIND_OF_PREFIX = {
    "ven/ack": IngestMessageKind.ACK,
    "ven/status": IngestMessageKind.STATUS,
    "ven/alerts": IngestMessageKind.ALERT,
    "ven/loads": IngestMessageKind.LOADS,
    "ven/telemetry": IngestMessageKind.TELEMETRY,
}


def _message_kind_of_topic(topic: str) -> tuple[IngestMessageKind | None, str | None]:
    """The kind that a topic of the contract tells, and the VEN it names."""
    if topic == "volttron/metering":
        return IngestMessageKind.TELEMETRY, None
    if topic.startswith("$aws/"):
        return IngestMessageKind.SHADOW, None
    prefix, _, ven_id = topic.rpartition("/")
    kind = _KIND_OF_PREFIX.get(prefix)
    return (None, None) if kind is None else (kind, ven_id)


def decode_message_kind(payload: bytes) -> tuple[IngestMessageKind, str | None]:
    """The same from a message alone: its topic, if a rule put it in, or its fields.

    Raises Refused for what is not JSON or like nothing known.
    """
    try:
        fields = read_envelope(payload)
    except _UNREADABLE as error:
        raise IngestMessageRefused(_reason(error)) from None
    kind, ven_id = _message_kind_of_topic(fields.mqttTopic or fields.topic or "")
    if kind is not None:
        return kind, ven_id
    if fields.usedPowerKw is not None or fields.power_kw is not None:
        return IngestMessageKind.TELEMETRY, None
    if fields.severity is not None and fields.code is not None:
        return IngestMessageKind.ALERT, None
    if fields.op is not None or fields.correlationId is not None:
        return IngestMessageKind.ACK, None
    if fields.status in ("online", "offline"):
        return IngestMessageKind.STATUS, None
    if isinstance(fields.loads, list):
        return IngestMessageKind.LOADS, None
    raise IngestMessageRefused(
        "neither telemetry, loads, ack, status nor alert: no field of them is in it"
    )


def decode_message(
    message: IngestMessage, window: PlausibleTimes, panels: KnownPanels | None = None
) -> IngestRecord:
    """What `message` says. Raises Refused with the reason. `panels` makes it faster, only."""
    panels = panels or KnownPanels()
    topic, payload, received = message
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise IngestMessageRefused(f"{len(payload)} bytes are more than {MAX_PAYLOAD_BYTES}")
    if b"\\u0000" in payload:
        raise IngestMessageRefused("a text with the character U+0000, which no database keeps")
    kind, named = _message_kind_of_topic(topic)
    if kind is None:
        kind, named = decode_message_kind(payload)
    try:
        if kind is IngestMessageKind.TELEMETRY:
            return _telemetry(read_telemetry(payload), message, named, window, panels)
        if kind is IngestMessageKind.ACK:
            return _ack(read_ack(payload), message, named, window)
        if kind is IngestMessageKind.LOADS:
            return _snapshot(read_telemetry(payload), named, window, panels)
        if kind is IngestMessageKind.SHADOW:
            return _shadow(read_shadow(payload), topic, received)
        if kind is IngestMessageKind.STATUS:
            return _status(read_status(payload), named, received)
        return _alert(read_alert(payload), message, named, window)
    except _UNREADABLE as error:
        raise IngestMessageRefused(_reason(error)) from None


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be."""


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error)
    return text if isinstance(error, msgspec.ValidationError) else f"not JSON: {text}"


# ---- the kinds ----------------------------------------------------------------------------------


def _telemetry(
    fields: TelemetryMessageFields,
    message: IngestMessage,
    named: str | None,
    window: PlausibleTimes,
    panels: KnownPanels,
) -> IngestTelemetryRecord:
    ven_id = _ven_id(fields, named)
    seq = fields.seq or 0
    if not 0 <= seq <= MAX_SEQ:
        raise IngestMessageRefused(f"seq {seq} is out of range")
    loads = fields.loads
    if not loads and bytes(fields.circuits):
        loads = read_circuits(fields.circuits)
    event_id = fields.eventId if fields.eventId is not None else fields.event_id
    part, parts = (1, 1) if fields.parts is None else _part(fields)
    state, until, reason_code = _availability(fields.availability)
    # In the record's order: by name it costs a tenth of all that is done for a message here.
    return IngestTelemetryRecord(
        ven_id,
        _moment(fields, window, fields.timestamp, fields.ts),
        seq,
        plausible_kw(fields.usedPowerKw, fields.power_kw, "usedPowerKw"),
        plausible_kw(fields.shedPowerKw, fields.shed_kw, "shedPowerKw"),
        plausible_kw(fields.requestedReductionKw, fields.requested_shed_kw, "requestedReductionKw"),
        plausible_kw(fields.baselinePowerKw, None, "baselinePowerKw"),
        plausible_kw(fields.batterySOC, fields.batterySoc, "batterySOC"),
        _name(event_id),
        fields.quality,
        read_known_panel_loads(loads, ven_id, panels) if loads else None,
        plausible_kw(fields.panelMaxKw, None, "panelMaxKw"),
        message.received,
        message.payload,
        state,
        until,
        reason_code,
        part,
        parts,
    )


def _part(fields: TelemetryMessageFields) -> tuple[int, int]:
    """(1, 1) of a telemetry that is whole."""
    part, parts = fields.part, fields.parts
    if part is None or parts is None or not 1 <= part <= parts <= MAX_PARTS:
        return 1, 1
    return part, parts


_STATES = (AVAILABLE, OPTED_OUT, MAINTENANCE)


def _availability(
    fields: AvailabilityMessageFields | None,
) -> tuple[str | None, datetime | None, str | None]:
    """State, until when, and why. A state that nobody knows is not taken for taking part."""
    if fields is None:
        return None, None, None
    state = fields.state and fields.state.lower()
    until = fields.until_ts if fields.until_ts is not None else -1.0
    plausible = 0.0 <= until <= _LATEST_TS
    return (
        OPTED_OUT if state and state not in _STATES else state,
        datetime.fromtimestamp(until, timezone.utc) if plausible else None,
        fields.reason_code and fields.reason_code[:64],
    )


def _snapshot(
    fields: TelemetryMessageFields, named: str | None, window: PlausibleTimes, panels: KnownPanels
) -> IngestSnapshotRecord:
    if not fields.loads:
        raise IngestMessageRefused("loads is missing or empty")
    part = fields.part or 0
    if not 0 <= part < 2**31:
        raise IngestMessageRefused(f"part {part} is out of range")
    moment = _moment(fields, window, fields.timestamp, fields.ts)
    ven_id = _ven_id(fields, named)
    return IngestSnapshotRecord(
        ven_id, moment, part, read_known_panel_loads(fields.loads, ven_id, panels)
    )


def _ack(
    fields: AckMessageFields, message: IngestMessage, named: str | None, window: PlausibleTimes
) -> IngestAckRecord:
    status = fields.status
    if not status:
        if fields.ok is None:
            raise IngestMessageRefused("an ack without status")
        status = "success" if fields.ok else "failed"
    ven_id = _ven_id(fields, named)
    correlation = (
        fields.correlationId if fields.correlationId is not None else (fields.correlation_id)
    )
    event = fields.event_id if fields.event_id is not None else fields.eventId
    return IngestAckRecord(
        digest=_digest(ven_id, message.payload),
        ven_id=ven_id,
        event_id=_name(event),
        correlation_id=_name(correlation),
        timestamp=_moment(fields, window, fields.ts, fields.timestamp, message.received),
        op=fields.op,
        status=status,
        requested_shed_kw=plausible_kw(
            fields.requested_shed_kw, fields.requestedShedKw, "requested_shed_kw"
        ),
        actual_shed_kw=plausible_kw(fields.actual_shed_kw, fields.actualShedKw, "actual_shed_kw"),
        shed_basis=fields.shed_basis,
        baseline_kw=plausible_kw(fields.baseline_kw, None, "baseline_kw"),
        reason=fields.reason,
        reason_code=fields.reason_code,
        circuits_curtailed=fields.circuits_curtailed or fields.circuitsCurtailed,
        raw_payload=_not_too_deep(msgspec.json.decode(message.payload)),
        received=message.received,
    )


_shadow_topic = re.compile(
    r"\$aws/things/([^/+#\s]{1,128})/shadow/(?:name/([a-zA-Z0-9:_-]{1,64})/)?update"
).fullmatch


def _shadow(fields: ShadowMessageFields, topic: str, received: float) -> IngestShadowRecord:
    found = _shadow_topic(topic)
    if found is None or not found[1].isprintable():
        raise IngestMessageRefused("not the topic of a shadow's update")
    state = fields.state
    return IngestShadowRecord(
        found[1],
        found[2] or "",
        _not_too_deep(state.reported),
        _not_too_deep(state.desired),
        received,
    )


def _status(fields: StatusMessageFields, named: str | None, received: float) -> IngestStatusRecord:
    if fields.status not in ("online", "offline"):
        raise IngestMessageRefused(
            f"status {str(fields.status)[:64]!r} is neither online nor offline"
        )
    online = fields.status == "online"
    return IngestStatusRecord(
        _ven_id(fields, named),
        online,
        _name(fields.bootId),
        received,
        plausible_epoch_sec(fields.ts),
    )


def _alert(
    fields: AlertMessageFields, message: IngestMessage, named: str | None, window: PlausibleTimes
) -> IngestAlertRecord:
    ven_id = _ven_id(fields, named)
    ts = fields.ts if fields.ts is not None else fields.timestamp
    return IngestAlertRecord(
        digest=_digest(ven_id, message.payload),
        ven_id=ven_id,
        timestamp=window.moment(message.received if ts is None else ts, "ts"),
        severity=fields.severity,
        code=fields.code,
        message=fields.message,
        context=_not_too_deep(fields.context),
        received=message.received,
        reason_code=fields.reason_code and fields.reason_code[:64],
    )


# ---- fields -------------------------------------------------------------------------------------


def _moment(fields: Any, window: PlausibleTimes, *seconds: Any) -> datetime:
    """The VEN's clock: `ts_ms` if it is there, else the first of `seconds` that is."""
    if fields.ts_ms is not None:
        return window.moment(fields.ts_ms / 1_000.0, "ts_ms")
    known = (value for value in seconds if value is not None)
    return window.moment(next(known, None), "timestamp")


def _ven_id(fields: Any, named: str | None) -> str:
    """The VEN: of the message, of its topic, of the client that sent it. They must agree."""
    ven_id = _name(fields.venId if fields.venId is not None else fields.ven_id) or named
    if not ven_id:
        raise IngestMessageRefused("venId is missing")
    if named is not None and named != ven_id:
        raise IngestMessageRefused(f"venId {ven_id[:128]!r} on the topic of {named[:128]!r}")
    if fields.mqttClientId is not None and fields.mqttClientId != ven_id:
        raise IngestMessageRefused(f"venId {ven_id[:128]!r} sent by {fields.mqttClientId[:128]!r}")
    if not (_is_thing(ven_id) and ven_id.isprintable()) or ven_id in (".", ".."):  # of no address
        raise IngestMessageRefused(f"venId {ven_id[:128]!r} is not the name of a thing")
    return ven_id


def _name(value: str | int | None) -> str | None:
    """An identifier as text; an empty one is none."""
    if value is None or isinstance(value, str):
        return value or None
    return str(value)


def _not_too_deep(document: Any) -> Any:
    """`document`, which the API gives back as it came. Raises for one too deep."""
    level, depth = [document], 0
    while level:
        if depth > MAX_DEPTH:
            raise IngestMessageRefused(f"nested more than {MAX_DEPTH} deep")
        inner = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, (dict, list))
        ]
        level, depth = [each for some in inner for each in some], depth + 1
    return document


def _digest(ven_id: str, payload: bytes) -> bytes:
    """The same message of the same VEN has the same: it is stored once."""
    return hashlib.blake2b(ven_id.encode() + b"\0" + payload, digest_size=16).digest()
