"""VOLTTRON's log as people read it, and tab completion."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ops.cli import log_entry as log_lines
from ops.cli import ven_control as cli
from ops.cli.completion_command import completion_script
from ops.host.paths import Paths
from tests.ops.conftest import REPO
from tests.support.each_case import each_case

LOG = """\
2026-11-21 10:00:00,001 () volttron.server.__main__ INFO: ***********************************
2026-11-21 10:00:00,002 () volttron.server.__main__ INFO: Welcome to VOLTTRON
2026-11-21 10:00:01,000 () volttron.server.control INFO: CONTROL RPC list_agents
2026-11-21 10:00:02,000 (venagent-1.2.0 812) VenAgent.ven INFO: event evt-1 active: 5.0 kW asked for
Requirement already satisfied: six>=1.5 in /somewhere (from volttron)
2026-11-21 10:00:03,000 (volttron-platform-driver-0.2.1rc2 700) driver DEBUG: scraping
2026-11-21 10:00:04,000 (venagent-1.2.0 812) VenAgent.site WARNING: write to x failed: no answer
Traceback (most recent call last):
  File "device.py", line 7, in read
    raise TypeError("wrong")
TypeError: wrong

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "device.py", line 9, in write
ValueError: no
  at all
2026-11-21 10:00:05,000 (venagent-1.2.0 812) VenAgent.site WARNING: write to x failed: no answer
2026-11-21 10:00:06,000 (volttron-actuator-0.1.1a9 700) <stderr> ERROR: gone
""".splitlines()


def shown(level: str = "info") -> list[str]:
    return [line.plain for line in log_lines.readable_log_entries(LOG, level)]


def test_an_event_step_is_one_line_with_time_level_and_agent() -> None:
    assert shown()[0] == "10:00:02 INFO     venagent   event evt-1 active: 5.0 kW asked for"


def test_banners_our_own_looking_debug_and_repetitions_are_left_out() -> None:
    assert [line.split()[1] for line in shown() if line[0].isdigit()] == [
        "INFO",
        "WARNING",
        "ERROR",
    ]
    assert not any("*" in line or "list_agents" in line for line in shown())


def test_what_pip_says_of_an_installation_is_left_out() -> None:
    assert not any("already satisfied" in line for line in shown("debug"))


def test_of_a_traceback_the_error_follows_its_entry_and_goes_with_it() -> None:
    begin = next(i for i, line in enumerate(shown()) if "write to x" in line)
    assert [line.strip() for line in shown()[begin + 1 :][:3]] == [
        "TypeError: wrong",
        "ValueError: no",
        "at all",
    ]
    assert not any("device.py" in line for line in shown())
    assert not any("ValueError" in line for line in shown("error"))
    assert shown("error") == ["10:00:06 ERROR    actuator   gone"]


def test_all_is_there_with_debug() -> None:
    assert any("scraping" in line for line in shown("debug"))


def test_the_command_reads_the_platforms_log_and_raw_leaves_it_alone(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paths, "from_environment", lambda: paths)
    paths.platform_log.write_text("\n".join(LOG) + "\n")
    run = CliRunner().invoke
    short = run(cli.app, ["logs", "--no-follow", "--level", "warning"]).output
    assert "write to x failed" in short
    assert "event evt-1" not in short
    assert run(cli.app, ["logs", "--no-follow", "--raw"]).output == "\n".join(LOG) + "\n"


@each_case("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    script = completion_script(shell)
    assert "ven_control.sh" in script
    assert cli.COMPLETE_VARIABLE in script


@pytest.mark.long
def test_tab_completes_commands_and_options_in_bash() -> None:
    """The script is loaded by a real bash, and asked as readline does."""
    asked = """
    eval "$SCRIPT"
    function complete_for { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
      _ven_controlsh_completion "$TOOL"; echo "${COMPREPLY[@]}"; }
    complete_for ven_control.sh doc
    complete_for ven_control.sh send-event --sh
    """
    result = subprocess.run(
        ["bash", "-c", asked],
        env={**os.environ, "PYTHON": sys.executable, "TOOL": str(REPO / "tests/ops/tool.sh"),
             "SCRIPT": completion_script("bash"), "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )  # fmt: skip
    assert result.stdout.split() == ["doctor", "--shed-kw"]
