"""check-config: shipped folders pass; each thing that can be wrong is named with its line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.check_config import config_check as check_config
from ops.check_config.registry_check import NAME
from ops.cli import ven_control as cli
from ops.host.paths import Paths
from ops.volttron.device_model import device_model_entries
from tests.ops.check_config.config_folders import FOLDERS, MODELS, REAL_MODELS, findings
from tests.ops.conftest import REPO
from tests.support.each_case import each_case


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_shipped_folder_has_nothing_to_correct(paths: Paths, folder: str) -> None:
    assert findings(paths, MODELS / folder) == []


def test_all_are_checked_when_none_is_named(paths: Paths) -> None:
    found, checked = check_config.check_config_files(paths, [])
    assert found == []
    assert {Path(folder).name for folder in checked} == set(FOLDERS) >= REAL_MODELS


@each_case("folder", sorted(REAL_MODELS))
def test_each_model_names_its_document_and_how_it_was_checked(folder: str) -> None:
    text = (MODELS / folder / "README.md").read_text()
    assert "**Document**" in text
    assert "**Checked**" in text


def test_the_worked_examples_of_flexibility_have_nothing_to_correct(
    paths: Paths, tmp_path: Path
) -> None:
    blocks = (REPO / "docs/flexibility.md").read_text().split("```json\n")[1:]
    assert len(blocks) == 4
    for number, block in enumerate(blocks):
        example = tmp_path / f"example{number}" / "agent.json"
        example.parent.mkdir()
        example.write_text(block.partition("```")[0])
        assert findings(paths, example) == []


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's own copy of the simulated panel's files."""
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / "simulated_panel", folder)
    driver = (folder / "driver.json").read_text().replace("simulated_panel.csv", "mine.csv")
    (folder / "driver.json").write_text(driver)
    shutil.copy(REPO / "config", folder / "agent.json")
    return folder


def replace(file: Path, old: str, new: str) -> int:
    """Replace the first occurrence; the number of its line."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_a_sites_own_files_pass(paths: Paths, site: Path) -> None:
    assert findings(paths, site) == []
    assert findings(paths, site / "agent.json", site / "driver.json") == []
    assert findings(paths, *sorted(site.glob("*.*"))) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("voltage,voltage,V", "total_kw,total_kw,V", "'total_kw' stands in line 2 already"),
        (">f,FALSE,2,", ">f,no,2,", "Writable is 'no', which the driver reads as FALSE"),
        (">f,FALSE,2,", ">q9,FALSE,2,", "'>q9' is no type of one value"),
        (">f,FALSE,2,", ">B,FALSE,2,", "'>B' is no type of one value in whole registers"),
        (">f,FALSE,2,", "f,FALSE,2,", "has no byte order"),
        (">f,FALSE,2,", ">f,FALSE,0x2,", "'0x2' is not a whole number from 0 to 65535"),
        (">f,FALSE,2,", ">f,FALSE,70000,", "'70000' is not a whole number"),
        (">f,FALSE,2,", ">f,FALSE,1,", "voltage overlaps total_kw of line 2: input register 1"),
        ("voltage,voltage,V,", "voltage,voltage,,", "no units"),
        ("BOOL,TRUE,0,TRUE", "BOOL,TRUE,0,maybe", "Default Value 'maybe' does not fit"),
        (">H,TRUE,0,100", ">H,TRUE,0,99.5", "Default Value '99.5' does not fit"),
        ("voltage,voltage,V", "voltage,,V", "the driver skips this line"),
    ],
)
def test_a_fault_in_the_registry_is_named_with_its_line(
    paths: Paths, site: Path, old: str, new: str, what: str
) -> None:
    registry = site / "registry.csv"
    line = replace(registry, old, new)
    found = findings(paths, registry)
    assert found, "nothing was found"
    assert found[0].startswith(f"{registry}:{line}: ")
    assert what in found[0]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"modbus"', '"modbs"', "driver_type 'modbs' is unknown"),
        ('"127.0.0.1"', '""', "device_address is ''"),
        ("5020", "502000", "port is 502000"),
        ('"slave_id": 1', '"slave_id": "one"', "slave_id is 'one'"),
        ('"interval": 5', '"interval": 0', "interval is 0"),
        ("config://mine.csv", "mine.csv", "registry_config is 'mine.csv'"),
        ("mine.csv", "other.csv", "it names the registry other.csv"),
        ('"timezone"', '"heart_beat_point": "voltage", "timezone"', "no writable point"),
    ],
)
def test_a_fault_in_the_drivers_configuration_is_named_with_its_line(
    paths: Paths, site: Path, old: str, new: str, what: str
) -> None:
    driver = site / "driver.json"
    line = replace(driver, old, new)
    found = findings(paths, site)
    assert found[0].startswith(f"{driver}:{line}: ")
    assert what in found[0]


def as_driver_2(site: Path) -> dict[str, Any]:
    """The entry as driver 2 of VOLTTRON 11 has it."""
    entry = json.loads((site / "driver.json").read_text())
    remote = {**entry.pop("driver_config"), "driver_type": entry.pop("driver_type")}
    interval = entry.pop("interval")
    return {**entry, "remote_config": remote, "polling_interval": interval}


def test_an_entry_of_driver_2_is_read_as_the_agent_reads_it(paths: Paths, site: Path) -> None:
    """Its block has another name: all of it was "missing", and a shared gateway not seen."""
    entry, driver = as_driver_2(site), site / "driver.json"
    driver.write_text(json.dumps(entry, indent=2))
    assert findings(paths, site) == []
    for changed, what in (
        ({"remote_config": {**entry["remote_config"], "port": 0}}, "port is 0"),
        ({"remote_config": {**entry["remote_config"], "driver_type": "x"}}, "driver_type 'x'"),
        ({"remote_config": "x"}, "remote_config is no JSON object"),
        ({"remote_config": {**entry["remote_config"], "heart_beat_point": "a"}}, "heart_beat_poi"),
        ({"polling_interval": 0}, "interval is 0"),
        ({"polling_interval": 60}, "is read every 60 s"),
        ({"active": False}, "does not read this device"),
    ):
        driver.write_text(json.dumps({**entry, **changed}, indent=2))
        assert what in "".join(findings(paths, site)), what
    driver.write_text(json.dumps(entry).replace('"modbus"', '"fakedriver"'))
    assert not any("unknown" in each for each in findings(paths, driver, site / "registry.csv"))


def test_devices_of_both_spellings_share_a_gateway(paths: Paths, site: Path) -> None:
    entry = as_driver_2(site)
    (site / "other.json").write_text(json.dumps(entry, indent=2))
    found = findings(paths, site / "driver.json", site / "other.json", site / "registry.csv")
    assert any("share 127.0.0.1:5020" in each for each in found)


def test_a_registry_may_be_a_json_list_of_rows(paths: Paths, site: Path) -> None:
    with (site / "registry.csv").open(newline="") as file:
        rows = [{**row, "Point Address": int(row["Point Address"])} for row in csv.DictReader(file)]
    registry = site / "mine.json"
    replace(site / "driver.json", "mine.csv", "mine.json")
    registry.write_text(json.dumps(rows, indent=2))
    files = [site / "driver.json", registry, site / "agent.json"]
    assert findings(paths, *files) == []
    rows[1]["Point Address"] = rows[0]["Point Address"]
    registry.write_text(json.dumps(rows, indent=2))
    (found,) = findings(paths, *files)
    assert "overlaps" in found
    lines = registry.read_text().splitlines()
    line = next(n for n, each in enumerate(lines, 1) if f'"{rows[1][NAME]}"' in each)
    assert found.startswith(f"{registry}:{line}: ")
    registry.write_text('[{"a": 1}, 2]')
    assert "no list of rows" in findings(paths, *files)[0]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"ev1_kw"', '"ev_kw"', "power_point 'ev_kw' is no point of"),
        ('"heater1_contactor"', '"heater1_kw"', "switch_point 'heater1_kw' is float, not on/off"),
        ('"dryer1_contactor"', '"range1_contactor"', "'dryer1' and 'range1' are both controlled"),
        ('"total_kw"', '"voltage"', "'voltage' is in 'V', which is no unit of power"),
        ('"total_kw"', '"total_kw", "power_scale": 0.001', 'Set "power_scale": 1'),
        ('"priority": 5', '"priority": 9', "circuits[1].priority"),
        ('"critical": false, "priority": 5', '"citical": false', "circuits[1].citical: is not"),
        ('"percent"', '"amps"', "but limit_unit is 'amps'"),
        ('"limit_unit": "percent"', '"limit_step": 0.5', "needs fractions"),
        ('"ev1_kw"', '"ev1_contactor"', "is no number but bool"),
        ('"priority": 5', '"priority": 5, "poles": 3', "poles is 3, and the panel has one phase"),
        ('"priority": 5', '"priority": 5, "phases": 3', "phases is 3, and the panel has one phase"),
        ('"priority": 5', '"priority": 5, "poles": 1', "poles is not used"),
    ],
)
def test_a_fault_in_the_agents_configuration_is_named_with_its_line(
    paths: Paths, site: Path, old: str, new: str, what: str
) -> None:
    agent = site / "agent.json"
    line = replace(agent, old, new)
    found = findings(paths, site)
    assert any(what in each for each in found), found
    lines = {int(each.split(":")[1]) for each in found}
    # a circuit that takes another's relay is reported where the second one stands
    assert line in lines or ("both" in what and min(lines) > line)


def test_bounds_in_another_unit_than_their_point_counts_in_are_named(
    paths: Paths, tmp_path: Path
) -> None:
    """What a bound, an offset or a setpoint is in, and what the registry says of its point."""
    folder = tmp_path / "bacnet_thermostat"
    shutil.copytree(MODELS / "bacnet_thermostat", folder)
    agent, registry = folder / "agent.json", folder / "registry.csv"
    as_shipped, points = json.loads(agent.read_text()), registry.read_text()

    def found(settings: dict[str, Any], units: dict[str, str]) -> list[str]:
        text = points
        for point, unit in units.items():
            line = next(each for each in text.splitlines() if f",{point}," in each)
            named, name, _, rest = line.split(",", 3)
            text = text.replace(line, ",".join((named, name, unit, rest)))
        registry.write_text(text)
        (circuit,) = as_shipped["circuits"]
        circuits = [{**circuit, **settings}]
        agent.write_text(json.dumps({**as_shipped, "circuits": circuits}, indent=1))
        return findings(paths, folder)

    battery = {
        "control": "power",
        "power_setpoint_point": "cooling_setpoint_c",
        "power_setpoint_step": 1,
        "max_discharge_kw": 5,
        "capacity_kwh": 10,
        "soc_point": "cooling_percent",
        "setpoint_point": None,
    }
    watts = {"cooling_setpoint_c": "W"}
    fahrenheit = {"guard_unit": "fahrenheit", "guard_maximum": 78}
    both = {**fahrenheit, "setpoint_unit": "fahrenheit"}
    right: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
        ({}, {"zone_c": "°C"}),
        ({}, {"zone_c": "C", "cooling_setpoint_c": "deg C"}),
        (fahrenheit, {"zone_c": "degreesFahrenheit"}),
        (both, {"zone_c": "°F", "cooling_setpoint_c": "F"}),
        ({"guard_unit": "ppm", "guard_maximum": 900}, {"zone_c": "partsPerMillion"}),
        ({"guard_unit": "bar", "guard_maximum": 9}, {"zone_c": "bar"}),
        ({"guard_unit": "bar", "guard_maximum": 9}, {"zone_c": "pressure"}),
        ({**battery, "power_setpoint_scale": -0.001}, watts),
        ({**battery, "power_setpoint_unit": "amps"}, {"cooling_setpoint_c": "A"}),
    )
    for settings, units in right:
        assert found(settings, units) == [], (settings, units)
    wrong = (
        (fahrenheit, {}, "guard_point 'zone_c' is in 'degreesCelsius', but guard_unit is 'fahre"),
        ({}, {"zone_c": "°F"}, "but guard_unit is 'celsius'"),
        ({}, {"zone_c": "degreesKelvin"}, "but guard_unit is 'celsius'"),
        ({}, {"zone_c": "bar"}, "but guard_unit is 'celsius'"),
        ({"guard_unit": "ppm", "guard_maximum": 900}, {}, "but guard_unit is 'ppm'"),
        ({"setpoint_unit": "fahrenheit"}, {}, "but setpoint_unit is 'fahrenheit'"),
        ({}, {"cooling_setpoint_c": "K"}, "but setpoint_unit is 'celsius'"),
        (battery, watts, 'Set "power_setpoint_scale": 0.001'),
        (battery, {"cooling_setpoint_c": "A"}, "but power_setpoint_unit is 'kw'"),
        ({**battery, "power_setpoint_scale": 0.001}, {**watts, "cooling_percent": "V"}, "soc_poin"),
        (
            {"control": "limit", "limit_point": "cooling_setpoint_c", "setpoint_point": None},
            {},
            "limit_unit is 'percent'",
        ),
    )
    for settings, units, what in wrong:
        told = found(settings, units)
        assert len(told) == 1, (settings, units, told)
        assert what in told[0], told


def test_a_register_in_a_part_of_a_unit_is_scaled_by_what_it_counts_in(
    paths: Paths, tmp_path: Path
) -> None:
    """Wallboxes are limited in mA, heat pumps in W; their unit may stand in `scale_points`."""
    folder = tmp_path / "bacnet_thermostat"
    shutil.copytree(MODELS / "bacnet_thermostat", folder)
    agent, registry = folder / "agent.json", folder / "registry.csv"
    as_shipped, points = json.loads(agent.read_text()), registry.read_text()
    name, (circuit,) = "cooling_setpoint_c", as_shipped["circuits"]
    device = circuit.get("device") or as_shipped["panel"]["device"]

    def found(unit: str, scale: float | str | None, **settings: Any) -> list[str]:
        quirks = {"device": device, "scale_points": {} if scale is None else {name: scale}}
        changed = {**circuit, "setpoint_point": None, **settings}
        config = {**as_shipped, "circuits": [changed], "quirks": [quirks]}
        agent.write_text(json.dumps(config, indent=1))
        line = next(each for each in points.splitlines() if f",{name}," in each)
        named, _, _, rest = line.split(",", 3)
        registry.write_text(points.replace(line, ",".join((named, name, unit, rest))))
        return findings(paths, folder)

    limit = {"control": "limit", "limit_point": name}
    battery = {
        "control": "power",
        "power_setpoint_point": name,
        "power_setpoint_step": 1,
        "max_discharge_kw": 5,
        "capacity_kwh": 10,
        "soc_point": "cooling_percent",
    }
    right = (
        ("mA", 0.001, {**limit, "limit_unit": "amps"}),
        ("A", None, {**limit, "limit_unit": "amps"}),
        ("A", 0.1, {**limit, "limit_unit": "amps"}),
        ("mA", "zone_c", {**limit, "limit_unit": "amps"}),
        ("W", 0.001, {**limit, "limit_unit": "kw"}),
        ("W", 0.001, battery),
        ("W", 0.1, {**battery, "power_setpoint_scale": 0.001}),
    )
    for unit, scale, settings in right:
        assert found(unit, scale, **settings) == [], (unit, scale, settings)
    wrong = (
        ("mA", None, {**limit, "limit_unit": "amps"}, '{"cooling_setpoint_c": 0.001}'),
        ("mA", 0.01, {**limit, "limit_unit": "amps"}, "scale_points has 0.01 for it"),
        ("W", None, {**limit, "limit_unit": "kw"}, "scale_points lacks it"),
        ("W", None, {**limit, "limit_unit": "amps"}, "but limit_unit is 'amps'"),
        ("W", 0.1, battery, 'Set "power_setpoint_scale": 0.001'),
    )
    for unit, scale, settings, what in wrong:
        told = found(unit, scale, **settings)
        assert len(told) == 1, (unit, scale, told)
        assert what in told[0], told


def test_a_token_or_a_key_is_never_repeated(paths: Paths, site: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----MIGH"
    tls = {"ca_cert": "ca.pem", "client_cert": "thing.pem", "private_key": pem}
    secrets = {"web": {"token": "tiny"}, "broker": {"host": "x", "tls": tls}}
    contents = json.loads((site / "agent.json").read_text())
    (site / "agent.json").write_text(json.dumps({**contents, **secrets}))
    found = findings(paths, site)
    assert len(found) == 2
    assert not any("tiny" in each or "MIGH" in each for each in found)


def test_a_point_that_is_written_must_be_writable(paths: Paths, site: Path) -> None:
    line = replace(site / "registry.csv", "on/off,BOOL,TRUE,1,TRUE", "on/off,BOOL,FALSE,1,")
    found = findings(paths, site)
    assert len(found) == 1
    assert "'heater1_contactor' is written in an event" in found[0]
    assert f"in line {line} of" in found[0]


@pytest.mark.parametrize("restore", ["default", "relinquish"])
def test_a_point_without_a_default_value_is_not_reverted_to_one(
    paths: Paths, site: Path, restore: str
) -> None:
    agent, registry = site / "agent.json", site / "registry.csv"
    contents = json.loads(agent.read_text())
    heater = next(each for each in contents["circuits"] if each["id"] == "heater1")
    heater["restore"] = restore
    agent.write_text(json.dumps(contents, indent=1))
    assert findings(paths, site) == []
    line = replace(registry, "on/off,BOOL,TRUE,1,TRUE", "on/off,BOOL,TRUE,1,")
    (found,) = findings(paths, site)
    assert f"restore '{restore}' reverts 'heater1_contactor' to its Default Value" in found
    assert f"in line {line} of" in found


def test_a_registry_that_cannot_be_found_is_asked_for(paths: Paths, site: Path) -> None:
    (site / "registry.csv").rename(site / "points.csv")
    assert findings(paths, site / "driver.json") == [
        f"{site / 'driver.json'}:8: the registry mine.csv is not among the files. "
        "Give that file too, or put it beside this one"
    ]


def test_what_is_not_json_or_not_there_is_said_with_its_line(paths: Paths, site: Path) -> None:
    line = replace(site / "agent.json", '"circuits": [', '"circuits": [,')
    assert f"agent.json:{line}: not JSON" in findings(paths, site)[0]
    assert "there is no such file" in findings(paths, site / "nowhere.json")[0]


def test_bacnet_faults_are_found(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / "bacnet_panel", folder)
    replace(folder / "driver.json", "bacnet_panel.csv", "mine.csv")
    replace(folder / "driver.json", "260001", "9999999")
    line = replace(folder / "registry.csv", "TRUE,0,10", "TRUE,0,3")
    replace(folder / "registry.csv", "TRUE,1,10", "TRUE,1,")
    replace(folder / "registry.csv", "analogInput,presentValue,FALSE,1", "analogInput,,FALSE,1")
    text = "\n".join(findings(paths, folder))
    assert "device_id is 9999999" in text
    assert f"registry.csv:{line}: hvac1_contactor: Write Priority '3'" in text
    assert "heater1_contactor: no Write Priority" in text
    assert "voltage: no Property" in text


def test_a_site_of_two_devices_is_checked_on_the_right_registry(
    paths: Paths, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / "site_meter_and_relays", folder)
    assert findings(paths, folder) == []
    replace(folder / "agent.json", "relay_2", "relay_9")
    assert "'relay_9' is no point of" in findings(paths, folder)[0]
    assert "waveshare_relay_8" in findings(paths, folder)[0]
    replace(folder / "devices.json", "eastron_sdm630", "eastron_sdm360")
    assert "there is no model 'eastron_sdm360'" in findings(paths, folder)[0]


def test_several_devices_without_a_list_are_not_guessed_at(paths: Paths) -> None:
    found = findings(
        paths,
        MODELS / "site_meter_and_relays/agent.json",
        *(MODELS / name / file
          for name in ("eastron_sdm630", "waveshare_relay_8")
          for file in ("driver.json", "registry.csv")),
    )  # fmt: skip
    assert len(found) == 1
    assert "there are several devices, so its points were not checked" in found[0]


def test_the_command_exits_with_1_and_prints_json(
    paths: Paths, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paths, "from_environment", lambda: paths)
    run = CliRunner().invoke
    good = run(cli.app, ["check-config", str(site), "--json"])
    assert (good.exit_code, json.loads(good.output)["findings"]) == (0, [])
    line = replace(site / "registry.csv", ">f,FALSE,2,", "f,FALSE,2,")
    bad = run(cli.app, ["check-config", str(site), "--json"])
    assert bad.exit_code == 1
    (finding,) = json.loads(bad.output)["findings"]
    assert finding["file"] == str(site / "registry.csv")
    assert finding["line"] == line
    assert finding["remedy"].startswith("Write >f")
    shown = run(cli.app, ["check-config", str(site)])
    assert shown.exit_code == 1
    assert "1 to correct" in shown.output


def test_all_devices_of_a_site_are_stored_with_their_own_addresses() -> None:
    folder = MODELS / "site_meter_and_relays"
    entries = {e.name: e for e in device_model_entries(folder, "ignored")}
    assert set(entries) == {
        "eastron_sdm630.csv",
        "devices/site/building/meter",
        "waveshare_relay_8.csv",
        "devices/site/building/relays",
    }
    relays = json.loads(entries["devices/site/building/relays"].contents)
    assert relays["driver_config"] == {
        "device_address": "192.168.1.200",
        "port": 4196,
        "slave_id": 1,
    }


def test_a_devices_file_with_a_slip_is_named(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    folder.mkdir()
    for text, said in (
        (
            '{"a/b": {"model": "eastron_sdm630", "driver_config": [1]}}',
            "driver_config is no object",
        ),
        ('{"a/b": {"model": "eastron_sdm630", "driver_confg": {}}}', "'driver_confg'"),
        ('{"/a/b": {"model": "eastron_sdm630"}}', "is no device path"),
        ('{"devices/a/b": {"model": "eastron_sdm630"}}', "is no device path"),
        ('{"a/b": {"model": 3}}', "no model 3"),
    ):
        (folder / "devices.json").write_text(text)
        assert [each for each in findings(paths, folder) if said in each], text
