"""docs/mqtt-topics.md says what the contract's code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.contract.builders import parse
from tests.support.each_case import each_case
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.command_fields import LOAD_SHED_SPELLINGS, SPELLINGS
from VenAgent.contract.golden import GOLDEN_ACKS, GOLDEN_TELEMETRY
from VenAgent.contract.op import Op
from VenAgent.contract.reasons import ReasonCode

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "mqtt-topics.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", DOCUMENT))
OBJECTS = [
    json.loads(text)
    for block in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    for text in re.split(r"\n(?=\{)", block.strip())
    if text.startswith("{")
]


@each_case("key", [*LOAD_SHED_SPELLINGS, *(k for v in SPELLINGS.values() for k in v)])
def test_every_spelling_is_documented(key: str) -> None:
    assert key in NAMED or key == "op"


@each_case("op", [op.value for op in Op])
def test_every_op_is_documented(op: str) -> None:
    assert op in NAMED


@each_case("status", AckStatus)
def test_every_status_is_documented_with_its_ok(status: AckStatus) -> None:
    assert f"| `{status.value}` | {'true' if status.ok else 'false'} |" in DOCUMENT


def test_every_code_of_what_is_not_read_is_documented() -> None:
    codes = list(ReasonCode)
    of_the_reader = codes[: codes.index(ReasonCode.TOO_MANY_SCHEDULED) + 1]
    assert {code.value for code in of_the_reader} <= NAMED


def test_the_documents_commands_are_read() -> None:
    commands = [each for each in OBJECTS if "op" in each and "status" not in each]
    assert len(commands) >= 4
    for command in commands:
        fields = {k: v for k, v in command.items() if k not in ("issued_ts", "expires_ts")}
        parse(fields)


def test_the_documents_telemetry_and_acks_have_the_contracts_keys() -> None:
    telemetry = next(each for each in OBJECTS if "usedPowerKw" in each)
    assert list(telemetry) == list(GOLDEN_TELEMETRY)
    ack = next(each for each in OBJECTS if each.get("status") == "accepted")
    assert set(ack) == set(GOLDEN_ACKS["accepted"])
