"""What vctl says, and that it is not waited for in vain."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ops.host import processes
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron import vctl

STATUS = """\
UserWarning: something
{
  "ven.agent": {"agent_uuid": "u", "name": "venagent-0.1.0", "identity": "ven.agent",
    "status": "running [12]", "health": {"peer": "ven.agent", "message": "GOOD"}},
  "platform.actuator": {"name": "a", "status": "running [13]",
    "health": {"message": {"status": "BAD", "context": "no driver"}}},
  "platform.driver": {"name": "d", "status": "0", "health": ""},
  "new": {"name": "n", "status": "", "health": {"peer": "new"}}
}
"""


def test_the_agents_of_a_status() -> None:
    agents = vctl.parse_vctl_status(STATUS)
    assert agents["ven.agent"].is_good
    assert not agents["platform.actuator"].is_good
    assert agents["platform.actuator"].context == "no driver"
    assert agents["platform.actuator"].is_running
    assert not agents["platform.driver"].is_running
    assert agents["new"].health == ""


def test_no_agents() -> None:
    assert vctl.parse_vctl_status("{}\n") == {}


def test_what_is_no_status_is_shown() -> None:
    with pytest.raises(OpsError) as error:
        vctl.parse_vctl_status("Traceback")
    assert error.value.output == ("Traceback",)


def fake_vctl(paths: Paths, script: str) -> None:
    program = paths.platform_bin / "vctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_failed_command_shows_what_it_said(paths: Paths) -> None:
    fake_vctl(paths, "echo no such agent >&2; exit 20")
    with pytest.raises(OpsError, match="`vctl start x` failed") as error:
        vctl.vctl_output(paths, "start", "x")
    assert error.value.output == ("no such agent",)


def test_a_command_that_hangs_is_given_up(paths: Paths) -> None:
    fake_vctl(paths, "exec sleep 1000")
    with pytest.raises(OpsError, match="gave no answer within"):
        vctl.run_vctl(paths, "status", timeout_sec=0.1)


def test_a_platform_that_dies_ends_the_wait(paths: Paths) -> None:
    fake_vctl(paths, "touch begun; exec sleep 1000")
    platform = processes.spawn_process(
        paths, vctl.PLATFORM, ["sh", "-c", "while [ ! -e begun ]; do sleep 0.05; done"],
        {"PATH": os.environ["PATH"]}, cwd=paths.volttron_home,
    )  # fmt: skip
    with pytest.raises(OpsError, match="VOLTTRON ended while `vctl install x` was at work"):
        vctl.run_vctl(paths, "install", "x", timeout_sec=60)
    assert not processes.process_is_running(platform)


def test_the_platforms_environment_is_used(paths: Paths, tmp_path: Path) -> None:
    fake_vctl(paths, 'echo "$VOLTTRON_HOME"; pwd')
    assert vctl.vctl_output(paths, "status").splitlines() == [str(paths.volttron_home)] * 2


def test_vctl_can_be_interrupted(paths: Paths) -> None:
    """SIGINT is not ignored in what is started."""
    fake_vctl(paths, "kill -INT $$; sleep 1000")
    assert vctl.run_vctl(paths, "status", timeout_sec=30).returncode in (-signal.SIGINT, 130)


COUNTING = 'echo . >>"$0.tries"; [ "$(wc -l <"$0.tries")" -ge 3 ] || exit 75; echo done'


def test_a_vctl_that_gives_up_is_tried_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vctl, "AGAIN_AFTER_SEC", 0.01)
    fake_vctl(paths, COUNTING)
    assert vctl.vctl_output(paths, "status") == "done\n"


def test_a_vctl_that_a_person_calls_is_tried_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_vctl(paths, COUNTING)
    assert vctl.pass_on_to_vctl(paths, ["status"]) == 0
    assert capsys.readouterr().err.count("trying again") == 2


def test_a_vctl_that_always_gives_up_ends_with_its_code(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vctl, "AGAIN_AFTER_SEC", 0.01)
    fake_vctl(paths, "echo operation timed out >&2; exit 75")
    assert vctl.run_vctl(paths, "status", timeout_sec=0.5).returncode == 75
