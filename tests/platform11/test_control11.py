"""`ven_control.sh start --volttron 11`: a site of its own on a real 11, from start to stop."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.sweep import sweep
from tests.platform11.site11 import ROOT, VENV
from tests.support.ports import free_port

PORTS = ("VEN_BROKER_PORT", "VEN_PANEL_PORT", "VEN_PANEL_CONTROL_PORT", "VEN_VIP_PORT", "WEB_PORT")


class Control:
    """`ven_control.sh` of a state folder of its own, whose environments are there already."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        (home / "tools").symlink_to(sys.prefix)
        (home / "platform11").symlink_to(VENV)
        dropped = ("PYTHONPATH", "VOLTTRON_HOME", "VIRTUAL_ENV", "COLUMNS")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in dropped and not name.startswith(("VENAGENT_", "POETRY_"))
        } | {name: str(free_port()) for name in PORTS}
        self.environment["VENAGENT_HOME"] = str(home)
        script = ". scripts/environment.sh; ensure_home"
        subprocess.run(["bash", "-euc", script], cwd=ROOT, env=self.environment, check=True)

    def run(self, *words: str, code: int = 0) -> str:
        """What it says; AssertionError if it ends with another code."""
        done = subprocess.run(
            [str(ROOT / "scripts/ven_control.sh"), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control(Path(os.environ["TMPDIR"]) / "c")  # short: VOLTTRON makes socket names below it
    try:
        yield made
        made.run("stop")
    finally:
        left = sweep(made.home)
        # the environment is the other tests' too
        command = [str(VENV / "bin/pip"), "uninstall", "-y", "venagent"]
        subprocess.run(command, check=False, capture_output=True)
    assert not left, f"stop left these running: {left}"


def test_every_command_works_on_11_from_start_to_stop(control: Control) -> None:
    said = control.run("start", "--volttron", "11", "--steady")
    assert "VOLTTRON 11: started" in said
    assert "all agents are GOOD" in said
    assert "actuator" not in said
    status = json.loads(control.run("status", "--json"))
    assert (status["state"], status["platform"]["generation"]) == ("running", 11)
    assert set(status["agents"]) == {"platform.driver", "ven.agent"}
    assert "nothing is wrong" in control.run("doctor")
    accepted = control.run("send-event", "--shed-kw", "5", "--duration", "600")
    assert re.search(r"accepted[\s\S]*Water Heater", accepted)
    control.run("restore")
    assert re.search(r"evt-\S+ +completed", control.run("events"))
    assert "devices/site/building/panel" in control.run("vctl", "config", "list", "platform.driver")
    assert "--volttron changed" in control.run("start", "--volttron", "10", code=1)
    assert "all of it runs already" in control.run("start", "--steady")
    # a new version of the agent, as `git pull` brings it: its data and its entry stay
    control.run("vctl", "config", "store", "ven.agent", "config", str(ROOT / "config"))
    control.run("stop")
    (control.home / "run/venagent-11.installed").write_text("an older version\n")
    said = control.run("start")
    assert "VOLTTRON 11: started" in said, "it stays on the generation of the last start"
    assert "new version installed" in said
    assert re.search(r"evt-\S+ +completed", control.run("events"))
    assert "config store" in control.run("doctor")
