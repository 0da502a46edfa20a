"""The corpus of commands at the device shadow: what the reader refuses, nothing desired becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.contract.builders import NOW, parse
from tests.contract.corpus import AS_OBJECTS, CorpusEntry, moved
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import Command
from VenAgent.contract.op import Op
from VenAgent.contract.shadow_document import read_shadow_document

SETS = (Op.SET.value, Op.SET_CONFIG.value)
BESIDE_THE_CORPUS: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"id": "ev1", "enabled": False}, "ev1"),
    ({"id": "ev1", "loadId": "ev1", "enabled": False}, "ev1"),
    ({"id": "ev1", "x_note": 1, "enabled": False}, "ev1"),
    ({"id": "ev1", "loadId": "dryer1", "enabled": False}, None),
    ({"circuitId": "ev1", "loadId": "dryer1", "enabled": False}, None),
    ({"id": "ev1", "enabled": None}, None),
    ({"id": "ev1", "Enabled": False}, None),
    ({"id": "ev1"}, None),
    ({"id": "", "enabled": False}, None),
    ({"id": " ", "enabled": False}, None),
    ({"id": None, "enabled": False}, None),
    ({"id": ["ev1"], "enabled": False}, None),
    ({"id": "e\nv1", "enabled": False}, None),
    ({"id": "e" * 300, "enabled": False}, None),
)


def desired_of(entry: CorpusEntry) -> Mapping[str, Any] | None:
    """What asks the same of the shadow; None where nothing there does."""
    fields = dict(entry.command or {})
    op = fields.pop("op", None)
    if op == Op.SET_LOAD.value:
        return {"circuits": [fields]}
    return fields if op in SETS else None


def obeyed(desired: Mapping[str, Any]) -> list[Command]:
    commands = []
    for section in read_shadow_document(desired, {}, 1):
        for wish in section.wishes:
            if wish.refusal is None:
                try:
                    commands.append(parse(json.dumps(wish.fields)))
                except CommandNotRead:
                    continue
    return commands


def test_what_the_reader_refuses_nothing_desired_becomes_and_what_is_obeyed_is_the_same() -> None:
    tried: dict[str, int] = {}
    for entry in AS_OBJECTS:
        desired = desired_of(entry)
        if desired is None:
            continue
        commands = obeyed(desired)
        verdict = "refused" if entry.refused is not None else "read"
        tried[verdict] = tried.get(verdict, 0) + 1
        if entry.refused is None:
            expected = parse(json.dumps(moved(entry.command or {}, NOW)))
            fields = {"op", "correlation_id", "issued_ts", "expires_ts"}
            for command in commands:  # what the shadow does not have, it refuses by name
                assert command.model_dump(exclude=fields) == expected.model_dump(exclude=fields)
        elif "report_interval_sec" not in desired:
            assert commands == [], entry
        else:  # each key is a wish of its own: the others are refused, by name
            assert all(c.model_dump()["report_interval_sec"] for c in commands), entry
            assert len(commands) <= 1
    assert tried["refused"] >= 20
    assert tried["read"] >= 10


def test_a_circuit_is_named_once_and_its_switch_is_true_or_false() -> None:
    for desired, circuit_id in BESIDE_THE_CORPUS:
        for section in ("circuits", "loads"):
            ids = [getattr(each, "circuit_id", "?") for each in obeyed({section: [desired]})]
            assert ids == ([] if circuit_id is None else [circuit_id]), desired
    twice = [{"id": "ev1", "enabled": True}, {"id": "ev1 ", "enabled": False}]
    assert obeyed({"circuits": twice}) == []
    assert obeyed({"circuits": twice[:1], "loads": twice[1:]}) == []
