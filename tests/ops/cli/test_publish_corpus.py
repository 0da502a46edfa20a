"""The corpus of commands at the command line: what is published asks what was written, and no
more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import typer

from ops.cli.ven_cmd_publish import ven_cmd_publish_script
from ops.host.ops_error import OpsError
from tests.contract.builders import LIMITS, VEN_ID
from tests.contract.corpus import AS_OBJECTS, CORPUS, CorpusEntry, moved
from tests.support.each_case import each_case
from VenAgent.contract.command_reader import CommandNotRead, read_command
from VenAgent.contract.op import Op


def reading(payload: str) -> str:
    """What a VEN makes of it: the content's fingerprint, or the reason's code."""
    try:
        command = read_command(payload, ven_id=VEN_ID, limits=LIMITS, now=time.time())
    except CommandNotRead as rejected:
        return rejected.code.value
    return command.fingerprint


@pytest.fixture
def publish(
    broker_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path
) -> Callable[[str, str], str]:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VENAGENT_HOME", str(tmp_path / "home"))

    def run(op: str, data: str) -> str:
        capsys.readouterr()
        ven_cmd_publish_script(
            ven=None,
            op=op,
            ven_id=VEN_ID,
            data=data,
            no_wait=True,
            endpoint="127.0.0.1",
            port=broker_port,
        )
        return capsys.readouterr().out

    return run


@pytest.mark.long
def test_what_is_published_asks_what_was_written(publish: Callable[[str, str], str]) -> None:
    ops = {each.value for each in Op}
    tried = 0
    for entry in AS_OBJECTS:
        written = moved(entry.command or {}, time.time())
        op = written.pop("op", None)
        if not isinstance(op, str) or entry.name == "another site in data":
            continue  # the options always name op and VEN, at the top
        if op not in ops:
            with pytest.raises(OpsError, match="there is no op"):
                publish(op, json.dumps(written))
            continue
        if any(written.get(key, VEN_ID) != VEN_ID for key in ("venId", "ven_id")):
            with pytest.raises(typer.BadParameter, match="give one of them"):
                publish(op, json.dumps(written))
            continue
        sent = publish(op, json.dumps(written))
        assert reading(sent) == reading(json.dumps({"op": op, **written})), entry
        tried += 1
    assert tried > 300


@pytest.mark.long
@pytest.mark.parametrize("entry", [e for e in CORPUS if e.command is None and e.payload], ids=str)
def test_what_is_no_object_or_can_be_taken_in_two_ways_is_not_sent(
    publish: Callable[[str, str], str], entry: CorpusEntry
) -> None:
    with pytest.raises(typer.BadParameter, match="--data"):
        publish("event", entry.payload)


@each_case(
    ("options", "data"),
    [
        ({"op": "event", "shed_kw": 5.0}, {"op": "restore"}),
        ({"op": "event", "shed_kw": 5.0}, {"shed_kw": 6}),
        ({"op": "event", "shed_kw": 5.0}, {"requestedReductionKw": 6}),
        ({"op": "event", "shed_kw": 5.0, "duration": 60.0}, {"durationSec": 3600}),
        ({"op": "restore", "event_id": "a"}, {"eventId": "b"}),
        ({"op": "shedLoad", "load_id": "ev1"}, {"circuitId": "hvac1"}),
        ({"op": "ping", "corr_id": "a"}, {"correlationId": "b"}),
        ({"op": "ping", "ven_id": VEN_ID}, {"venId": "other"}),
    ],
)
def test_an_option_and_data_that_say_two_things_are_sent_neither_way(
    broker_port: int, options: dict[str, Any], data: dict[str, Any]
) -> None:
    with pytest.raises(typer.BadParameter, match="give one of them"):
        ven_cmd_publish_script(
            data=json.dumps(data),
            no_wait=True,
            endpoint="127.0.0.1",
            port=broker_port,
            **{"ven_id": VEN_ID, **options},
        )


def test_an_op_in_data_alone_is_sent(publish: Callable[[str | None, str], str]) -> None:
    assert json.loads(publish(None, '{"op": "restore", "event_id": "a"}'))["op"] == "restore"
    assert json.loads(publish("event", '{"op": "event", "shed_kw": 5}'))["shed_kw"] == 5
    assert json.loads(publish(None, "{}"))["op"] == "ping"
