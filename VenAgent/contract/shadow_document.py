"""The AWS IoT Device Shadow (`$aws/things/{venId}/shadow/…`): what is reported, what is desired.

A panel whose circuits do not fit beside its totals reports them in named shadows
(`…/shadow/name/circuits-1/…`), each with a limit of its own.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from VenAgent.contract import SCHEMA_VERSION
from VenAgent.contract.command_fields import LET_THROUGH
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import Telemetry

MAX_SHADOW_BYTES = 8_192
"""AWS's limit for desired + reported of one shadow document, without its metadata."""
NAMED_BUDGET = 7_168
"""Bytes of a named shadow that has circuits: nothing is desired there."""
LEAST_REPORTED_BYTES = 2_048
"""What the totals of any panel need, with an event and refusals."""
REASON_KEPT = 160
REFUSALS_KEPT = 6
_NAMED = "circuits-"
_CIRCUIT_KEYS = ("id", "loadId", "circuitId")
_REPORTED_KEYS = ("name", "available", "current_kw", "breaker_amps", "current_amps", "critical")
CONTRADICTION = "it is desired twice, with different values"


def reported_shadow_document(
    telemetry: Telemetry,
    *,
    available: dict[str, bool],
    active_event: dict[str, Any] | None,
    report_interval_sec: float,
) -> dict[str, Any]:
    """`state.reported` from a telemetry; `available` tells by circuit id what could be shed now."""
    wire = telemetry.to_wire()
    return {
        "schemaVersion": SCHEMA_VERSION,
        "power_kw": wire["usedPowerKw"],
        "shed_kw": wire["shedPowerKw"],
        "base_power_kw": wire["baselinePowerKw"],
        "panel_amperage": wire["panelAmperageRating"],
        "panel_voltage": wire["panelVoltage"],
        "panel_max_kw": wire["panelMaxKw"],
        "circuits": [
            {
                "id": circuit["id"],
                "name": circuit["name"],
                "enabled": circuit["enabled"],
                "available": available.get(circuit["id"], False),
                "current_kw": circuit["currentKw"],
                "breaker_amps": circuit["breakerAmps"],
                "current_amps": circuit["currentAmps"],
                "critical": circuit["critical"],
            }
            for circuit in wire["circuits"]
        ],
        "active_event": active_event,
        "availability": wire["availability"],
        "report_interval_sec": report_interval_sec,
        "timestamp": wire["timestamp"],
    }


def shadow_document_update(
    reported: Mapping[str, Any],
    *,
    cleared: Iterable[str] = (),
    version: int | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """The message to `…/shadow/update`.

    `cleared` are the desired sections that are done with. With `version` the service takes the
    update only if no one has changed the shadow since, so that no newer wish is cleared.
    """
    state: dict[str, Any] = {"reported": dict(reported)}
    cleared = list(cleared)
    if cleared:
        state["desired"] = dict.fromkeys(cleared)
    document: dict[str, Any] = {"state": state}
    if version is not None:
        document["version"] = version
    if token is not None:
        document["clientToken"] = token
    return document


# ---- what is reported ------------------------------------------------------------------------


def shadow_document_budget(circuit_ids: Iterable[str]) -> int:
    """Bytes for the reported state, so that a desired one that names every circuit fits beside."""
    wish = [{"id": circuit_id, "enabled": False} for circuit_id in circuit_ids]
    desired = {"circuits": wish, "report_interval_sec": 3600.0}
    return max(MAX_SHADOW_BYTES - len(encode_json(desired)), LEAST_REPORTED_BYTES)


def split_shadow_document(
    reported: Mapping[str, Any], budget: int, named_budget: int = NAMED_BUDGET
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The classic shadow's reported state, and those of named shadows by name.

    All circuits stand in the classic one if it stays within `budget` bytes then. Otherwise it
    names the shadows that have them (`circuit_shadows`), each within `named_budget`.
    """
    whole = {**_without_inner_nulls(reported), "circuit_shadows": None}
    if len(encode_json(whole)) <= budget:
        return whole, {}
    circuits = whole["circuits"]
    size = max(len(circuits), 1)
    while True:
        parts = [circuits[at : at + size] for at in range(0, len(circuits), size)]
        named = {
            f"{_NAMED}{number}": {
                "schemaVersion": whole["schemaVersion"],
                "part": number,
                "parts": len(parts),
                "circuits": part,
                "timestamp": whole["timestamp"],
            }
            for number, part in enumerate(parts, start=1)
        }
        if size == 1 or all(len(encode_json(state)) <= named_budget for state in named.values()):
            break
        size = -(-size // 2)
    return {**whole, "circuits": None, "circuit_shadows": list(named)}, named


def is_circuit_shadow_document(name: object) -> bool:
    """Whether it is a name that `split_shadow_document` gives."""
    return isinstance(name, str) and re.fullmatch(rf"{_NAMED}[0-9]{{1,3}}", name) is not None


def _without_inner_nulls(reported: Mapping[str, Any]) -> dict[str, Any]:
    """`reported` as a shadow can hold it: inside a list a null is no value, so its key is absent.

    Elsewhere a null is right: it deletes what an earlier report left there.
    """

    def clean(value: Any, in_list: bool) -> Any:
        if isinstance(value, Mapping):
            kept = value.items() if not in_list else _without_nulls(value)
            return {key: clean(inner, in_list) for key, inner in kept}
        if isinstance(value, (list, tuple)):
            return [clean(inner, True) for inner in value if inner is not None]
        return value

    return {key: clean(value, False) for key, value in reported.items()}


def _without_nulls(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, inner) for key, inner in value.items() if inner is not None]


def shadow_document_refusals(refusals: Iterable[tuple[str, str]]) -> list[dict[str, str]] | None:
    """`state.reported.refused` from (item, reason); null when nothing was refused."""
    entries = [{"item": item[:80], "reason": why[:REASON_KEPT]} for item, why in refusals]
    more = len(entries) - REFUSALS_KEPT
    if more > 0:
        entries = [*entries[:REFUSALS_KEPT], {"item": "…", "reason": f"and {more} more"}]
    return entries or None


# ---- what is desired -------------------------------------------------------------------------


@dataclass(frozen=True)
class ShadowDocumentWish:
    """One thing desired: a command's fields, or why it cannot be one."""

    section: str
    item: str
    fields: Mapping[str, Any]
    refusal: str | None = None


@dataclass(frozen=True)
class ShadowDocumentSection:
    """One key of the desired state. `mark` tells two wishes apart that look the same: it is made
    from the value and the times at which the service saw it set. `correlation_id` is its
    commands' common part: the same one again after a restart is not obeyed twice."""

    name: str
    mark: str
    correlation_id: str
    wishes: tuple[ShadowDocumentWish, ...]


def read_shadow_document(
    state: Mapping[str, Any], metadata: Mapping[str, Any], version: int
) -> tuple[ShadowDocumentSection, ...]:
    """The sections of a delta, or of a document's desired part, with their metadata."""
    sections = []
    for name, value in state.items():
        if value is None:
            continue
        times = metadata.get(name)
        seen = json.dumps([name, value, times], sort_keys=True, separators=(",", ":"))
        mark = hashlib.sha256(seen.encode()).hexdigest()[:16]
        told_apart_by = mark if times is not None else f"{mark}-{version}"
        correlation_id = f"shadow-{told_apart_by}"
        sections.append(
            ShadowDocumentSection(name, mark, correlation_id, tuple(_wishes(name, value)))
        )
    return tuple(_without_contradictions(sections))


def _without_contradictions(sections: list[ShadowDocumentSection]) -> list[ShadowDocumentSection]:
    """A circuit that `circuits` wants on and `loads` off is left alone."""
    wanted: dict[str, set[Any]] = {}
    for section in sections:
        for wish in section.wishes:
            if "loadId" in wish.fields:
                wanted.setdefault(wish.fields["loadId"], set()).add(wish.fields["enabled"])
    return [
        replace(
            section,
            wishes=tuple(
                replace(wish, refusal=CONTRADICTION)
                if len(wanted.get(wish.fields.get("loadId", ""), ())) > 1
                else wish
                for wish in section.wishes
            ),
        )
        for section in sections
    ]


def _wishes(name: str, value: Any) -> list[ShadowDocumentWish]:
    if name == "report_interval_sec":
        return [ShadowDocumentWish(name, name, {"op": "setConfig", "report_interval_sec": value})]
    if name in ("circuits", "loads"):
        return _circuit_wishes(name, value)
    known = "circuits, loads or report_interval_sec"
    return [ShadowDocumentWish(name, name, {}, f"this cannot be desired here: use {known}")]


def _circuit_wishes(section: str, entries: Any) -> list[ShadowDocumentWish]:
    if not isinstance(entries, list):
        return [ShadowDocumentWish(section, section, {}, 'must be a list of {"id", "enabled"}')]
    wishes: dict[str, ShadowDocumentWish] = {}
    nameless = []
    for number, entry in enumerate(entries):
        circuit_ids = _circuit_ids(entry)
        if not circuit_ids:
            reason = 'must be an object with "id" and "enabled"'
            nameless.append(ShadowDocumentWish(section, f"{section}[{number}]", {}, reason))
            continue
        circuit_id = circuit_ids[0]
        item = f"{section}.{circuit_id}"
        enabled = entry.get("enabled")
        refusal = _unknown_key(entry)
        if refusal is None and len(circuit_ids) > 1:
            refusal = f"it names two circuits, {circuit_id} and {circuit_ids[1]}"
        if refusal is None and not isinstance(enabled, bool):
            refusal = "enabled must be true or false"
        fields = {"op": "setLoad", "loadId": circuit_id, "enabled": None if refusal else enabled}
        before = wishes.get(circuit_id)
        if before is None:
            wishes[circuit_id] = ShadowDocumentWish(section, item, fields, refusal)
        elif before.fields != fields:
            wishes[circuit_id] = ShadowDocumentWish(section, item, before.fields, CONTRADICTION)
    return [*wishes.values(), *nameless]


def _unknown_key(entry: Mapping[str, Any]) -> str | None:
    """A key that cannot be desired of a circuit, and is not one that we report of it: who changes
    one circuit may write the whole list back."""
    known = (*_CIRCUIT_KEYS, "enabled")
    for key in entry:
        if key in known or key in _REPORTED_KEYS or key.startswith(LET_THROUGH):
            continue
        near = difflib.get_close_matches(key.lower(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "only enabled can be desired"
        return f"{key[:64]}: there is no such field; {hint}"
    return None


def _circuit_ids(entry: Any) -> list[str]:
    """The circuit that an entry names: more than one where its keys do not agree."""
    if not isinstance(entry, dict):
        return []
    named = [entry[key].strip() for key in _CIRCUIT_KEYS if isinstance(entry.get(key), str)]
    return list(dict.fromkeys(filter(None, named)))
