"""The simulator's page: every fault stands there, and every command in it is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from simulator.command_line import parse_modbus_options
from simulator.fault_injector import FaultInjector

PAGE = (Path(__file__).resolve().parents[2] / "simulator" / "README.md").read_text()
NO_SERVER: object = None


def test_every_fault_stands_in_the_table_with_its_fields() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.M))
    injector = FaultInjector(NO_SERVER)  # type: ignore[arg-type]
    assert set(rows) == set(injector.kinds)
    for kind, fields in injector.fields_by_kind.items():
        assert set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", rows[kind]))) == set(fields)


def test_the_options_that_are_named_exist() -> None:
    for example in re.findall(r"`(--device [^`]+|--speed [^`]+)`", PAGE):
        parse_modbus_options(shlex.split(example))
