"""A file that is checked, and where in its JSON a value stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.check_config.config_findings import ConfigFindings

JsonPath = tuple[str | int, ...]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|\n')


@dataclass(frozen=True)
class CheckedJsonFile:
    """A JSON object, and the line of each of its values."""

    path: Path
    contents: dict[str, Any]
    lines: dict[JsonPath, int]

    def line(self, *where: str | int) -> int | None:
        """The line of the value at `where`, or of the nearest block around it."""
        for length in range(len(where), -1, -1):
            if where[:length] in self.lines:
                return self.lines[where[:length]]
        return None


def read_checked_json_file(path: Path, found: ConfigFindings) -> CheckedJsonFile | None:
    """The file's JSON object; None when there is none, which is a finding."""
    text = read_checked_text_file(path, found)
    if text is None:
        return None
    try:
        contents = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        found.add(path, line, f"not JSON: {error}", "Correct the syntax at that place")
        return None
    if not isinstance(contents, dict):
        found.add(path, 1, "not a JSON object", "Write it as { … }")
        return None
    return CheckedJsonFile(path, contents, dict(_value_lines(text)))


def read_checked_text_file(path: Path, found: ConfigFindings) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        found.add(path, None, "there is no such file", "Check the name")
    except (OSError, UnicodeDecodeError) as error:
        found.add(path, None, f"cannot be read: {error}", "Save it as UTF-8 text")
    return None


def _value_lines(text: str) -> Iterator[tuple[JsonPath, int]]:
    """(path, line) of each value of a well-formed JSON text, from 1."""
    line = 1
    path: list[str | int | None] = []
    in_list: list[bool] = []
    key: str | None = None
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == "\n":
            line += 1
        elif token in "}]":
            in_list.pop()
            path.pop()
        elif token == ",":
            last = path.pop()
            path.append(last + 1 if isinstance(last, int) else None)
        elif token == ":":
            path[-1] = json.loads(key or '""')
        elif in_list and not in_list[-1] and path[-1] is None:
            key = token
        else:
            yield tuple(part for part in path if part is not None), line
            if token in "{[":
                in_list.append(token == "[")
                path.append(0 if token == "[" else None)
