"""The table of commands says of each what the command itself says."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ops.cli.command_table import COMMANDS
from ops.cli.ven_control import app
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings, save_site_settings
from tests.ops.conftest import REPO
from tests.support.each_case import each_case


@each_case("name", COMMANDS)
def test_an_entry_has_the_first_line_of_its_commands_text(name: str) -> None:
    entry = COMMANDS[name]
    found = getattr(importlib.import_module(f"ops.cli.{entry.module}"), entry.function)
    text = found.info.help if isinstance(found, typer.Typer) else found.__doc__
    assert entry.summary == str(text).strip().splitlines()[0]


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert [name for name in COMMANDS if f"  {name} " not in shown] == []


def test_a_command_that_is_none_is_named() -> None:
    result = CliRunner().invoke(app, ["sendevent"])
    assert result.exit_code == 2
    assert "No such command" in result.output


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], {"pydantic", "rich", "paho", "boto3", "cryptography", "VenAgent.config"}),
        (["ping"], {"pydantic", "typer", "boto3", "cryptography", "VenAgent.config"}),
        (["status"], {"pydantic", "typer", "boto3", "cryptography", "VenAgent.config"}),
    ],
)
def test_the_quick_commands_load_nothing_heavy(
    paths: Paths, settings: SiteSettings, arguments: list[str], heavy: set[str]
) -> None:
    script = f"""
import runpy, sys
sys.argv = ["ops", *{arguments!r}]
try:
    runpy.run_module("ops", run_name="__main__")
except SystemExit:
    pass
print("LOADED", *sorted(set({sorted(heavy)!r}) & set(sys.modules)))
"""
    save_site_settings(paths, settings)
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPO,
        env={**os.environ, "VENAGENT_HOME": str(paths.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "LOADED"
