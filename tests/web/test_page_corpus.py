"""The corpus of commands at the page: what the reader refuses, no body there becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.contract.builders import parse
from tests.contract.corpus import CORPUS, CorpusEntry
from tests.support.each_case import each_case
from VenAgent.contract.command_fields import LOAD_SHED_SPELLINGS, SPELLINGS
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.commands import Command, ShedCommand
from VenAgent.contract.op import Op
from VenAgent.web.page_changes import PageChanges

NAMES = {
    **dict.fromkeys(LOAD_SHED_SPELLINGS, "shed_kw"),
    **{key: name for name in ("event_id", "circuit_id") for key in SPELLINGS[name]},
}
CHANGES = {
    Op.EVENT.value: "start_event",
    Op.SHED_PANEL.value: "start_event",
    Op.SHED_LOAD.value: "start_event",
    Op.RESTORE.value: "restore",
    Op.SET_LOAD.value: "change_circuit",
}


class ReadingSite:
    """A site that obeys whatever its reader reads."""

    def __init__(self) -> None:
        self.obeyed: list[Command] = []

    def command(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self.obeyed.append(parse(dict(fields)))
        except CommandNotRead as rejected:
            return {"ok": False, "status": "rejected", "reason": rejected.reason}
        return {"ok": True, "status": "accepted"}


def asked(entry: CorpusEntry) -> tuple[str, str, str] | None:
    """The change, the circuit and the body that ask the same at the page; None: it has no such."""
    if entry.command is None:
        return "start_event", "", entry.payload.replace('"op":"event",', "")
    op = entry.command.get("op")
    if not isinstance(op, str) or op not in CHANGES:
        return None
    body: dict[str, Any] = {}
    for key, value in entry.command.items():
        if key == "op" or (op == Op.SET_LOAD.value and key in SPELLINGS["circuit_id"]):
            continue
        # On its own pages a field has one name; a panel's event has no circuit.
        name = NAMES.get(key, key) if op == Op.SHED_LOAD.value or key != "loadId" else key
        body[key if name in body else name] = value
    return CHANGES[op], "ev1", json.dumps(body)


@each_case("entry", [e for e in CORPUS if e.refused is not None], ids=str)
def test_what_the_reader_refuses_the_page_refuses(entry: CorpusEntry) -> None:
    request = asked(entry)
    if request is None or entry.payload == "" or entry.name == "circuit missing":
        return  # nothing is asked; the circuit is in the address
    if "circuit_id" in request[2] and entry.command and entry.command["op"] == "shedPanel":
        return  # at the page a circuit of an event is a field of its own
    site = ReadingSite()
    status, _answer = PageChanges(site).change(*request)  # type: ignore[arg-type]
    assert status >= 400
    assert site.obeyed == []


@each_case("entry", [e for e in CORPUS if e.read is not None], ids=str)
def test_what_the_page_takes_is_the_same_command(entry: CorpusEntry) -> None:
    request = asked(entry)
    if request is None:
        return
    site = ReadingSite()
    status, answer = PageChanges(site).change(*request)  # type: ignore[arg-type]
    if status >= 400:  # a field, or a spelling, that the page does not have: refused by name
        assert answer.get("error") or answer.get("reason")
        assert site.obeyed == []
        return
    (command,), expected = site.obeyed, parse(entry.payload)
    if isinstance(expected, ShedCommand):
        assert isinstance(command, ShedCommand)
        assert command.shed_kw == expected.shed_kw
        assert getattr(command, "circuit_id", None) == getattr(expected, "circuit_id", None)
    else:
        assert type(command) is type(expected)
