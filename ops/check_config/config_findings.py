"""What `check-config` finds, and where in a JSON file a value stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ConfigFinding:
    """One thing that is wrong: where, what, and what to do."""

    file: str
    line: int | None
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.what}. {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class ConfigFindings(list[ConfigFinding]):
    """Collects them for one file after the other."""

    def add(self, file: Path, line: int | None, what: str, remedy: str) -> None:
        self.append(ConfigFinding(str(file), line, what, remedy))
