"""VOLTTRON's log for people: one short line an entry, with time, level and who says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.text import Text

LEVELS = ("debug", "info", "warning", "error", "critical")
_ENTRY = re.compile(
    r"^(?P<day>\d{4}-\d\d-\d\d) (?P<clock>\d\d:\d\d:\d\d),\d+ "
    r"(?:\((?P<agent>[^()]*)\) )?(?P<name>\S+) "
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL): ?(?P<text>.*)$"
)
_PACKAGE = re.compile(r"^(?P<package>[A-Za-z0-9_.-]+?)-\d[\w.]* \d+$")
_NOISE = (
    "CONTROL RPC list_agents",  # our own looking
    "AGENT SPEC",
    "Welcome to",
    "Not running with secure users",
    "starting agent using <class",
)
_CHATTER = ("Requirement already satisfied:", "Processing ", "Installing collected packages:")
"""What pip writes into the log when an agent is installed."""
_STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


@dataclass(frozen=True)
class _LogEntry:
    clock: str
    level: str
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.clock} {self.level:<8} {self.who:<10} {self.text}"

    def styled(self) -> Text:
        style = _STYLES.get(self.level, "")
        if not style and self.text.startswith(("event ", "alert ")):
            style = "bold"
        return Text(str(self), style=style)


def _parse(line: str) -> _LogEntry | None:
    """None for a line that begins no entry: a traceback's, or another log's."""
    found = _ENTRY.match(line)
    if found is None:
        return None
    package = _PACKAGE.match(found["agent"] or "")
    who = package["package"] if package else found["name"].split(".")[0]
    who = who.removeprefix("volttron-")
    return _LogEntry(found["clock"], found["level"], who.strip("<>"), found["text"].strip())


_TRACE = "Traceback (most recent call last):"
_TRACE_LINKS = (_TRACE, "During handling of the above", "The above exception was the direct")


def readable_log_entries(lines: Iterable[str], level: str = "info") -> Iterator[Text]:
    """Entries from `level` up without banners and noise; of a traceback the line that says what.

    The same entry again and again is told once: VOLTTRON says some things every few seconds.
    """
    lowest = LEVELS.index(level)
    shown = True
    in_trace = False
    before: tuple[str, str] | None = None
    for line in lines:
        entry = _parse(line)
        if entry is None:
            in_trace = line.startswith(_TRACE_LINKS) or (in_trace and line[:1] in (" ", "\t", ""))
            unwanted = in_trace or not line.strip() or _is_banner(line) or _is_chatter(line)
            if shown and not unwanted:
                yield Text("         " + line)
            continue
        in_trace = False
        this = (entry.who, entry.text)
        shown = (
            LEVELS.index(entry.level.lower()) >= lowest
            and not any(noise in entry.text for noise in _NOISE)
            and not _is_banner(entry.text)
            and this != before
        )
        if shown:
            before = this
            yield entry.styled()


def _is_chatter(line: str) -> bool:
    return line.strip().startswith(_CHATTER)


def _is_banner(text: str) -> bool:
    """Rows of stars, art and empty lines."""
    letters = sum(character.isalnum() for character in text)
    return letters == 0 or (len(text) > 12 and letters / len(text) < 0.2)
