"""The corpus at the reader, which every door leads to."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.contract.builders import parse
from tests.contract.corpus import AS_OBJECTS, CORPUS, CorpusEntry
from tests.support.each_case import each_case
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import COMMAND_OF_OP
from VenAgent.contract.reasons import ReasonCode

STATEFUL = {
    # They depend on what came before, or on the site: tests of engine and router have them.
    ReasonCode.STALE_UNDATED_COMMAND,
    ReasonCode.ISSUED_TS_REQUIRED,
    ReasonCode.NOT_SUPPORTED,
}


def answer(entry: CorpusEntry) -> None:
    if entry.read is not None:
        command = parse(entry.payload)
        assert {name: getattr(command, name) for name in entry.read} == dict(entry.read)
        return
    with pytest.raises(CommandNotRead) as caught:
        parse(entry.payload)
    assert caught.value.code.value == entry.refused
    assert entry.names in caught.value.reason


@each_case("entry", CORPUS, ids=str)
def test_each_command_has_its_right_answer(entry: CorpusEntry) -> None:
    answer(entry)


@each_case("entry", AS_OBJECTS, ids=str)
def test_where_the_fields_stand_changes_nothing(entry: CorpusEntry) -> None:
    """At the top or inside `data`, the op too; an entry that has `data` itself is left as it is."""
    assert entry.command is not None
    if "data" in entry.command:
        return
    payload = json.dumps({"data": entry.command})
    answer(CorpusEntry(entry.name, payload, None, entry.read, entry.refused, entry.names))


def test_the_corpus_is_large_and_has_every_op_and_every_reason() -> None:
    assert len(CORPUS) >= 300
    ops = Counter(entry.read["op"] for entry in CORPUS if entry.read is not None)
    assert set(ops) == set(COMMAND_OF_OP)
    codes = {entry.refused for entry in CORPUS if entry.refused is not None}
    of_the_reader = list(ReasonCode)[: list(ReasonCode).index(ReasonCode.NOT_SUPPORTED)]
    beside = {ReasonCode.TOO_LARGE, ReasonCode.BAD_TOPIC, ReasonCode.TOO_MANY, *STATEFUL}
    assert {code.value for code in of_the_reader if code not in beside} <= codes
