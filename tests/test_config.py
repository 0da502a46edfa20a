"""The agent's configuration: what is accepted, and what a person is told of what is not."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from VenAgent.config import AgentConfig, ConfigError
from VenAgent.dr.panel import Control, LimitUnit

ROOT = Path(__file__).parents[1]
PANELS = ROOT / "MeterDriverConfigs"
SHIPPED = {"simulated_panel": ROOT / "config", "fake_panel": PANELS / "fake_panel" / "agent.json"}
"""The agent's configuration for each panel."""
MINIMAL: Mapping[str, Any] = {
    "ven_id": "site-1",
    "panel": {"device": "site/panel"},
    "circuits": [
        {"id": "c1", "name": "One", "breaker_amps": 20, "power_point": "p1", "switch_point": "s1"},
        {"id": "c2", "name": "Two", "breaker_amps": 30, "power_point": "p2", "switch_point": "s2"},
    ],
}


def load(contents: Any = MINIMAL, **environment: str) -> AgentConfig:
    return AgentConfig.load(contents, environment)


def with_field(path: str, value: Any, contents: Mapping[str, Any] = MINIMAL) -> dict[str, Any]:
    """A copy of `contents` with the field at `path` ("circuits.1.id") set."""
    changed: Any = copy.deepcopy(dict(contents))
    block = changed
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        block = block[part] if isinstance(part, int) else block.setdefault(part, {})
    block[last] = value
    return dict(changed)


def without_field(path: str) -> dict[str, Any]:
    changed = with_field(path, None)
    block: Any = changed
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        block = block[part]
    del block[last]
    return changed


def explained(contents: Any, **environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(contents, **environment)
    return str(refused.value)


def findings(contents: Any, **environment: str) -> list[str]:
    return explained(contents, **environment).split("; ")


# ---- what is shipped ----------------------------------------------------------------------------


@pytest.fixture(params=SHIPPED)
def panel_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shipped(panel_name: str) -> AgentConfig:
    return load(json.loads(SHIPPED[panel_name].read_text()))


@pytest.fixture
def registry(panel_name: str) -> list[dict[str, str]]:
    with (PANELS / panel_name / "registry.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def points_of(config: AgentConfig) -> Iterator[str]:
    panel = config.panel
    yield from filter(
        None, [panel.power_point, panel.voltage_point, panel.current_point, panel.battery_soc_point]
    )
    for circuit in config.circuits:
        yield circuit.power_point
        yield from filter(None, [circuit.switch_point, circuit.limit_point])


def test_the_shipped_configuration_has_the_eight_circuits(shipped: AgentConfig) -> None:
    circuits = [
        (circuit.id, circuit.breaker_amps, circuit.critical, circuit.control.value)
        for circuit in shipped.circuits
    ]
    assert circuits == [
        ("hvac1", 30, True, "limit"),
        ("heater1", 30, False, "switch"),
        ("ev1", 50, False, "limit"),
        ("dryer1", 30, False, "switch"),
        ("range1", 40, False, "switch"),
        ("lights1", 15, False, "limit"),
        ("outlets1", 20, False, "switch"),
        ("fridge1", 15, True, "switch"),
    ]
    assert (shipped.panel.amperage, shipped.panel.voltage) == (200, 240)


def test_the_registry_has_every_point_that_is_read(
    shipped: AgentConfig, registry: list[dict[str, str]]
) -> None:
    names = [row["Volttron Point Name"] for row in registry]
    assert len(names) == len(set(names))
    assert set(points_of(shipped)) <= set(names)


def test_the_registry_lets_every_point_be_written_that_is_written(
    shipped: AgentConfig, registry: list[dict[str, str]]
) -> None:
    writable = {row["Volttron Point Name"] for row in registry if row["Writable"] == "TRUE"}
    written = {circuit.point.rpartition("/")[2] for circuit in shipped.build_panel().circuits}
    assert len(written) == 8
    assert written <= writable


def test_a_meter_is_not_writable(shipped: AgentConfig, registry: list[dict[str, str]]) -> None:
    writable = {row["Volttron Point Name"] for row in registry if row["Writable"] == "TRUE"}
    assert not writable & {circuit.power_point for circuit in shipped.circuits}


def test_the_registers_are_those_of_the_simulated_panel() -> None:
    """Issue 2: coils 0-7, holding 0-7 and 100, 101; input 0, 2, 4 and 10+2i as floats."""
    with (PANELS / "simulated_panel" / "registry.csv").open(newline="") as file:
        rows = {row["Volttron Point Name"]: row for row in csv.DictReader(file)}

    def register(name: str) -> tuple[str, str, int]:
        row = rows[name]
        return row["Modbus Register"], row["Writable"], int(row["Point Address"])

    assert register("total_kw") == (">f", "FALSE", 0)
    assert register("voltage") == (">f", "FALSE", 2)
    assert register("current_amps") == (">f", "FALSE", 4)
    assert register("battery_soc") == (">f", "FALSE", 8)
    for number, circuit in enumerate(load(json.loads((ROOT / "config").read_text())).circuits):
        assert register(circuit.power_point) == (">f", "FALSE", 10 + 2 * number)
        assert register(f"{circuit.id}_contactor") == ("BOOL", "TRUE", number)
        assert register(f"{circuit.id}_limit") == (">H", "TRUE", number)
    assert register("heartbeat") == (">H", "TRUE", 100)
    assert register("heartbeat_timeout_sec") == (">H", "TRUE", 101)


def test_the_driver_configuration_names_its_registry(panel_name: str) -> None:
    driver = json.loads((PANELS / panel_name / "driver.json").read_text())
    assert driver["registry_config"] == f"config://{panel_name}.csv"


# ---- what is wrong is named ---------------------------------------------------------------------


def test_the_least_configuration_is_enough() -> None:
    config = load()
    assert config.report_interval_sec == 5.0
    assert config.broker.port == 1883
    assert config.broker.tls is None
    assert config.driver_identity == "platform.driver"


@pytest.mark.parametrize("contents", [None, [], "text", 3, b"{}"])
def test_what_is_no_object_is_refused(contents: Any) -> None:
    text = explained(contents)
    assert "JSON object" in text
    assert all(name in text for name in ("ven_id", "panel", "circuits"))


@pytest.mark.parametrize(
    "path",
    [
        "ven_id",
        "panel",
        "panel.device",
        "circuits",
        "circuits.1.id",
        "circuits.1.name",
        "circuits.1.breaker_amps",
        "circuits.1.power_point",
    ],
)
def test_a_missing_field_is_named(path: str) -> None:
    shown = path.replace(".1.", "[1].")
    assert findings(without_field(path)) == [f"{shown}: is missing"]


WRONG: list[tuple[str, Any, str, str]] = [
    # field, value, where the finding says it is, what it says to do
    ("ven_id", "a/+", "ven_id", "pattern"),
    ("ven_id", "a b", "ven_id", "pattern"),
    ("ven_id", "", "ven_id", "pattern"),
    ("ven_id", "x" * 129, "ven_id", "pattern"),
    ("ven_id", "thing\n", "ven_id", "pattern"),
    ("ven_id", 7, "ven_id", "string"),
    ("report_interval_sec", "often", "report_interval_sec", "number"),
    ("report_interval_sec", -5, "report_interval_sec", "greater than or equal to 0.5"),
    ("report_interval_sec", 0, "report_interval_sec", "greater than or equal to 0.5"),
    ("report_interval_sec", math.nan, "report_interval_sec", "Input should be"),
    ("shadow_interval_sec", 0, "shadow_interval_sec", "greater than or equal to 1"),
    ("loads_every", 0, "loads_every", "greater than or equal to 1"),
    ("loads_every", 1.5, "loads_every", "integer"),
    ("stale_after_sec", -1, "stale_after_sec", "greater than 0"),
    ("broker.port", 0, "broker.port", "greater than or equal to 1"),
    ("broker.port", 65_536, "broker.port", "65535"),
    ("broker.port", "mqtt", "broker.port", "integer"),
    ("broker.host", "", "broker.host", "at least 1 character"),
    ("broker.keepalive_sec", 1, "broker.keepalive_sec", "greater than or equal to 5"),
    ("topics.metering", "", "topics.metering", "at least 1 character"),
    ("panel", "site/panel", "panel", "dictionary"),
    ("panel.device", "/site/panel", "panel.device", "pattern"),
    ("panel.device", "site/panel/", "panel.device", "pattern"),
    ("panel.device", "site/the panel", "panel.device", "pattern"),
    ("panel.amperage", -200, "panel.amperage", "greater than 0"),
    ("panel.amperage", math.inf, "panel.amperage", "finite"),
    ("panel.voltage", 0, "panel.voltage", "greater than 0"),
    ("circuits", [], "circuits", "at least 1 item"),
    ("circuits", {"c1": {}}, "circuits", "tuple"),
    ("circuits.1", "c2", "circuits[1]", "dictionary"),
    ("circuits.1.id", "c 2", "circuits[1].id", "pattern"),
    ("circuits.1.id", "", "circuits[1].id", "pattern"),
    ("circuits.1.name", "", "circuits[1].name", "at least 1 character"),
    ("circuits.1.breaker_amps", -30, "circuits[1].breaker_amps", "greater than 0"),
    ("circuits.1.breaker_amps", "thirty", "circuits[1].breaker_amps", "number"),
    ("circuits.1.breaker_amps", None, "circuits[1].breaker_amps", "number"),
    ("circuits.1.priority", 0, "circuits[1].priority", "greater than or equal to 1"),
    ("circuits.1.priority", 6, "circuits[1].priority", "less than or equal to 5"),
    ("circuits.1.critical", "perhaps", "circuits[1].critical", "boolean"),
    ("circuits.1.control", "dimmer", "circuits[1].control", "'switch', 'limit' or 'none'"),
    ("circuits.1.limit_unit", "watts", "circuits[1].limit_unit", "'percent', 'amps' or 'kw'"),
    ("circuits.1.limit_step", 0, "circuits[1].limit_step", "greater than 0"),
    ("circuits.1.floor", 1.2, "circuits[1].floor", "less than or equal to 1"),
    ("circuits.1.power_scale", math.nan, "circuits[1].power_scale", "finite"),
    ("event.max_duration_sec", -1, "event.max_duration_sec", "greater than 0"),
    ("event.task_priority", "MEDIUM", "event.task_priority", "'HIGH', 'LOW' or 'LOW_PREEMPT'"),
]


@pytest.mark.parametrize(("path", "value", "where", "what"), WRONG)
def test_a_wrong_field_is_named_with_what_it_must_be(
    path: str, value: Any, where: str, what: str
) -> None:
    (finding,) = findings(with_field(path, value))
    assert finding.startswith(f"{where}: ")
    assert what in finding
    if isinstance(value, (str, int, float)):
        assert f"(got {value!r})" in finding


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("report_intervall", "report_intervall"),
        ("broker.username", "broker.username"),
        ("broker.tls.ca", "broker.tls.ca"),
        ("panel.amps", "panel.amps"),
        ("circuits.0.switchpoint", "circuits[0].switchpoint"),
        ("event.duration", "event.duration"),
        ("streams.alarms", "streams.alarms"),
        ("topics.status", "topics.status"),
    ],
)
def test_an_unknown_setting_is_named(path: str, where: str) -> None:
    found = findings(with_field(path, "x"))
    assert f"{where}: is not a setting of VenAgent: correct its name or remove it" in found


@pytest.mark.parametrize("topic", ["metering", "telemetry", "loads", "ack"])
@pytest.mark.parametrize("name", ["site/+/metering", "site/#"])
def test_a_topic_to_publish_on_has_no_wildcards(topic: str, name: str) -> None:
    """The client refuses to publish on one, and all messages behind it would wait for ever."""
    (finding,) = findings(with_field(f"topics.{topic}", name))
    assert finding.startswith(f"topics.{topic}: ")
    assert name in finding


def test_a_circuit_id_that_stands_twice_is_named() -> None:
    (finding,) = findings(with_field("circuits.1.id", "c1"))
    assert "'c1' stands twice" in finding
    assert "give each its own" in finding


@pytest.mark.parametrize("control", ["switch", "limit"])
def test_a_control_without_its_point_is_named(control: str) -> None:
    contents = with_field("circuits.1.switch_point", None)
    (finding,) = findings(with_field("circuits.1.control", control, contents))
    assert finding.startswith(
        f"circuits[1]: control is '{control}' but {control}_point is missing: name the point"
    )


def test_a_circuit_without_control_needs_no_point() -> None:
    contents = with_field("circuits.1.control", "none", with_field("circuits.1.switch_point", None))
    assert load(contents).build_panel().circuits[1].point == ""


def test_all_that_is_wrong_is_told_at_once() -> None:
    contents = with_field("ven_id", "a/+", with_field("circuits.0.breaker_amps", 0))
    contents["repotr_interval"] = 5
    found = findings(contents)
    assert sorted(finding.split(":")[0] for finding in found) == [
        "circuits[0].breaker_amps",
        "repotr_interval",
        "ven_id",
    ]


def test_of_a_single_circuit_only_what_is_wrong_with_it_is_told() -> None:
    contents = with_field("circuits", [dict(MINIMAL["circuits"][0], breaker_amps=-1)])
    assert findings(contents) == [
        "circuits[0].breaker_amps: Input should be greater than 0 (got -1)"
    ]


@pytest.mark.parametrize("path", ["circuits.1.breaker_amps", "broker.port", "panel.amperage"])
def test_a_truth_is_no_number(path: str) -> None:
    (finding,) = findings(with_field(path, True))
    assert finding.startswith(path.replace(".1.", "[1]."))


def test_the_text_does_not_speak_of_the_library() -> None:
    text = explained(with_field("ven_id", "a/+"))
    assert "pydantic" not in text
    assert "AgentConfig" not in text
    assert "\n" not in text


# ---- the environment ----------------------------------------------------------------------------

FULL = with_field(
    "broker",
    {
        "host": "from.file",
        "port": 1884,
        "tls": {"ca_cert": "file-ca", "client_cert": "file-cert", "private_key": "file-key"},
    },
    with_field("topics", {name: f"file/{name}" for name in ("metering", "telemetry", "loads")}),
)
VARIABLES: list[tuple[str, str, Callable[[AgentConfig], Any], Any]] = [
    ("IOT_THING_NAME", "thing-7", lambda config: config.ven_id, "thing-7"),
    ("CLIENT_ID", "client-7", lambda config: config.ven_id, "client-7"),
    ("IOT_ENDPOINT", "x.iot.example", lambda config: config.broker.host, "x.iot.example"),
    ("MQTT_PORT", "8884", lambda config: config.broker.port, 8884),
    ("CA_CERT", "/c/ca.pem", lambda config: config.broker.tls.ca_cert, "/c/ca.pem"),
    ("CLIENT_CERT", "/c/c.pem", lambda config: config.broker.tls.client_cert, "/c/c.pem"),
    ("PRIVATE_KEY", "/c/k.pem", lambda config: config.broker.tls.private_key, "/c/k.pem"),
    ("TELEMETRY_TOPIC", "t/tel", lambda config: config.topic_names().telemetry, "t/tel"),
    ("METERING_TOPIC", "t/met", lambda config: config.topic_names().metering, "t/met"),
    ("LOADS_TOPIC", "t/loads", lambda config: config.topic_names().loads, "t/loads"),
    ("CMD_TOPIC", "t/cmd", lambda config: config.topic_names().command, "t/cmd"),
    ("ACK_TOPIC", "t/ack", lambda config: config.topic_names().ack, "t/ack"),
    ("PANEL_AMPERAGE", "100", lambda config: config.panel.amperage, 100.0),
]


@pytest.mark.parametrize(("variable", "value", "read", "expected"), VARIABLES)
def test_a_variable_wins_over_the_configuration(
    variable: str, value: str, read: Callable[[AgentConfig], Any], expected: Any
) -> None:
    before = read(load(FULL))
    assert before != expected
    assert read(load(FULL, **{variable: value})) == expected
    assert read(load(FULL, **{variable: ""})) == before
    assert read(load(FULL, **{variable: "  "})) == before


@pytest.mark.parametrize("variable", [row[0] for row in VARIABLES])
def test_a_variable_changes_nothing_beside_its_field(variable: str) -> None:
    value = next(row[1] for row in VARIABLES if row[0] == variable)
    changed = json.loads(load(FULL, **{variable: value}).model_dump_json())
    plain = json.loads(load(FULL).model_dump_json())
    if variable == "IOT_ENDPOINT":
        del changed["broker"]["port"], plain["broker"]["port"]

    def leaves(block: Any, path: str = "") -> dict[str, Any]:
        if not isinstance(block, dict):
            return {path: block}
        return {
            key: leaf
            for name, inner in block.items()
            for key, leaf in leaves(inner, f"{path}.{name}").items()
        }

    before, after = leaves(plain), leaves(changed)
    assert sum(before[path] != after[path] for path in before | after) == 1


@pytest.mark.parametrize("variable", [row[0] for row in VARIABLES])
def test_the_config_stores_contents_stay_as_they_are(variable: str) -> None:
    value = next(row[1] for row in VARIABLES if row[0] == variable)
    contents = copy.deepcopy(FULL)
    load(contents, **{variable: value})
    assert contents == FULL


def test_the_thing_name_wins_over_the_client_id() -> None:
    assert load(FULL, CLIENT_ID="client", IOT_THING_NAME="thing").ven_id == "thing"


def test_an_endpoint_brings_its_port() -> None:
    assert load(FULL, IOT_ENDPOINT="x.iot.example").broker.port == 8883
    assert load(FULL, IOT_ENDPOINT="x.iot.example", MQTT_PORT="443").broker.port == 443
    assert load(FULL, IOT_ENDPOINT="x.iot.example", MQTT_PORT="").broker.port == 8883
    assert load(FULL, IOT_ENDPOINT="x.iot.example", MQTT_PORT=" ").broker.port == 8883
    assert load(FULL, IOT_ENDPOINT=" ").broker.port == 1884


def test_the_environment_alone_makes_a_connection_to_the_cloud() -> None:
    config = load(
        MINIMAL,
        IOT_ENDPOINT="x.iot.example",
        IOT_THING_NAME="thing-7",
        CA_CERT="/c/ca.pem",
        CLIENT_CERT="/c/c.pem",
        PRIVATE_KEY="/c/k.pem",
    )
    assert config.broker.tls is not None
    assert config.broker.tls.private_key == "/c/k.pem"
    assert (config.broker.host, config.broker.port) == ("x.iot.example", 8883)
    assert config.topic_names().command == "ven/cmd/thing-7"


def test_a_certificate_without_its_key_is_named() -> None:
    found = findings(MINIMAL, CA_CERT="/c/ca.pem", CLIENT_CERT="/c/c.pem")
    assert found == ["broker.tls.private_key: is missing"]


def test_a_wrong_variable_is_named_by_its_field() -> None:
    (finding,) = findings(MINIMAL, MQTT_PORT="eight")
    assert finding.startswith("broker.port: ")
    assert "(got 'eight')" in finding
    (finding,) = findings(MINIMAL, IOT_THING_NAME="a/+")
    assert finding.startswith("ven_id: ")


def test_a_path_may_be_long() -> None:
    path = "/certificates/" + "site/" * 40 + "ca.pem"
    tls = {"ca_cert": path, "client_cert": path, "private_key": path}
    config = load(with_field("broker.tls", tls))
    assert config.broker.tls is not None
    assert config.broker.tls.ca_cert == path


# ---- what is built from it ----------------------------------------------------------------------


def test_the_topics_are_the_contracts_unless_overridden() -> None:
    topics = load(with_field("topics.ack", "other/ack")).topic_names()
    assert topics.metering == "volttron/metering"
    assert topics.telemetry == "ven/telemetry/site-1"
    assert topics.loads == "ven/loads/site-1"
    assert topics.command == "ven/cmd/site-1"
    assert topics.status == "ven/status/site-1"
    assert topics.ack == "other/ack"


def test_the_command_limits_are_the_panels() -> None:
    limits = load(with_field("panel.amperage", 100)).command_limits()
    assert limits.max_shed_kw == 24.0
    assert (limits.min_duration_sec, limits.max_duration_sec) == (1.0, 86_400.0)
    limits = load(with_field("event.max_duration_sec", 600)).command_limits()
    assert limits.max_duration_sec == 600.0


def test_devices_are_named_once_and_the_panels_first() -> None:
    contents = with_field("circuits.0.device", "site/meter")
    assert load(contents).devices() == ("site/panel", "site/meter")
    contents = with_field("circuits.1.device", "site/meter", contents)
    assert load(contents).devices() == ("site/panel", "site/meter")
    assert load().devices() == ("site/panel",)


def limited(**fields: Any) -> dict[str, Any]:
    circuit = {
        "id": "ev",
        "name": "EV",
        "breaker_amps": 50,
        "power_point": "kw",
        "switch_point": "contactor",
        "limit_point": "limit",
        "control": "limit",
    }
    return with_field("circuits", [{**circuit, **fields}])


def test_a_circuit_is_controlled_at_its_point_on_its_device() -> None:
    assert load().build_panel().circuits[0].point == "site/panel/s1"
    (limit,) = load(limited()).build_panel().circuits
    assert limit.point == "site/panel/limit"
    (elsewhere,) = load(limited(device="site/ev")).build_panel().circuits
    assert elsewhere.point == "site/ev/limit"
    (switched,) = load(limited(control="switch", device="site/ev")).build_panel().circuits
    assert switched.point == "site/ev/contactor"


@pytest.mark.parametrize(
    ("fields", "unit", "register_at_6_kw", "kw_at_50"),
    [
        ({}, LimitUnit.PERCENT, 50.0, 6.0),
        ({"limit_full_scale_kw": 10}, LimitUnit.PERCENT, 60.0, 5.0),
        ({"limit_step": 20}, LimitUnit.PERCENT, 40.0, 6.0),
        ({"limit_unit": "amps"}, LimitUnit.AMPS, 25.0, 12.0),
        ({"limit_unit": "amps", "limit_full_scale_kw": 10}, LimitUnit.AMPS, 25.0, 12.0),
        ({"limit_unit": "kw"}, LimitUnit.KW, 6.0, 50.0),
        ({"limit_unit": "kw", "limit_step": 4}, LimitUnit.KW, 8.0, 50.0),
    ],
)
def test_a_limit_has_its_scale(
    fields: dict[str, Any], unit: LimitUnit, register_at_6_kw: float, kw_at_50: float
) -> None:
    (circuit,) = load(limited(**fields)).build_panel().circuits
    assert circuit.control is Control.LIMIT
    assert circuit.limit is not None
    assert circuit.limit.unit is unit
    assert circuit.limit.value_at(6.0) == pytest.approx(register_at_6_kw)
    assert circuit.limit.kw_of(50.0) == pytest.approx(kw_at_50)


def test_a_switched_circuit_has_no_limit_scale() -> None:
    assert all(circuit.limit is None for circuit in load().build_panel().circuits)


def test_the_panel_has_every_property_of_its_circuits() -> None:
    contents = limited(type="ev", priority=5, critical=True, floor=0.9)
    contents["panel"]["voltage"] = 230
    panel = load(contents).build_panel()
    (circuit,) = panel.circuits
    assert panel.voltage == circuit.voltage == 230
    assert panel.max_kw == 46.0
    assert circuit.rating_kw == 11.5
    assert (circuit.type, circuit.priority, circuit.critical) == ("ev", 5, True)
    assert circuit.floor == 0.9


def test_the_shipped_configurations_tell_the_contracts_priorities(shipped: AgentConfig) -> None:
    critical = {circuit.id for circuit in shipped.build_panel().circuits if circuit.last_resort}
    assert critical == {"hvac1", "fridge1"}
