"""What is promised to operators, and to those who have a client already: each clause has its tests.

`operator_clauses.jsonl` names them, by file below tests/ and function.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import IngestAckRecord, IngestTelemetryRecord
from backend.ingest.message_decoder import decode_message
from backend.ingest.plausible_values import PlausibleTimes
from tests.backend.builders import telemetry
from VenAgent.contract.acks import AckStatus, build_ack

TESTS = Path(__file__).parents[2]
AT = 1_771_000_000.25


@cache
def _tests_in(name: str) -> frozenset[str]:
    source = (TESTS / name).read_text() if (TESTS / name).is_file() else ""
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE))


def test_each_clause_has_tests_that_exist() -> None:
    lines = (Path(__file__).parent / "operator_clauses.jsonl").read_text().splitlines()
    clauses: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert len({one["clause"] for one in clauses}) == len(clauses) > 40
    assert all(one["tests"] for one in clauses)
    named = [name.split("::") for one in clauses for name in one["tests"]]
    assert [name for name in named if name[1] not in _tests_in(name[0])] == []


def test_the_time_that_counts_is_that_of_ts_ms() -> None:
    """The whole seconds beside it are for peers; latencies are counted in milliseconds."""
    window = PlausibleTimes(0.0, 2 * AT)

    def read(topic: str, message: dict[str, Any]) -> Any:
        return decode_message(IngestMessage(topic, json.dumps(message).encode(), AT + 1), window)

    times = {"timestamp": int(AT), "ts_ms": round(AT * 1_000)}
    record = read("volttron/metering", telemetry("site", 1, **times))
    assert isinstance(record, IngestTelemetryRecord)
    assert record.timestamp.timestamp() == AT
    ack = build_ack(op="ping", status=AckStatus.SUCCESS, ven_id="site", ts=AT, correlation_id="abc")
    assert isinstance(ack["ts"], int)
    answered = read("ven/ack/site", ack)
    assert isinstance(answered, IngestAckRecord)
    assert answered.timestamp.timestamp() == AT
