"""Which VOLTTRON is meant: the one of `start`, 10 or 11, or somebody else's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ops.doctor.doctor_check import DoctorCheckSubject
from ops.host.child_environment import platform_child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings, load_site_settings, save_site_settings
from ops.host.volttron_generation import (
    existing_volttron_generation,
    remembered_volttron_generation,
)
from ops.services import site_stack
from ops.volttron.agent_health import needed_agents
from tests.support.each_case import each_case


@each_case(
    "contents, generation",
    [
        (None, 10),
        ("", 10),
        ("[]", 10),
        ('{"volttron": 10}', 10),
        ('{"volttron": 11}', 11),
        ('{"volttron": 12}', 10),
        ('{"volttron": "11"}', 10),
    ],
)
def test_the_generation_of_the_last_start_is_remembered(
    tmp_path: Path, contents: str | None, generation: int
) -> None:
    file = tmp_path / "settings.json"
    if contents is not None:
        file.write_text(contents)
    assert remembered_volttron_generation(file) == generation


@each_case(
    "package, generation",
    [
        ("volttron_core-2.0.0rc38.dist-info", 11),
        ("volttron-11.0.0rc3.dist-info", 11),
        ("volttron-10.0.5rc4.dist-info", 10),
        ("volttron-9.0.4.dist-info", 9),
        ("volttron.egg-link", 9),
        ("__editable__.volttron-9.0.4.pth", 10),
        ("volttron_listener-2.0.0rc3.dist-info", 10),
    ],
)
def test_an_existing_one_is_known_by_its_packages(
    tmp_path: Path, package: str, generation: int
) -> None:
    folder = tmp_path / package
    (folder / "lib/python3.11/site-packages" / package).mkdir(parents=True)
    assert existing_volttron_generation(folder / "bin") == generation


def test_each_generation_has_its_environment_its_home_and_its_agents(paths: Paths) -> None:
    eleven = replace(paths, generation=11)
    assert (paths.platform_bin, eleven.platform_bin) == (
        paths.home / "platform/bin",
        paths.home / "platform11/bin",
    )
    assert (paths.volttron_home, eleven.volttron_home) == (
        paths.home / "volttron",
        paths.home / "volttron-11",
    )
    assert needed_agents(paths) == ("platform.driver", "platform.actuator", "ven.agent")
    assert needed_agents(eleven) == ("platform.driver", "ven.agent")
    assert "PIP_CONSTRAINT" in platform_child_environment(paths, {})
    variables = platform_child_environment(eleven, {})
    assert "PIP_CONSTRAINT" not in variables
    assert variables["VIRTUAL_ENV"] == str(paths.home / "platform11")


def test_what_the_doctor_asks_on_11_is_the_driver(paths: Paths, settings: SiteSettings) -> None:
    assert DoctorCheckSubject(paths, settings).agent.actuator_identity == "platform.actuator"
    on_11 = DoctorCheckSubject(replace(paths, generation=11), settings)
    assert on_11.agent.actuator_identity == "platform.driver"


def test_it_stays_until_another_one_is_named(paths: Paths) -> None:
    def wanted(generation: int, volttron: int | None) -> int:
        return site_stack.site_stack_settings(
            replace(paths, generation=generation),
            None,
            {},
            config=None,
            devices=None,
            steady=None,
            with_panel=None,
            volttron=volttron,
        ).volttron

    assert [wanted(10, None), wanted(11, None), wanted(11, 10), wanted(10, 11)] == [10, 11, 10, 11]


def test_what_runs_does_not_change_its_generation(paths: Paths, settings: SiteSettings) -> None:
    with pytest.raises(OpsError, match="--volttron changed") as refused:
        site_stack.start_site_stack(paths, replace(settings, volttron=11), settings)
    assert "restart" in refused.value.advice[0]


def test_the_configuration_in_force_goes_along(
    paths: Paths, settings: SiteSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    eleven = replace(settings, volttron=11)
    assert site_stack.config_of_other_generation(paths, eleven, None) is None
    save_site_settings(paths, settings)
    assert site_stack.config_of_other_generation(paths, eleven, None) is None
    assert "start --volttron 10" in " ".join(capsys.readouterr().err.split())
    edited = {**settings.agent_config, "report_interval_sec": 3.0}
    save_site_settings(paths, replace(settings, agent_config=edited, in_store=True))
    entry = site_stack.config_of_other_generation(paths, eleven, None)
    assert entry is not None
    assert json.loads(entry.contents) == edited
    assert site_stack.config_of_other_generation(paths, eleven, Path("asked-for.json")) is None
    remembered = load_site_settings(paths)
    assert remembered is not None
    assert remembered.volttron == 10
