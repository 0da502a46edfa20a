"""What the site survives: the tests of faults run several times on a real platform, as a table.

Each fault is a test of tests/platform (test_kill_*.py, test_fuzz_*.py, test_odd_devices.py, the
lease of test_bacnet.py, the hung driver of test_faults.py); it survived when every check of that
test held. Time to normal is from when the building should have been as before (the fault, or the
event's end if that is later) to the last circuit's return, by the panel's own clock.

    scripts/benchmark.sh faults [--tries 5] [--only WORDS] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine

ROOT = Path(__file__).resolve().parents[1]
TESTS = "test_kill_ or test_fuzz_ or test_odd_devices or place_to_the_building or driver_that_hangs"
HEADINGS = ("fault", "tries", "survived", "worst time to normal")


@dataclass
class Row:
    """One fault."""

    tries: int = 0
    survived: int = 0
    to_normal_sec: list[float] = field(default_factory=list)

    def add(self, *, survived: bool, to_normal_sec: float | None) -> None:
        self.tries += 1
        self.survived += survived
        if to_normal_sec is not None:
            self.to_normal_sec.append(to_normal_sec)

    @property
    def worst(self) -> str:
        return f"{max(self.to_normal_sec):.2f} s" if self.to_normal_sec else "-"


def rows_of(lines: Iterable[str]) -> dict[str, Row]:
    """By fault, from what the tests kept (tests/platform/ledger.py)."""
    rows: dict[str, Row] = {}
    for line in lines:
        kept = json.loads(line)
        row = rows.setdefault(kept["fault"], Row())
        row.add(survived=kept["survived"], to_normal_sec=kept["to_normal_sec"])
    return rows


def cells(rows: dict[str, Row]) -> Iterator[tuple[str, ...]]:
    for name, row in rows.items():
        yield name, str(row.tries), str(row.survived), row.worst


def markdown(rows: dict[str, Row]) -> str:
    lines = [HEADINGS, ("---", "---:", "---:", "---:"), *cells(rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@contextmanager
def ledger() -> Iterator[Path]:
    """A file that the tests' plain user may write to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "faults.jsonl"
        file.touch()
        file.chmod(0o666)
        yield file


def main() -> int:
    """Print the table, write the markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument(
        "--only", default=TESTS, help="pytest's -k: the tests of some of the faults, by their names"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with ledger() as file:
        told = {"VENAGENT_FAULTS": str(file), "VENAGENT_FAULT_TRIES": str(arguments.tries)}
        command = [ROOT / "scripts" / "test.sh", "platform", "--", "-q", "-k", arguments.only]
        outcome = subprocess.run(command, env={**os.environ, **told}, check=False)
        rows = rows_of(file.read_text().splitlines())
    table = Table(title=f"Faults ({machine()})")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for line in cells(rows):
        table.add_row(*line)
    Console().print(table)
    if arguments.markdown:
        arguments.markdown.write_text(markdown(rows))
    return outcome.returncode


if __name__ == "__main__":
    sys.exit(main())
