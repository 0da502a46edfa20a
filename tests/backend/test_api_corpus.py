"""The corpus of commands at REST: what the VEN's reader refuses, no body becomes a command of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.api.request_bodies import SendEventBody
from backend.store.database import Database
from tests.contract.corpus import CORPUS, CorpusEntry
from VenAgent.contract.command_fields import LOAD_SHED_SPELLINGS, SPELLINGS
from VenAgent.contract.op import Op

from .api_client import add_house, api
from .dispatching import Wire

NAMES = {
    **dict.fromkeys(LOAD_SHED_SPELLINGS, "shedKw"),
    **dict.fromkeys(SPELLINGS["duration_sec"], "durationSec"),
    **dict.fromkeys(SPELLINGS["event_id"], "eventId"),
}
PATHS = {
    Op.EVENT.value: "send-event",
    Op.SHED_PANEL.value: "send-event",
    Op.SHED_LOAD.value: "loads/ev/commands/shed",
    Op.SET_LOAD.value: "loads/ev",
}
ONLY_THE_SITE_KNOWS = ("over the rating", "below one watt", "in watts")


def request_of(entry: CorpusEntry) -> tuple[str, str, bytes] | None:
    """Method, path and body that ask the same; None where REST has no such request."""
    if entry.command is None:
        text = entry.payload.replace('"op":"event",', "").replace("shed_kw", "shedKw")
        return "POST", PATHS["event"], text.encode()
    op = entry.command.get("op")
    if not isinstance(op, str) or op not in PATHS:
        return None
    body: dict[str, Any] = {}
    for key, value in entry.command.items():
        if key == "op" or (op == Op.SET_LOAD.value and key in SPELLINGS["circuit_id"]):
            continue
        name = NAMES.get(key, key)
        name = "amountKw" if op == Op.SHED_LOAD.value and name == "shedKw" else name
        body[key if name in body else name] = value
    method = "PATCH" if op == Op.SET_LOAD.value else "POST"
    return method, PATHS[op], json.dumps(body).encode()


@pytest.mark.asyncio
async def test_what_the_reader_refuses_no_body_becomes(database: Database) -> None:
    await add_house(database)
    wire = Wire()
    asked = 0
    async with api(database, wire) as client:
        for entry in CORPUS:
            request = request_of(entry)
            unknowable = any(words in entry.name for words in ONLY_THE_SITE_KNOWS)
            if request is None or entry.refused is None or unknowable:
                continue
            method, path, body = request
            if entry.name == "circuit missing" or b"capacityKw" in body or not body:
                continue  # the path names the circuit; REST keeps a capacity of its own
            answer = await client.request(
                method,
                f"/api/vens/house/{path}",
                content=body,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 422, (entry.name, body, answer.text)
            asked += 1
    assert asked > 120
    assert wire.sent == []


@pytest.mark.parametrize(
    "entry",
    [e for e in CORPUS if e.read is not None and e.read["op"] == "event"],
    ids=str,
)
def test_what_a_body_has_in_common_with_a_command_is_read_as_the_same(entry: CorpusEntry) -> None:
    request = request_of(entry)
    body = {} if request is None else json.loads(request[2])
    if not {"shedKw"} <= set(body) <= {"shedKw", "durationSec"} or body.get("durationSec") == 0:
        return  # a field, or an event without an end, that REST does not have
    read = SendEventBody.model_validate({k: v for k, v in body.items() if v is not None})
    expected = entry.read or {}
    assert read.shed_kw == expected.get("shed_kw", read.shed_kw)
    if expected.get("duration_sec"):
        assert read.duration_sec == expected["duration_sec"]


@pytest.mark.asyncio
async def test_a_field_that_a_body_has_not_is_told_with_the_nearest(database: Database) -> None:
    """As over MQTT, and as a query's names; what begins with `x_` is the sender's own."""
    async with api(database, Wire()) as client:
        event = {"requestedReductionKw": 5.0, "startTime": "2099-01-01T00:00:00Z", "duration": 600}
        answer = await client.post("/api/events/", json=event)
        assert answer.status_code == 422
        told = {each["loc"][-1]: each["msg"] for each in answer.json()["detail"]}
        assert told["duration"] == "there is no such name; did you mean durationSec?"
        answer = await client.post("/api/vens/", json={"name": "A", "zzz": 1})
        (told,) = answer.json()["detail"]
        assert told["msg"].startswith("there is no such name; this call has name, ")
        answer = await client.post("/api/vens/", json={"name": "A", "x_ticket": 17})
        assert answer.status_code == 201
