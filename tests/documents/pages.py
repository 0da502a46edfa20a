"""The commands that the documents tell a reader to type."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.config.builders import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("MeterDriverConfigs/**/README.md"),
        ROOT / "simulator/README.md",
    ]
)
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.S | re.M)
_SPAN = re.compile(r"`([^`\n]+)`")
_PROMPT = re.compile(r"^(\w+)\$\s+")
_BEGINS = re.compile(
    r"(?:[A-Z_]+=\S+ )*"
    r"(?:\./scripts/|scripts/|vctl |volttron |python3? -|ven_control\.sh |ssh |curl |docker |aws |"
    r"mosquitto_\w+ |openssl |eval |sudo |apt|pip |git )"
)
"""A span in the text that is a command, and not the name of one."""
SHELL = ("bash", "sh", "shell", "console")
NOT_SHELL = ("json", "sql", "yaml", "python", "csv", "")
"""Languages of blocks that hold no commands; the plain ones are drawings."""


@dataclass(frozen=True)
class Command:
    """One command as it stands in a document."""

    page: str
    line: int
    text: str
    """Continued lines joined, without prompt and remark."""
    block: int = 0
    """The first line of its block; 0 for a span in the text."""
    prompt: str = ""
    """Whose it is, where the block says so: `site$ …`."""

    @property
    def in_block(self) -> bool:
        return self.block > 0

    @property
    def is_assignment(self) -> bool:
        """Sets variables for what follows in its block, and does nothing else."""
        return bool(re.fullmatch(r"(?:export )?\w+=(?:\S*|\$\(.*\))(?: \w+=\S+)*", self.text))

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def commands(page: Path) -> list[Command]:
    """All of a page, in the order in which they stand."""
    text = page.read_text()
    name = str(page.relative_to(ROOT))
    found = []
    for block in _BLOCK.finditer(text):
        if block[1] in SHELL:
            found += _of_block(name, text.count("\n", 0, block.start(2)) + 1, block[2])
    prose = _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), 1):
        for span in _SPAN.findall(line):
            if _BEGINS.match(span) and " " in span:
                found.append(Command(name, number, span))
    return sorted(found, key=lambda command: command.line)


def _of_block(page: str, first: int, block: str) -> list[Command]:
    found, started, parts = [], first, []
    for number, line in enumerate(block.splitlines(), first):
        if not parts:
            started = number
        parts.append(line.strip().removesuffix("\\").strip())
        if line.endswith("\\"):
            continue
        text, parts = " ".join(parts), []
        prompt = _PROMPT.match(text)
        text = _without_remark(text[prompt.end() :] if prompt else text)
        if text:
            found.append(Command(page, started, text, first, prompt[1] if prompt else ""))
    return found


def _without_remark(text: str) -> str:
    """Without ` # …`, unless that stands in quotes."""
    for at in (match.start() for match in re.finditer(r"(?:^|\s)#", text)):
        try:
            shlex.split(text[:at])
        except ValueError:
            continue  # inside quotes
        return text[:at].strip()
    return text


def unknown_languages(page: Path) -> list[str]:
    """Languages of blocks that are neither the shell's nor known to hold no commands."""
    return [
        block[1] for block in _BLOCK.finditer(page.read_text()) if block[1] not in SHELL + NOT_SHELL
    ]
