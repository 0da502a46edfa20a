"""The agent's configuration: what a person is told of what is wrong with it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tests.config.builders import MINIMAL, explained, findings, load, with_field, without_field
from tests.support.each_case import each_case
from VenAgent.config import AgentConfig, ConfigError
from VenAgent.config.config_errors import CONFIG_PATTERNS


@each_case("contents", [None, [], "text", 3, b"{}"])
def test_what_is_no_object_is_refused(contents: Any) -> None:
    text = explained(contents)
    assert "JSON object" in text
    assert all(name in text for name in ("ven_id", "panel", "circuits"))


@each_case(
    "path",
    [
        "ven_id",
        "panel",
        "panel.device",
        "circuits",
        "circuits.1.id",
        "circuits.1.name",
        "circuits.1.breaker_amps",
    ],
)
def test_a_missing_field_is_named(path: str) -> None:
    shown = path.replace(".1.", "[1].")
    assert findings(without_field(path)) == [f"{shown}: is missing"]


WRONG: list[tuple[str, Any, str, str]] = [
    # field, value, where the finding says it is, what it says to do
    ("ven_id", "a/+", "ven_id", "1 to 128 of them"),
    ("ven_id", "a b", "ven_id", "1 to 128 of them"),
    ("ven_id", "", "ven_id", "1 to 128 of them"),
    ("ven_id", "x" * 129, "ven_id", "1 to 128 of them"),
    ("ven_id", "thing\n", "ven_id", "1 to 128 of them"),
    ("ven_id", 7, "ven_id", "must be a text"),
    ("report_interval_sec", "often", "report_interval_sec", "number"),
    ("report_interval_sec", -5, "report_interval_sec", "greater than or equal to 0.5"),
    ("report_interval_sec", 0, "report_interval_sec", "greater than or equal to 0.5"),
    ("report_interval_sec", math.nan, "report_interval_sec", "must be"),
    ("shadow_interval_sec", 0, "shadow_interval_sec", "greater than or equal to 1"),
    ("loads_every", 0, "loads_every", "greater than or equal to 1"),
    ("loads_every", 1.5, "loads_every", "whole number"),
    ("stale_after_sec", -1, "stale_after_sec", "greater than 0"),
    ("broker.port", 0, "broker.port", "greater than or equal to 1"),
    ("broker.port", 65_536, "broker.port", "65535"),
    ("broker.port", "mqtt", "broker.port", "whole number"),
    ("broker.host", "", "broker.host", "at least 1 character"),
    ("broker.keepalive_sec", 1, "broker.keepalive_sec", "greater than or equal to 5"),
    ("topics.metering", "", "topics.metering", "at least 1 character"),
    ("calendar.timezone", "Vienna", "calendar.timezone", "like Europe/Vienna"),
    ("calendar.timezone", "America", "calendar.timezone", "like Europe/Vienna"),
    ("calendar.timezone", "../etc", "calendar.timezone", "like Europe/Vienna"),
    ("calendar.timezone", "", "calendar.timezone", "like Europe/Vienna"),
    ("calendar.timezone", "+25:00", "calendar.timezone", "like +01:00"),
    ("calendar.holidays", ["24.12."], "calendar.holidays[0]", "date"),
    ("panel", "site/panel", "panel", "must be an object"),
    ("panel.device", "/site/panel", "panel.device", "like campus/building/meter"),
    ("panel.device", "site/panel/", "panel.device", "like campus/building/meter"),
    ("panel.device", "site/the panel", "panel.device", "like campus/building/meter"),
    ("panel.amperage", -200, "panel.amperage", "greater than 0"),
    ("panel.amperage", math.inf, "panel.amperage", "finite"),
    ("panel.voltage", 0, "panel.voltage", "greater than 0"),
    ("circuits", [], "circuits", "at least 1 entry"),
    ("circuits", {"c1": {}}, "circuits", "must be a list"),
    ("circuits.1", "c2", "circuits[1]", "must be an object"),
    ("circuits.1.id", "c 2", "circuits[1].id", "1 to 64 of them"),
    ("circuits.1.id", "", "circuits[1].id", "1 to 64 of them"),
    ("circuits.1.name", "", "circuits[1].name", "at least 1 character"),
    ("circuits.1.breaker_amps", -30, "circuits[1].breaker_amps", "greater than 0"),
    ("circuits.1.breaker_amps", "thirty", "circuits[1].breaker_amps", "number"),
    ("circuits.1.breaker_amps", None, "circuits[1].breaker_amps", "number"),
    ("circuits.1.priority", 0, "circuits[1].priority", "greater than or equal to 1"),
    ("circuits.1.priority", 6, "circuits[1].priority", "less than or equal to 5"),
    ("circuits.1.critical", "perhaps", "circuits[1].critical", "true or false"),
    (
        "circuits.1.control",
        "dimmer",
        "circuits[1].control",
        "'switch', 'limit', 'setpoint', 'power' or 'none'",
    ),
    ("circuits.1.limit_unit", "watts", "circuits[1].limit_unit", "'percent', 'amps' or 'kw'"),
    ("circuits.1.limit_step", 0, "circuits[1].limit_step", "greater than 0"),
    ("circuits.1.floor", 1.2, "circuits[1].floor", "less than or equal to 1"),
    ("circuits.1.power_scale", math.nan, "circuits[1].power_scale", "finite"),
    ("event.max_duration_sec", -1, "event.max_duration_sec", "greater than 0"),
    ("event.task_priority", "MEDIUM", "event.task_priority", "'HIGH', 'LOW' or 'LOW_PREEMPT'"),
]


def test_every_pattern_of_a_setting_is_said_in_words() -> None:
    written = json.dumps(AgentConfig.model_json_schema())
    patterns = set(map(json.loads, re.findall(r'"pattern": ("(?:[^"\\\\]|\\\\.)*")', written)))
    assert patterns == set(CONFIG_PATTERNS)


def test_no_finding_of_a_setting_is_in_the_words_of_a_program() -> None:
    slips = ([], {}, "x", "", 0, -1, 1.5, True, None, ["x"], {"x": {}}, 1e300)
    for name in AgentConfig.model_fields:
        for slip in slips:
            try:
                load({**MINIMAL, name: slip})
            except ConfigError as error:
                text = str(error)
                assert not re.search(r"Input|should|[Tt]uple|dictionary|after validation", text)


@each_case(("path", "value", "where", "what"), WRONG)
def test_a_wrong_field_is_named_with_what_it_must_be(
    path: str, value: Any, where: str, what: str
) -> None:
    (finding,) = findings(with_field(path, value))
    assert finding.startswith(f"{where}: ")
    assert what in finding
    if isinstance(value, (str, int, float)):
        assert f"(got {value!r})" in finding


@each_case(
    ("path", "where"),
    [
        ("report_intervall", "report_intervall"),
        ("broker.user", "broker.user"),
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


@each_case("topic", ["metering", "telemetry", "loads", "ack"])
@each_case("name", ["site/+/metering", "site/#"])
def test_a_topic_to_publish_on_has_no_wildcards(topic: str, name: str) -> None:
    """The client refuses to publish on one, and all messages behind it would wait for ever."""
    (finding,) = findings(with_field(f"topics.{topic}", name))
    assert finding.startswith(f"topics.{topic}: ")
    assert name in finding


@each_case("topic", ["metering", "telemetry", "loads", "ack", "command"])
@each_case(
    ("name", "why"),
    [
        ("a/b/c/d/e/f/g/h/i", "has 8 slashes: AWS IoT Core takes at most 7 in a topic"),
        ("ä" * 129, "is 258 bytes long in UTF-8: AWS IoT Core takes at most 256 for a topic"),
    ],
)
def test_a_topic_that_the_broker_would_not_take_is_named_with_the_limit(
    topic: str, name: str, why: str
) -> None:
    (finding,) = findings(with_field(f"topics.{topic}", name))
    assert finding.startswith(f"topics.{topic}: {why} (got ")


@each_case("name", ["a/b/c/d/e/f/g/h", "ä" * 128, "$aws/rules/meter/a/b/c/d/e/f/g/h"])
def test_a_topic_at_the_limits_is_taken(name: str) -> None:
    assert load(with_field("topics.metering", name)).topic_names().metering == name


def test_a_variable_that_names_a_topic_too_deep_is_refused_too() -> None:
    finding = explained(MINIMAL, ACK_TOPIC="a/b/c/d/e/f/g/h/i")
    assert "topics.ack" in finding
    assert "at most 7" in finding


def test_a_prefix_to_listen_below_counts_with_what_is_subscribed() -> None:
    bridge = {"enabled": True, "publish": ["cloud/weather"], "accept": ["a/b/c/d/e/f/g/h"]}
    (finding,) = findings(with_field("bus_bridge", bridge))
    assert finding.startswith("bus_bridge.accept[0]: with the /# that we subscribe below it, it ")
    assert "has 8 slashes" in finding


def test_a_circuit_id_that_stands_twice_is_named() -> None:
    (finding,) = findings(with_field("circuits.1.id", "c1"))
    assert "'c1' stands twice" in finding
    assert "give each its own" in finding


@each_case("control", ["switch", "limit"])
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
    assert findings(contents) == ["circuits[0].breaker_amps: must be greater than 0 (got -1)"]


@each_case("path", ["circuits.1.breaker_amps", "broker.port", "panel.amperage"])
def test_a_truth_is_no_number(path: str) -> None:
    (finding,) = findings(with_field(path, True))
    assert finding.startswith(path.replace(".1.", "[1]."))


def test_the_text_does_not_speak_of_the_library() -> None:
    text = explained(with_field("ven_id", "a/+"))
    assert "pydantic" not in text
    assert "AgentConfig" not in text
    assert "\n" not in text


@each_case("critical", [False, True])
def test_a_point_that_would_shed_two_circuits_is_named(critical: bool) -> None:
    contents = with_field(
        "circuits.1.switch_point", "s1", with_field("circuits.1.critical", critical)
    )
    assert "'c1' and 'c2' are both controlled by site/panel/s1" in explained(contents)


def test_two_devices_may_name_their_points_alike() -> None:
    other = with_field("circuits.1.switch_point", "s1")
    load(with_field("circuits.1.control_device", "site/relays", other))


def test_a_broker_is_a_host_alone_and_a_login_beside_it_is_not_repeated() -> None:
    for host in ("mqtt://mqtt.example", "mqtts://me:hunter2@mqtt.example", "me:hunter2@b", "b/x"):
        (finding,) = findings(with_field("broker", {"host": host}))
        assert "must be a host's name or address alone" in finding
        assert "hunter2" not in finding
    assert "hunter2" not in explained(with_field("broker", "mqtt://me:hunter2@mqtt.example"))
    for host in ("mqtt.example", "10.0.0.5", "::1", "a1b2-ats.iot.eu-west-1.amazonaws.com"):
        assert load(with_field("broker", {"host": host})).broker.host == host


def test_nothing_is_measured_twice_in_one_power() -> None:
    twice = with_field("circuits.0.power_point", ["l1_w", "l2_w", "l1_w"])
    assert findings(twice) == ["circuits[0]: power_point names 'l1_w' twice: it would count twice"]
    panel = with_field("panel.power_point", ["l1_w", "l1_w"])
    assert findings(panel) == ["panel: power_point names 'l1_w' twice: it would count twice"]
    load(with_field("panel.power_point", ["l1_w", "l2_w"]))
    first = MINIMAL["circuits"][0]["power_point"]
    summed = with_field("circuits.1.power_point", first, with_field("panel.power_point", None))
    assert "would count twice in the site's power" in explained(summed)
    load(with_field("circuits.1.power_point", first, with_field("panel.power_point", "total")))


def test_a_lease_has_registers_of_its_own() -> None:
    device = MINIMAL["panel"]["device"]
    lease = {"device": device, "heartbeat_point": "hb", "timeout_point": "to"}
    load(with_field("leases", [lease]))
    for wrong, what in (
        ([{**lease, "timeout_point": "hb"}], "heartbeat_point and timeout_point are both 'hb'"),
        ([lease, {**lease, "heartbeat_point": "h2"}], "stands twice: make it one lease"),
        ([{**lease, "heartbeat_point": "s1"}], "s1 of site/panel sheds circuit 'c1'"),
        ([{**lease, "timeout_point": "s1"}], "s1 of site/panel sheds circuit 'c1'"),
    ):
        assert what in explained(with_field("leases", wrong)), wrong


def test_what_could_never_be_carried_out_is_named() -> None:
    durations = {"min_duration_sec": 100, "max_duration_sec": 10}
    assert "every event would be refused" in explained(with_field("event", durations))
    charger = {"control": "limit", "limit_point": "a", "limit_unit": "amps", "minimum_amps": 40}
    contents = with_field("circuits.1", {**MINIMAL["circuits"][1], "breaker_amps": 30, **charger})
    assert "minimum_amps 40 is above breaker_amps 30" in explained(contents)
