"""Runs the commands of pages, one test each."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from tests.config.builders import ROOT
from tests.documents import tables
from tests.documents.pages import Command, commands
from tests.documents.reader import Reader


def script(pages: Sequence[str]) -> list[Command]:
    """What is run of these pages, in this order; what the text only repeats is run once."""
    wanted: list[Command] = []
    for command in (command for page in pages for command in commands(ROOT / page)):
        again = not command.in_block and command.text in [other.text for other in wanted]
        if not again and not tables.is_left_out(command.text):
            wanted.append(command)
    return sorted(wanted, key=lambda command: tables.place(command.text))


def each(pages: Sequence[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", script(pages), ids=str)


def play(reader: Reader, command: Command, **variables: str) -> None:
    """Types it, and looks at what it says."""
    if reader.lost:
        pytest.fail(f"not tried: {reader.lost!r} failed", pytrace=False)
    reader.lost = command.text if " start" in command.text else ""
    words = {
        theirs: ours.format(**reader.ports, VENAGENT_HOME=reader.home)
        for theirs, ours in tables.SUBSTITUTIONS.items()
    }
    before = [
        reader.typed(each, words)
        for each in commands(ROOT / command.page)
        if each.block == command.block and each.line < command.line and each.is_assignment
    ]
    text = reader.typed(command, words)
    if tables.longest(command.text, tables.HELP_ONLY):
        reader.help(text)
        return
    if command.text in tables.UNTIL_INTERRUPTED:
        reader.watch(text, tables.UNTIL_INTERRUPTED[command.text], **variables)
        return
    said = reader.run(text, before, **variables)
    reader.said[command.text] = said
    expected = tables.SAYS.get(tables.longest(command.text, tables.SAYS) or "", "")
    assert re.search(expected, said), f"{command}\ndoes not say {expected!r}:\n{said}"
    reader.lost = ""
