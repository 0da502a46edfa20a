"""Commands for a VOLTTRON that nobody's `start` made: VOLTTRON_HOME, or --volttron-home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops.cli.logs_command import logs_command
from ops.cli.quick_commands import quick_command_arguments
from ops.cli.volttron_commands import volttron_load_config_command, volttron_vctl_command
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
  "config store "*) cp "$5" "$VOLTTRON_HOME/$(echo "$3 $4" | tr / _)" ;;
  "--json status") echo "{}" ;;
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
        (["vctl", "x", "--volttron-home", "/v"], ["vctl", "x"], "/v"),
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


# ---- load-config -----------------------------------------------------------------------------


def _site(folder: Path) -> Path:
    """A site of a person's own, as docs/devices.md says: two devices, and the agent's file."""
    site = folder / "mysite"
    site.mkdir()
    devices = {
        "a/meter": {"model": "eastron_sdm630", "driver_config": {"device_address": "10.0.0.1"}},
        "a/relays": {"model": "waveshare_relay_8", "driver_config": {"device_address": "10.0.0.2"}},
    }
    (site / "devices.json").write_text(json.dumps(devices))
    (site / "agent.json").write_text(json.dumps(CONFIG))
    return site


def _without_its_agent(home: Path) -> None:
    """Nor anything that our `start` makes."""
    program = home.parent / "env/bin/vctl"
    program.write_text(VCTL.replace("config list ven.agent", "config list nobody"))
    (home.parent / "ours/run").rmdir()


def test_a_sites_devices_are_loaded_before_and_beside_its_agent(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    _without_its_agent(theirs)
    site = _site(theirs.parent)
    volttron_load_config_command(str(site))
    for device, address in (("meter", "10.0.0.1"), ("relays", "10.0.0.2")):
        stored = json.loads((theirs / f"platform.driver devices_a_{device}").read_text())
        assert stored["driver_config"]["device_address"] == address
    assert (theirs / "platform.driver eastron_sdm630.csv").is_file()
    assert not (theirs / "ven.agent config").exists(), "the agent's own entry is left as it is"
    said = " ".join("".join(capsys.readouterr()).split())
    assert f"vctl config store ven.agent config {site / 'agent.json'}" in said
    # It says for each device where it stands: another place is not taken in silence.
    with pytest.raises(OpsError, match="no --device"):
        volttron_load_config_command(str(site), "a/other")
    assert not (theirs / "platform.driver devices_a_other").exists()


def test_a_model_is_loaded_where_device_says_else_where_the_agents_panel_is(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    circuit = {"id": "c", "name": "C", "control": "none", "power_point": "q", "breaker_amps": 16}
    (theirs / "stored.json").write_text(json.dumps({**CONFIG, "circuits": [circuit]}))
    volttron_load_config_command("eastron_sdm630")
    volttron_load_config_command("eastron_sdm630", "c/d")
    stored = {file.name for file in theirs.glob("platform.driver devices_*")}
    assert stored == {"platform.driver devices_a_b", "platform.driver devices_c_d"}
    _without_its_agent(theirs)
    volttron_load_config_command("eastron_sdm630", "e/f")
    assert (theirs / "platform.driver devices_e_f").exists()
    with pytest.raises(OpsError, match=r"ven\.agent is not installed") as error:
        volttron_load_config_command("eastron_sdm630")
    assert "--device" in " ".join(error.value.advice)


def test_a_model_that_is_none_is_answered_with_all_that_there_are(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    with pytest.raises(OpsError, match=r"driver\.json or devices\.json") as error:
        volttron_load_config_command("nothing")
    known = " ".join(error.value.advice)
    assert "eastron_sdm630" in known
    assert "site_meter_and_relays" in known


def test_vctl_without_any_volttron_says_what_to_do(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VOLTTRON_HOME", raising=False)
    programs = Paths.of_our_own().platform_bin
    programs.mkdir(parents=True)
    (programs / "vctl").symlink_to(theirs.parent / "env/bin/vctl")
    with pytest.raises(OpsError, match="not installed here") as error:
        volttron_vctl_command(SimpleNamespace(args=["status"]))  # type: ignore[arg-type]
    assert "--volttron-home" in " ".join(error.value.advice)


@pytest.mark.parametrize("option", [["-l", "my.log"], ["--log=my.log"], ["--log", "DIR/my.log"]])
def test_its_log_is_the_one_that_it_was_started_with(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    folder = theirs.parent
    script = "import time; print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", script, *(o.replace("DIR", str(folder)) for o in option)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (theirs / "VOLTTRON_PID").write_text(f"{process.pid}")
        monkeypatch.setenv("PATH", f"{folder / 'env/bin'}:{os.environ['PATH']}")
        assert Paths.from_environment().platform_log == folder / "my.log"
        process.kill()


@pytest.mark.parametrize(
    ("of", "said"), [("broker", "is of what `start` runs"), ("platform", "-l ")]
)
def test_logs_that_are_not_there_are_answered_for_this_volttron(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, of: str, said: str
) -> None:
    monkeypatch.setenv("VOLTTRON_HOME", str(theirs))
    with pytest.raises(OpsError) as error:
        logs_command(of, lines=5, follow=False, level="info", raw=False)
    assert said in " ".join([str(error.value), *error.value.advice])
    (theirs / "volttron.log").write_text("2026-01-01 12:00:00,000 (a) b INFO: it runs\n")
    if of == "platform":
        logs_command(of, lines=5, follow=False, level="info", raw=False)
