"""What the agent's health says while it starts, and where a package is missing that it needs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.platform.site import ROOT
from VenAgent.cloud.link_state import LinkPhase, LinkState
from VenAgent.health import STARTING_SEC, SiteHealth, SiteHealthCondition

WELL: dict[str, Any] = {
    "broker": "127.0.0.1:1883",
    "link": LinkState(LinkPhase.ONLINE, 0.0),
    "credentials": (),
    "event": None,
    "opted_out": None,
    "trouble": None,
    "storage": (None, None, None),
    "outbox_full_mb": None,
    "shadow_trouble": None,
    "page_failure": None,
    "page_moved": None,
    "devices_unread": (),
    "points_stale": {},
    "points_suspect": (),
    "meter_failure": None,
    "points_missing": (),
    "without_lease": (),
}
UNREAD = {"devices_unread": ("site/building/panel",)}


def shown(since_start_sec: float, health: SiteHealth | None = None, **trouble: Any) -> str:
    kept = health or SiteHealth()
    kept.update(SiteHealthCondition(**{**WELL, **trouble}), since_start_sec)
    return " ".join(kept.shown)


def test_a_meter_that_is_not_read_yet_is_no_fault_of_an_agent_that_starts() -> None:
    assert shown(1.0, **UNREAD).startswith("STARTING")
    assert shown(STARTING_SEC + 1, **UNREAD).startswith("BAD the meter has not been read yet")


def test_what_is_there_at_once_is_good_at_once() -> None:
    assert shown(0.0).startswith("GOOD")


def test_a_page_that_made_way_for_another_program_is_no_fault_and_is_said() -> None:
    said = shown(STARTING_SEC + 1, page_moved="the local page is at http://127.0.0.1:8081")
    assert said.startswith("GOOD")
    assert "the local page is at http://127.0.0.1:8081" in said


def test_devices_polled_too_fast_are_said_and_are_a_fault_where_the_meter_is_old() -> None:
    pace = {"polled_too_fast": ("unit1 is polled each 1 s, but one round takes 3.2 s",)}
    said = shown(STARTING_SEC + 1, **pace)
    assert said.startswith("GOOD")
    assert "; unit1 is polled each 1 s" in said
    said = shown(STARTING_SEC + 1, **pace, points_stale={"unit1": 40.0})
    assert said.startswith("BAD the meter was last read 40 s ago: unit1; unit1 is polled each 1 s")


@pytest.mark.parametrize(
    "trouble",
    [{"storage": ("the disk is full", None, None)}, {"points_missing": ("panel/nothing",)}],
    ids=str,
)
def test_what_patience_does_not_mend_is_bad_at_once(trouble: dict[str, Any]) -> None:
    assert shown(1.0, **UNREAD, **trouble).startswith("BAD")


def test_a_configuration_that_was_refused_is_bad_at_once() -> None:
    refused = SiteHealth(config_error="panel: missing")
    assert shown(1.0, refused, **UNREAD).startswith("BAD configuration: panel: missing")


WITHOUT = """
import inspect, sys, types
sys.modules[{package!r}] = {standing_in}
import VenAgent.agent as module
def run(kind, **_):
    inspect.signature(kind).bind(config_path="", identity="", version="")  # as 9's vip_main does
    assert "config_path" in inspect.signature(kind.__init__).parameters
    print(kind.__name__)
module.run_volttron_compat_agent = run
module.main()
print(module.AgentWithoutPackage.sentence.fget(None))
"""


ABSENT, OTHER_RELEASE = "None", "types.ModuleType({package!r})"
"""What stands in a package's place: nothing, or one that has none of the names we take from it."""


@pytest.mark.parametrize(
    ("package", "standing_in", "agent"),
    [
        ("paho", ABSENT, "AgentWithoutPackage"),
        ("paho.mqtt.enums", ABSENT, "AgentWithoutPackage"),  # paho 1
        ("pydantic", ABSENT, "AgentWithoutPackage"),
        ("pydantic", OTHER_RELEASE, "AgentWithoutPackage"),
        ("pydantic_core", ABSENT, "AgentWithoutPackage"),
        ("boto3", ABSENT, "VenAgent"),  # only a secret needs it
        ("cryptography", ABSENT, "VenAgent"),  # only TLS needs it
    ],
)
def test_without_a_package_the_agent_stays_up_and_names_it(
    package: str, standing_in: str, agent: str
) -> None:
    standing_in = standing_in.format(package=package)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package=package, standing_in=standing_in)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    kind, sentence = done.stdout.splitlines()
    assert kind == agent
    if agent == "AgentWithoutPackage":
        named = package.partition(".")[0]
        assert sentence.startswith(f"the Python package {named} is missing or too old")
        assert "pip install -r requirements.txt" in sentence


def test_a_module_of_our_own_that_is_missing_is_a_fault_and_no_missing_package() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package="VenAgent.ven", standing_in="None")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "VenAgent.ven" in done.stderr
