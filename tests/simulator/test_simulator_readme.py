"""The simulator's page: every fault stands there, and every command in it is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from simulator.command_line import parse_bacnet_command_line, parse_modbus_command_line
from simulator.device_catalog import DeviceCatalog
from simulator.fault_injector import FaultInjector

PAGE = (Path(__file__).resolve().parents[2] / "simulator" / "README.md").read_text()


def test_every_fault_stands_in_the_table_with_its_fields() -> None:
    section = PAGE[PAGE.index("## Faults") : PAGE.index("## BACnet")]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.M))
    assert set(rows) == set(FaultInjector.FIELDS)
    for kind, fields in FaultInjector.FIELDS.items():
        assert set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", rows[kind]))) == set(fields)


def test_every_fault_stands_in_the_help_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    for parse in (parse_modbus_command_line, parse_bacnet_command_line):
        with pytest.raises(SystemExit):
            parse(["--help"])
        said = " ".join(capsys.readouterr().out.split())
        for kind, fields in FaultInjector.FIELDS.items():
            assert " ".join([kind, ", ".join(fields)]).strip() in said


def test_every_kind_of_device_stands_in_its_table() -> None:
    section = PAGE[PAGE.index("## Several devices") :]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == set(DeviceCatalog.KINDS)


def test_the_options_that_are_named_exist() -> None:
    examples = re.findall(r"`(--device [a-z][^`]+|--speed [^`]+)`", PAGE)
    assert len(examples) == 3
    for example in examples:
        parse_modbus_command_line(shlex.split(example))
