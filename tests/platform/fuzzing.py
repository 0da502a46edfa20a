"""Commands gone wrong: valid ones, mutated. The same seed makes the same commands."""

from __future__ import annotations

import copy
import json
import random
import time
from dataclasses import dataclass
from typing import Any

from VenAgent.contract.json_codec import MAX_INPUT_BYTES

SHEDS = ("event", "shedPanel", "shedLoad")
LONG_SEC = 86_400

BASES: tuple[dict[str, Any], ...] = (
    {"op": "event", "shed_kw": 5, "duration_sec": 1},
    {"op": "event", "data": {"requestedReductionKw": "3.5", "durationS": 2}},
    {"op": "event", "shed_kw": 2, "start_ts": "soon", "duration_sec": 1, "event_priority": 0},
    {"op": "shedPanel", "amountKw": 1.5, "duration_s": 1, "eventId": "fuzz-panel"},
    {"op": "shedLoad", "loadId": "heater1", "reduceKw": 2, "durationS": 1},
    {"op": "restore"},
    {"op": "restorePanel", "event_id": "fuzz-1"},
    {"op": "cancel", "event_id": "fuzz-2", "modification": 1},
    {"op": "ping"},
    {"op": "ping", "venId": "test_thing", "data": {}},
    {"op": "get", "what": "status"},
    {"op": "get", "data": {"what": "loads"}},
    {"op": "get", "what": "config"},
    {"op": "set", "report_interval_sec": 0},
    {"op": "setConfig", "data": {"shadow_interval_sec": "never"}},
    {"op": "setLoad", "loadId": "heater1", "enabled": True},
    {"op": "setLoad", "circuitId": "nothing", "priority": 9},
)
"""Some are wrong as they stand. None may switch a circuit off for good or change the settings."""

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, -0.0, 1e308, 10**40, 2**63, 0.0005, "", " ", "5 kW", "5,5", "NaN", "1e3",
    "Infinity", "٣", "0x10", [], {}, [1], {"kw": 5}, "x" * 300, "x" * 60_000, "\x00", "\ud7ff",
    "👷‍♀️" * 40, "heater1 ", "fridge1", "hvac1", "../../etc/passwd", "'; DROP TABLE events; --",
    "2020-01-01T00:00:00Z", "2999-12-31T23:59:59+14:00", "next week", -1e15, 1e15, [[[[[]]]]],
)  # fmt: skip
FIELDS = (
    "op", "correlationId", "venId", "data", "event_id", "eventId", "shed_kw", "amountKw",
    "duration_sec", "durationS", "start_ts", "startTime", "end_ts", "modification", "issued_ts",
    "expires_ts", "event_priority", "loadId", "circuitId", "what", "nonsense", "", "__proto__",
)  # fmt: skip


@dataclass(frozen=True)
class Fuzzed:
    payload: bytes
    correlation_id: str | None
    """Under which it must be answered; None: as `rejected` under none."""
    sheds: bool
    """It may be an event: then acks of what becomes of it may follow its answer."""


def commands(seed: int, count: int) -> list[Fuzzed]:
    """`count` commands; every tenth is sent a second time."""
    lot = random.Random(seed)
    made: list[Fuzzed] = []
    while len(made) < count:
        one = _garbage(lot) if lot.random() < 0.2 else _mutated(lot, f"fuzz-{seed}-{len(made)}")
        made += [one, one] if lot.random() < 0.1 else [one]
    return made[:count]


def _mutated(lot: random.Random, correlation_id: str) -> Fuzzed:
    message = copy.deepcopy(lot.choice(BASES))
    if message.get("start_ts") == "soon":
        message["start_ts"] = time.time() + lot.choice((-5, 1, 2, LONG_SEC))
    for _ in range(lot.choice((0, 1, 1, 2, 3, 6))):
        _mutate(lot, message)
    message["correlationId"] = correlation_id
    text = json.dumps(message, ensure_ascii=lot.random() < 0.5)
    if lot.random() < 0.1:  # a key twice: neither is believed
        text = text[:-1] + ', "op": "event", "op": "restore"}'
    inner = message.get("data")
    op = message.get("op") or (inner.get("op") if isinstance(inner, dict) else None)
    payload = text.encode()
    if len(payload) > MAX_INPUT_BYTES:  # long values within each other: refused unread
        return Fuzzed(payload, None, sheds=False)
    return Fuzzed(payload, correlation_id, op in SHEDS)


def _mutate(lot: random.Random, message: dict[str, Any]) -> None:
    inner = message.get("data")
    target = inner if isinstance(inner, dict) and lot.random() < 0.5 else message
    kind = lot.randrange(6)
    names = list(target)
    if kind == 0 or not names:
        target[lot.choice(FIELDS)] = copy.deepcopy(lot.choice(VALUES))
    elif kind == 1:
        target[lot.choice(names)] = copy.deepcopy(lot.choice(VALUES))
    elif kind == 2:
        target.pop(lot.choice(names))
    elif kind == 3:
        name = lot.choice(names)
        target[lot.choice((name.upper(), f" {name}", name[:-1], f"{name}\u200b"))] = target.pop(
            name
        )
    elif kind == 4:
        target[lot.choice(names)] = str(target[lot.choice(names)])
    else:
        moved = {name: target.pop(name) for name in names if lot.random() < 0.5 and name != "data"}
        message["data"] = moved


def _garbage(lot: random.Random) -> Fuzzed:
    """No JSON object, or one whose correlationId names no one."""
    text = json.dumps(lot.choice(BASES)).encode()
    place = lot.randrange(1, len(text) - 1)
    choices = (
        text[:place],
        bytes(lot.randrange(256) for _ in range(lot.randrange(1, 200))) + b"\xff",
        b"",
        b"[" * lot.randrange(20, 50_000),
        b'{"a":' * lot.randrange(20, 10_000) + b"1" + b"}" * 20,
        b"[" + text + b"]",
        json.dumps(lot.choice((1, "event", None, [], -0.5))).encode(),
        text.decode().encode("utf-16"),
        text[:-1] + b', "correlationId": ["a"], "shed_kw": NaN}',
        text[:-1] + b', "correlationId": {"a": 1}}',
        text[:-1] + b', "correlationId": true}',
        text[:-1] + b', "pad": "' + b"x" * 131_072 + b'"}',
    )
    return Fuzzed(lot.choice(choices), None, sheds=False)
