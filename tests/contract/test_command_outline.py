"""What a command is about, at a glance."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.builders import NOW
from tests.contract.corpus import CORPUS
from tests.support.each_case import each_case
from VenAgent.contract.command_outline import NO_COMMAND, CommandOutline, command_outline


@each_case(
    ("message", "outline"),
    [
        ({"op": "restore"}, CommandOutline(ends_event=True)),
        (
            {"op": "restorePanel", "data": {"eventId": "e1"}, "correlationId": "c"},
            CommandOutline(ends_event=True, event_id="e1", correlation_id="c"),
        ),
        ({"data": {"op": "cancel", "event_id": 7}}, CommandOutline(ends_event=True, event_id="7")),
        ({"op": "event", "shed_kw": 1}, CommandOutline(begins_by_ts=0.0)),
        ({"op": "limit", "start_ts": NOW + 60}, CommandOutline(begins_by_ts=NOW + 60)),
        (
            {"op": "shedLoad", "data": {"startTime": (NOW + 60) * 1000}},
            CommandOutline(begins_by_ts=NOW + 60),
        ),
        ({"op": "loadUp", "startTs": "tomorrow"}, CommandOutline(begins_by_ts=0.0)),
        ({"op": "event", "start_ts": None}, CommandOutline(begins_by_ts=0.0)),
        ({"op": "ping", "correlationId": True}, CommandOutline()),
        ({"op": ["restore"]}, NO_COMMAND),
    ],
)
def test_an_outline(message: dict[str, Any], outline: CommandOutline) -> None:
    assert command_outline(json.dumps(message).encode()) == outline


def test_every_command_of_the_corpus_has_an_outline_that_agrees_with_what_is_read() -> None:
    for entry in CORPUS:
        outline = command_outline(entry.payload.encode(errors="replace"))
        if entry.read is None:
            continue
        assert outline.ends_event == (entry.read["op"] in ("restore", "restorePanel", "cancel"))
        if outline.ends_event and "event_id" in entry.read:
            assert outline.event_id == entry.read["event_id"], entry.name
        if "start_ts" in entry.read:
            assert outline.begins_by_ts == entry.read["start_ts"], entry.name
