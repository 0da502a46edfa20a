"""What VenAgent is installed from, and how an agent comes into VOLTTRON 11."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron.agent_install import DRIVER_AGENT, SOURCES, install_packaged_agent
from tests.config.builders import ROOT


def test_all_that_the_wheel_is_built_from_is_in_the_copy() -> None:
    build = (ROOT / "pyproject.toml").read_text().partition("\n[tool.ruff]")[0]
    named = set(re.findall(r'"([\w.]+\.(?:txt|md|toml))"', build))
    assert named == {"requirements.txt", "README.md"}
    assert {"setup.py", "pyproject.toml", "VenAgent", *named} <= set(SOURCES)


VCTL_OF_11 = """#!/bin/bash
# Gives up while the platform goes on, as vctl of 11 does after 20 s.
echo "$*" >>"$VOLTTRON_HOME/asked"
agent=$VOLTTRON_HOME/agents/platform.driver
case "$*" in
  *install*)
    [ "$(cat "$VOLTTRON_HOME/index")" = empty ] && exit 1
    mkdir -p "$agent" && echo the-uuid >"$agent/UUID"
    exit 75 ;;
  start*) touch "$agent/started" ;;
  *status)
    state=""
    [ -e "$agent/started" ] && state="running [1]"
    printf '{"platform.driver": {"status": "%s", "health": "GOOD"}}' "$state" ;;
esac
"""


@pytest.fixture
def eleven(paths: Paths) -> Paths:
    made = replace(paths, generation=11)
    made.platform_bin.mkdir(parents=True)
    made.volttron_home.mkdir()
    (made.platform_bin / "vctl").write_text(VCTL_OF_11)
    (made.platform_bin / "vctl").chmod(0o755)
    (made.volttron_home / "index").write_text("")
    return made


def test_on_11_an_installation_outlives_vctl(eleven: Paths) -> None:
    install_packaged_agent(eleven, DRIVER_AGENT)
    asked = (eleven.volttron_home / "asked").read_text()
    assert asked.count(" install ") == 1, "a second time it would be there already"
    assert "install volttron-platform-driver==2.0.0rc9 --pre-release" in asked
    assert "start the-uuid" in asked
    driver = eleven.volttron_home / "agents/platform.driver"
    assert Path(driver / "AUTOSTART").read_text() == "60"


def test_on_11_what_could_not_be_installed_is_said(eleven: Paths) -> None:
    (eleven.volttron_home / "index").write_text("empty")
    with pytest.raises(OpsError, match=r"platform\.driver was not installed"):
        install_packaged_agent(eleven, DRIVER_AGENT)
