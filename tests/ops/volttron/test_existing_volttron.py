"""Commands for a VOLTTRON that nobody's `start` made: VOLTTRON_HOME, or --volttron-home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli.quick_commands import quick_command_arguments
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron.meant_site import meant_site_settings
from ops.volttron.vctl import run_vctl
from ops.volttron.volttron_platform import volttron_platform_pid
from tests.support.each_case import each_case

CONFIG = {"ven_id": "theirs", "panel": {"device": "a/b", "power_point": "p"}, "circuits": []}
VCTL = """#!/bin/sh
case "$*" in
  "config list ven.agent") echo config ;;
  "config get ven.agent config") cat "$VOLTTRON_HOME/stored.json" ;;
  *) echo "$VOLTTRON_HOME $PIP_CONSTRAINT" ;;
esac
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A VOLTTRON that runs: its home, and a program with a vctl beside it."""
    monkeypatch.setenv("VENAGENT_HOME", str(tmp_path / "ours"))
    (tmp_path / "ours/run").mkdir(parents=True)
    home, programs = tmp_path / "volttron", tmp_path / "env/bin"
    home.mkdir()
    programs.mkdir(parents=True)
    (home / "keystore").write_text("{}")
    (programs / "vctl").write_text(VCTL)
    (programs / "vctl").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    script = "import time; print(flush=True); time.sleep(600)"
    with subprocess.Popen(
        [programs / "python", "-c", script],
        env={**os.environ, "IOT_ENDPOINT": "their.example", "SECRET": "x"},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (home / "VOLTTRON_PID").write_text(f"{process.pid}")
        yield home
        process.kill()


def test_its_programs_and_its_home_are_used(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    paths = Paths.from_environment()
    assert (paths.existing, paths.volttron_home) == (theirs, theirs)
    assert paths.platform_bin == theirs.parent / "env/bin"
    assert volttron_platform_pid(paths) is not None
    assert run_vctl(paths, "anything").stdout.split() == [str(theirs)]  # no constraints of ours


def test_its_agents_configuration_and_variables_count(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    (theirs / "stored.json").write_text(json.dumps(CONFIG))
    found = meant_site_settings(Paths.from_environment(), {})
    assert found.agent_config == CONFIG
    assert found.variables == {"IOT_ENDPOINT": "their.example"}
    now = meant_site_settings(Paths.from_environment(), {"IOT_ENDPOINT": "now.example"})
    assert now.variables == {"IOT_ENDPOINT": "now.example"}


def test_one_that_is_down_is_known_by_what_its_agent_was_installed_with(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    monkeypatch.setenv("PATH", f"{theirs.parent / 'env/bin'}:{os.environ['PATH']}")
    (theirs / "VOLTTRON_PID").unlink()
    (theirs / "agents/ven.agent").mkdir(parents=True)
    (theirs / "agents/ven.agent/config").write_text(json.dumps(CONFIG))
    paths = Paths.from_environment()
    assert volttron_platform_pid(paths) is None
    assert meant_site_settings(paths, {}).agent_config == CONFIG


AS_10, AS_11, AS_9 = (
    ("agents/ven.agent/config", json.dumps(CONFIG)),
    (
        "agents/ven.agent/config",
        "ven_id: theirs\npanel: {device: a/b, power_point: p}\ncircuits: []\n",
    ),
    ("agents/0c1d/venagent-1.0.0/venagent-1.0.0.dist-info/config", json.dumps(CONFIG)),
)
"""Where each generation keeps what an agent was installed with, and how."""


@pytest.mark.long
@pytest.mark.parametrize(("file", "contents"), [AS_10, AS_11, AS_9], ids=["10", "11", "9"])
def test_each_generation_keeps_it_elsewhere(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, file: str, contents: str
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    (theirs / "agents/0c1d").mkdir(parents=True)
    (theirs / "agents/0c1d/IDENTITY").write_text("ven.agent" if "dist-info" in file else "other")
    (theirs / file).parent.mkdir(parents=True)
    (theirs / file).write_text(contents)
    program = theirs.parent / "env/bin/vctl"
    program.write_text("#!/bin/sh\nexit 0\n")  # nothing is stored
    assert meant_site_settings(Paths.from_environment(), {}).agent_config == CONFIG


def test_without_the_agent_no_other_one_is_meant(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default configuration would reach whoever is at the usual broker: another site's VEN."""
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    (theirs.parent / "env/bin/vctl").write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(OpsError, match=r"ven\.agent is not installed"):
        meant_site_settings(Paths.from_environment(), {})


def test_our_own_home_is_no_existing_one(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Paths.of_our_own()
    monkeypatch.setenv("VOLTTRON_HOME", str(ours.volttron_home))
    assert Paths.from_environment() == ours


def test_what_is_no_volttron_is_refused(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs.parent))
    with pytest.raises(OpsError, match="is not the home of a VOLTTRON"):
        Paths.from_environment()
    assert Paths.of_our_own().existing is None  # start and stop do not mind


@each_case(
    ("given", "rest", "home"),
    [
        (["status", "--volttron-home", "/v", "--json"], ["status", "--json"], "/v"),
        (["--volttron-home=/v", "status"], ["status"], "/v"),
        (["status"], ["status"], None),
        (["vctl", "x", "--volttron-home", "/v"], ["vctl", "x", "--volttron-home", "/v"], None),
        (
            ["restore", "--event-id", "vctl", "--volttron-home", "/v"],
            ["restore", "--event-id", "vctl"],
            "/v",
        ),
    ],
)
def test_the_option_stands_anywhere(given: list[str], rest: list[str], home: str | None) -> None:
    environment: dict[str, str] = {}
    assert quick_command_arguments(given, environment) == rest
    assert environment.get("VOLTTRON_HOME") == home


@pytest.mark.long
def test_what_is_of_our_own_does_not_take_another_volttron() -> None:
    """`stop --volttron-home …` would end our site in place of the one that is named."""
    for command in ("start", "stop", "restart"):
        for given in ([command, "--volttron-home", "/v"], ["--volttron-home=/v", command]):
            with pytest.raises(OpsError, match="takes no --volttron-home"):
                quick_command_arguments(given, {})
        assert quick_command_arguments([command], {"VOLTTRON_HOME": "/v"}) == [command]
    told = subprocess.run(
        [sys.executable, "-m", "ops", "stop", "--volttron-home", "/v"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 1
    assert "is for the VOLTTRON that" in told.stderr
