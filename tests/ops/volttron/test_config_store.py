"""Driver configurations: what is stored, and that it is stored once."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron import config_store, vctl
from ops.volttron.config_store import ConfigStoreEntry
from ops.volttron.device_model import device_model_entries, device_model_folder
from tests.support.each_case import each_case


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A config store that remembers what vctl was told to put in."""
    contents: dict[str, str] = {}

    def must(paths: Paths, *arguments: str | Path, timeout_sec: float = 60) -> str:
        _, action, identity, name, file, _ = arguments
        assert (action, identity) == ("store", "platform.driver")
        contents[str(name)] = Path(file).read_text()
        return ""

    monkeypatch.setattr(vctl, "vctl_output", must)
    monkeypatch.setattr(config_store, "config_store_names", lambda paths, identity: list(contents))
    return contents


def entries(paths: Paths, port: int | None = None) -> list[ConfigStoreEntry]:
    folder = device_model_folder(paths, "simulated_panel")
    return device_model_entries(folder, "site/building/panel", port)


def test_the_registry_comes_before_the_device_that_names_it(paths: Paths) -> None:
    registry, device = entries(paths)
    assert (registry.name, registry.kind) == ("simulated_panel.csv", "csv")
    assert (device.name, device.kind) == ("devices/site/building/panel", "json")
    assert json.loads(device.contents)["registry_config"] == f"config://{registry.name}"


def test_the_arguments_of_vctl(paths: Paths) -> None:
    registry, device = entries(paths)
    assert registry.command(Path("/f")) == [
        *("config", "store", "platform.driver", "simulated_panel.csv", Path("/f"), "--csv")
    ]
    assert device.command(Path("/f"))[-1] == "--json"


def test_another_port_goes_into_the_device(paths: Paths) -> None:
    assert json.loads(entries(paths, 5999)[1].contents)["driver_config"]["port"] == 5999


def test_every_device_model_of_the_repository_can_be_loaded(paths: Paths) -> None:
    for driver in (paths.repo / "MeterDriverConfigs").glob("*/driver.json"):
        assert len(device_model_entries(driver.parent, "a/b")) == 2


def test_an_unknown_device_model_is_answered_with_the_known_ones(paths: Paths) -> None:
    with pytest.raises(OpsError, match="no device model 'nope'") as error:
        device_model_folder(paths, "nope")
    assert "simulated_panel" in " ".join(error.value.advice)


def test_a_registry_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "driver.json").write_text('{"registry_config": "config://other.csv"}')
    with pytest.raises(OpsError, match="names the registry"):
        device_model_entries(tmp_path, "a/b")


def made_models(folder: Path) -> Path:
    """A site's folder with a devices.json to be, and models beside it and in it."""
    for place, registry in (("m", "a"), ("s/m", "b"), ("broken", "a")):
        model = folder / place
        model.mkdir(parents=True)
        driver = {"registry_config": f"config://{model.name}.csv", "driver_config": {"port": 1}}
        if place == "broken":
            del driver["driver_config"]
        (model / "driver.json").write_text(json.dumps(driver))
        (model / "registry.csv").write_text(registry)
    site = folder / "site"
    site.mkdir()
    return site


def test_the_devices_of_a_site_have_each_its_own_and_share_a_registry(tmp_path: Path) -> None:
    site = made_models(tmp_path)
    ports = {"a/b": 5, "a/c": 6}
    (site / "devices.json").write_text(
        json.dumps({d: {"model": "m", "driver_config": {"port": p}} for d, p in ports.items()})
    )
    made = {entry.name: entry.contents for entry in device_model_entries(site, "ignored")}
    assert set(made) == {"m.csv", "devices/a/b", "devices/a/c"}
    for device, port in ports.items():
        assert json.loads(made[f"devices/{device}"])["driver_config"]["port"] == port
    (site / "devices.json").write_text('{"a/b": {"model": "simulated_panel"}}')
    assert len(device_model_entries(site, "ignored")) == 2, "a model of the repository"


@each_case(
    ("text", "said"),
    [
        ("[]", "JSON object"),
        ("{}", "names no device"),
        ('{"a/b": null}', "has no model"),
        ('{"a/b": {"model": ""}}', "no model ''"),
        ('{"a/b": {"model": "none"}}', "no model 'none'"),
        ('{"a/b": {"model": "m", "driver_config": [1]}}', "is no object"),
        ('{"a/b": {"model": "m", "driver_config": null}}', "is no object"),
        ('{"a/b": {"model": "m", "driver_confg": {}}}', "driver_confg"),
        ('{"a/b": {"model": "broken"}}', "has no driver_config"),
        ('{"": {"model": "m"}}', "is no device path"),
        ('{"/a/b": {"model": "m"}}', "is no device path"),
        ('{"a/b/": {"model": "m"}}', "is no device path"),
        ('{"devices/a/b": {"model": "m"}}', "is no device path"),
        ('{"a/b": {"model": "m"}, "a/b": {"model": "m"}}', "twice"),
        ('{"a/b": {"model": "m"}, "a/c": {"model": "s/m"}}', "and they differ"),
    ],
)
def test_a_devices_file_with_a_slip_is_refused_by_name(text: str, said: str) -> None:
    with TemporaryDirectory() as folder:
        site = made_models(Path(folder))
        (site / "devices.json").write_text(text)
        with pytest.raises(OpsError, match=said):
            device_model_entries(site, "ignored")


def test_each_is_stored_once(paths: Paths, stored: dict[str, str]) -> None:
    assert config_store.load_config_store(paths, entries(paths)) == [
        "simulated_panel.csv",
        "devices/site/building/panel",
    ]
    stored["devices/site/building/panel"] = "edited by a person"
    assert config_store.load_config_store(paths, entries(paths)) == []
    assert stored["devices/site/building/panel"] == "edited by a person"


def test_what_changed_is_stored_again(paths: Paths, stored: dict[str, str]) -> None:
    config_store.load_config_store(paths, entries(paths))
    assert config_store.load_config_store(paths, entries(paths, 5999)) == [
        "devices/site/building/panel"
    ]


def test_what_is_gone_from_the_store_is_stored_again(paths: Paths, stored: dict[str, str]) -> None:
    config_store.load_config_store(paths, entries(paths))
    stored.clear()
    assert len(config_store.load_config_store(paths, entries(paths))) == 2


def test_anew_means_all(paths: Paths, stored: dict[str, str]) -> None:
    config_store.load_config_store(paths, entries(paths))
    assert len(config_store.load_config_store(paths, entries(paths), anew=True)) == 2


def test_a_store_that_gives_no_answer_is_asked_once_more(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ConfigStoreEntry("platform.driver", "a.csv", "a,b\n", "csv")
    asked: list[tuple[object, ...]] = []
    silences = 1

    def must(_: Paths, *command: object, timeout_sec: float) -> str:
        asked.append(command[:4])
        if len(asked) <= silences:
            raise vctl.VctlTimeout("the platform said nothing")
        return ""

    monkeypatch.setattr(vctl, "vctl_output", must)
    config_store.store_config_entry(paths, entry)
    assert asked == [("config", "store", "platform.driver", "a.csv")] * 2
    asked.clear()
    silences = 2
    with pytest.raises(vctl.VctlTimeout):
        config_store.store_config_entry(paths, entry)
