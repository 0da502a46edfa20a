"""The scripts that are run by themselves: doors of a few lines, with their clients' options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import ven_control as cli
from ops.cli.command_exchange import ack_exit_code, command_exchange_advice
from ops.cli.quick_commands import quick_command_arguments
from ops.cli.script_options import required_script_option_ven_id, script_option_ven_id
from ops.host.exit_code import exit_code_of
from ops.host.ops_error import OpsError
from ops.host.terminal import ACK_OPTED_OUT, ACKS_DONE
from tests.ops.conftest import REPO
from tests.support.each_case import each_case
from VenAgent.contract.acks import AckStatus

OPTIONS = {
    "ven_cmd_publish": ["[VEN]", "--region", "--duration-sec", "--modification", "--corr-id"],
    "ven_telemetry_listen": ["[VEN]", "--region", "--endpoint"],
    "register_ven": ["[VEN]", "--status", "--backend-url"],
    "monitor_ven": ["[VEN]", "--backend-url"],
    "test_mqtt_telemetry": ["[VEN]", "--region"],
    "test_e2e_event_flow": ["[VEN]", "--skip-mqtt", "--duration-sec", "--duration-minutes"],
}


@pytest.mark.long
@each_case("name", OPTIONS)
def test_a_script_is_a_door_that_knows_its_options(name: str) -> None:
    script = REPO / f"scripts/{name}.py"
    assert len(script.read_text().splitlines()) < 15
    shown = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert [option for option in OPTIONS[name] if option not in shown] == []


def test_all_scripts_are_looked_at() -> None:
    assert {path.stem for path in Path(REPO / "scripts").glob("*.py")} == set(OPTIONS)


def test_a_ven_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IOT_THING_NAME", raising=False)
    assert (
        script_option_ven_id("a", None)
        == script_option_ven_id(None, "a")
        == script_option_ven_id("a", "a")
        == "a"
    )
    with pytest.raises(OpsError, match="two VENs"):
        script_option_ven_id("a", "b")
    with pytest.raises(OpsError, match="no VEN"):
        required_script_option_ven_id(None, None)
    monkeypatch.setenv("IOT_THING_NAME", "c")
    assert required_script_option_ven_id(None, None) == "c"


@each_case("code", ["event_over", "modification_outdated", "correlation_id_reused"])
def test_an_id_that_is_used_up_names_the_way_out(code: str) -> None:
    refused: dict[str, Any] = {"ok": False, "status": "rejected", "reason_code": code}
    advice = command_exchange_advice({"op": "event", "modification": 2}, refused)
    assert advice is not None
    assert "--modification 3" in advice
    assert (
        command_exchange_advice({"op": "event"}, {**refused, "reason_code": "unknown_circuit"})
        is None
    )
    assert command_exchange_advice({"op": "restore"}, refused) is None


def test_an_error_ends_with_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    def unanswered() -> int:
        error = OpsError("no answer")
        error.exit_code = 4
        raise error

    assert exit_code_of(unanswered) == 4
    assert "no answer" in capsys.readouterr().err


@each_case(
    ("answer", "code"),
    [
        ({"status": "accepted", "ok": True}, 0),
        ({"status": "success", "ok": True}, 0),
        ({"status": "rejected", "ok": False}, 1),
        ({"status": "failed", "ok": False}, 1),
        ({"status": "opted_out", "ok": True}, 1),  # nothing is shed
        ({"status": "accepted"}, 0),  # a peer's ack has no ok
        ({"op": "ping", "status": "success", "correlationId": "a"}, 0),
        ({"status": "accepted", "ok": None}, 0),
        ({"status": "rejected"}, 1),
        ({"status": "opted_out"}, 1),
        ({"status": "success", "ok": False}, 1),
        ({"status": "success", "ok": "no"}, 1),
        ({"status": ["success"]}, 1),
        ({"status": "whatever"}, 1),
        ({}, 1),
    ],
)
def test_a_script_is_told_by_the_exit_code_whether_something_happens(
    answer: dict[str, object], code: int
) -> None:
    assert ack_exit_code(answer) == code
    assert {status.value for status in AckStatus if status.ok} == {ACK_OPTED_OUT, *ACKS_DONE}


@each_case(
    "arguments",
    [
        ["send-event", "--shed-kw", "5", "--event-id", ""],
        ["send-event", "--shed-kw", "5", "--event-id", " "],
        ["send-event", "--shed-kw", "5", "--modification", "1"],
        ["send-event", "--shed-kw", "5", "--ven-id", ""],
        ["restore", "--ven-id", ""],
        ["ping", "--ven-id", ""],
    ],
)
def test_a_variable_that_holds_nothing_means_nothing(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.app, arguments)
    assert isinstance(result.exception, OpsError), result.output
    assert "empty" in str(result.exception) or "--modification 1" in str(result.exception)


def test_an_empty_volttron_home_is_not_the_one_of_start() -> None:
    for arguments in (["--volttron-home", "", "ping"], ["send-event", "--volttron-home="]):
        with pytest.raises(OpsError, match="--volttron-home is empty"):
            quick_command_arguments(arguments, {})
    # A variable that is set to nothing is one that is not set.
    assert quick_command_arguments(["ping"], {"VOLTTRON_HOME": ""}) == ["ping"]


def test_how_long_to_wait_has_an_end() -> None:
    result = CliRunner().invoke(cli.app, ["send-event", "--shed-kw", "5", "--timeout", "inf"])
    assert (result.exit_code, "Traceback" in result.output) == (2, False)


def ven_control_with_home(home: Path, asked: str) -> subprocess.CompletedProcess[str]:
    """The operations command as a shell calls it, in a home that need not be there."""
    return subprocess.run(
        ["bash", REPO / "scripts" / "ven_control.sh", *asked.split()],
        env={**os.environ, "VENAGENT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("asked", ["", "--help", "start --help", "restart -h", "doctor --help"])
def test_a_question_before_the_first_start_installs_nothing(tmp_path: Path, asked: str) -> None:
    home = tmp_path / "home"
    done = ven_control_with_home(home, asked)
    assert done.returncode == 0
    assert "Nothing is installed yet; `start` does it" in done.stdout
    assert not home.exists()


@pytest.mark.parametrize("asked", ["status", "send-event --shed-kw 3", "stop", "doctor"])
def test_a_home_that_is_named_and_not_there_is_refused_and_not_made(
    tmp_path: Path, asked: str
) -> None:
    home = tmp_path / "home"
    done = ven_control_with_home(home, asked)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"VENAGENT_HOME: there is no folder {home}" in done.stderr
    assert not home.exists()
