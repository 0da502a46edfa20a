"""Where commands find the VEN: what `start` remembered, the environment, the options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ops.host import child_environment as environment
from ops.host import site_settings as settings
from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.host.site_variables import site_variables
from ops.services import local_broker as broker
from ops.services import simulated_panel_service as panel
from ops.services.site_stack import site_stack_settings


def test_what_was_saved_is_loaded(paths: Paths, settings: SiteSettings) -> None:
    from ops.host.site_settings import load_site_settings, save_site_settings

    assert load_site_settings(paths) is None
    changed = replace(settings, steady=True, variables={"IOT_THING_NAME": "a"})
    save_site_settings(paths, changed)
    assert load_site_settings(paths) == changed


def test_a_damaged_file_is_explained(paths: Paths) -> None:
    paths.settings.write_text("{}")
    with pytest.raises(OpsError, match=r"cannot read .*settings\.json"):
        settings.load_site_settings(paths)


def test_without_a_start_the_default_configuration_counts(paths: Paths) -> None:
    agent = settings.current_site_settings(paths, {}).agent()
    assert (agent.ven_id, agent.broker.host, agent.broker.port) == (
        "volttron_thing",
        "127.0.0.1",
        1883,
    )


def test_the_environment_wins_over_what_was_remembered(
    paths: Paths, settings: SiteSettings
) -> None:
    from ops.host.site_settings import current_site_settings, save_site_settings

    save_site_settings(paths, replace(settings, variables={"IOT_THING_NAME": "remembered"}))
    assert current_site_settings(paths, {}).agent().ven_id == "remembered"
    assert current_site_settings(paths, {"IOT_THING_NAME": "now"}).agent().ven_id == "now"
    assert current_site_settings(paths, {}).agent({"IOT_THING_NAME": "option"}).ven_id == "option"


def test_the_local_broker_moves_with_its_variable(settings: SiteSettings) -> None:
    moved = replace(settings, variables={"VEN_BROKER_PORT": "1999"})
    assert moved.agent().broker.port == 1999
    assert moved.agent_variables()["MQTT_PORT"] == "1999", "the agent is told too"
    assert broker.is_local_broker(moved)


def test_a_variable_that_is_wrong_is_named_beside_the_field(settings: SiteSettings) -> None:
    wrong = replace(settings, variables={"MQTT_PORT": "abc"})
    with pytest.raises(OpsError, match=r"broker\.port.*'abc'") as refused:
        wrong.agent()
    assert "MQTT_PORT" in refused.value.advice[-1]


def test_with_an_endpoint_no_broker_is_ours(settings: SiteSettings) -> None:
    cloud = replace(settings, variables={"IOT_ENDPOINT": "x.example", "VEN_BROKER_PORT": "1999"})
    assert cloud.agent().broker.port == 8883
    assert not broker.is_local_broker(cloud)


def test_a_broker_elsewhere_in_the_configuration_is_not_ours(settings: SiteSettings) -> None:
    config = {**settings.agent_config, "broker": {"host": "mqtt.example"}}
    assert not broker.is_local_broker(replace(settings, agent_config=config))


@pytest.mark.parametrize("text", ["0", "65536", "x", "-1"])
def test_a_port_that_is_none_is_refused(settings: SiteSettings, text: str) -> None:
    wrong = replace(settings, variables={"VEN_VIP_PORT": text})
    with pytest.raises(OpsError, match=f"VEN_VIP_PORT={text} is not a port"):
        wrong.port("VEN_VIP_PORT", 22916)


def test_a_bad_configuration_names_its_field() -> None:
    with pytest.raises(OpsError, match="ven_id: is missing"):
        SiteSettings(agent_config={"panel": {"device": "a"}, "circuits": []}).agent()


def test_only_the_simulated_panel_needs_the_simulator(settings: SiteSettings) -> None:
    assert panel.simulated_panel_service_is_wanted(settings)
    assert not panel.simulated_panel_service_is_wanted(replace(settings, devices="fake_panel"))
    assert not panel.simulated_panel_service_is_wanted(replace(settings, panel=False))


def test_options_not_given_are_those_of_before(paths: Paths, settings: SiteSettings) -> None:
    before = replace(settings, steady=True, variables={"IOT_THING_NAME": "a"})
    none = {"config": None, "devices": None, "steady": None, "with_panel": None}
    again = site_stack_settings(paths, before, {"WEB_PORT": "8080"}, **none)
    assert again.steady
    assert again.variables == {"IOT_THING_NAME": "a", "WEB_PORT": "8080"}
    fresh = site_stack_settings(paths, None, {}, **none)
    assert not fresh.steady
    assert fresh.variables == {}


def test_a_device_model_brings_its_own_configuration(paths: Paths) -> None:
    none = {"config": None, "steady": None, "with_panel": None}
    fake = site_stack_settings(paths, None, {}, devices="fake_panel", **none)
    own = read_json_file(paths.repo / "MeterDriverConfigs/fake_panel/agent.json")
    assert fake.agent_config == own


def test_an_empty_variable_is_not_set() -> None:
    assert site_variables({"IOT_ENDPOINT": " ", "WEB_PORT": "1", "X": "y"}) == {"WEB_PORT": "1"}


def test_children_get_only_what_is_meant_for_them(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_FIND_LINKS", "PYTHONPATH", "SECRET"):
        monkeypatch.setenv(name, "no")
    for name in ("PIP_INDEX_URL", "HTTPS_PROXY", "AWS_REGION", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "yes")
    child = environment.platform_child_environment(paths, {"WEB_PORT": "8080"})
    assert "no" not in child.values()
    passed = {name for name, value in child.items() if value == "yes"}
    assert passed >= {"PIP_INDEX_URL", "HTTPS_PROXY", "AWS_REGION", "SSL_CERT_FILE"}
    assert child["PIP_CONSTRAINT"] == paths.constraints.as_uri()
    assert child["PATH"].startswith(str(paths.platform_bin))
    assert child["WEB_PORT"] == "8080"


@pytest.mark.parametrize("contents", ["{", "[]"])
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, contents: str) -> None:
    file = tmp_path / "config"
    file.write_text(contents)
    with pytest.raises(OpsError, match=str(file)):
        read_json_file(file)
