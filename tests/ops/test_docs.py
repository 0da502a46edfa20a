"""The documents say what is there: links, commands with their options, scripts, JSON."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import typer

from ops.cli.ven_control import app
from tests.config.builders import ROOT
from tests.documents import pages
from tests.support.each_case import each_case

PAGES = sorted({*pages.PAGES, *ROOT.glob("*.md")})
DOOR = "ven_control.sh"


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def door_calls() -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for command in pages.commands(page):
            words = shlex.split(re.split("[|>]", command.text)[0])
            if words and words[0].endswith(DOOR) and words[1:] != ["--help"]:
                found.append((page_id(page), words[1:]))
    for page in PAGES:
        for table in re.findall(r"^\| command \|.*\n(?:\|.*\n)+", page.read_text(), re.M):
            for synopsis in re.findall(r"^\| `([a-z][^`]*)`", table, re.M):
                if not synopsis.startswith("python"):
                    found.append((page_id(page), re.sub(r"[][|…]", " ", synopsis).split()))
    return found


@each_case("page", PAGES, ids=page_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page_id(page)}: {target}"


@each_case(("page", "words"), door_calls(), ids=lambda value: str(value)[:60])
def test_every_command_of_the_one_door_is_one_with_these_options(
    page: str, words: list[str]
) -> None:
    command: Any = typer.main.get_command(app)
    everywhere = {option for param in command.params for option in param.opts}
    while words and hasattr(command, "list_commands"):
        assert words[0] in command.list_commands(None), f"{page}: {DOOR} has no command {words[0]}"
        command, words = command.get_command(None, words[0]), words[1:]
    assert not hasattr(command, "list_commands"), f"{page}: {command.name} needs a command"
    if command.context_settings.get("allow_extra_args"):
        return  # it hands them on
    known = everywhere | {
        option for param in command.params for option in (*param.opts, *param.secondary_opts)
    }
    for word in words:
        if word.startswith("--") and word != "--help":
            assert word.split("=")[0] in known, f"{page}: {command.name} has no {word}"


@each_case("page", PAGES, ids=page_id)
def test_every_script_and_module_that_is_called_is_there(page: Path) -> None:
    for line in (command.text for command in pages.commands(page)):
        for path in re.findall(r"(?:^|\s)\.?/?(scripts/[\w.]+)", line):
            assert (ROOT / path).exists(), f"{page_id(page)}: {path}"
        for module in re.findall(r"python3? -m (ops[\w.]*|backend[\w.]*|simulator[\w.]*)", line):
            path = ROOT / module.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists(), f"{page_id(page)}: {module}"


@each_case("page", PAGES, ids=page_id)
def test_every_json_block_is_json(page: Path) -> None:
    for block in re.findall(r"```json\n(.*?)```", page.read_text(), re.S):
        assert is_json(block) or is_json(f"{{{block}}}"), f"{page_id(page)}: {block}"


def is_json(text: str) -> bool:
    """One document, or several after each other."""
    rest = text.strip()
    while rest:
        try:
            _, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            return False
        rest = rest[end:].strip()
    return True
