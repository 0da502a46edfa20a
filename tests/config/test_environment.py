"""The agent's configuration: what the environment says of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tests.config.builders import MINIMAL, explained, findings, load, with_field
from tests.support.each_case import each_case
from VenAgent.cloud.tls.broker_login import broker_login
from VenAgent.config import AgentConfig

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


@each_case(("variable", "value", "read", "expected"), VARIABLES)
def test_a_variable_wins_over_the_configuration(
    variable: str, value: str, read: Callable[[AgentConfig], Any], expected: Any
) -> None:
    before = read(load(FULL))
    assert before != expected
    assert read(load(FULL, **{variable: value})) == expected
    assert read(load(FULL, **{variable: ""})) == before
    assert read(load(FULL, **{variable: "  "})) == before


@each_case("variable", [row[0] for row in VARIABLES])
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


@each_case("variable", [row[0] for row in VARIABLES])
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
    assert found == [
        "broker.tls: private_key missing: name both PEM files, a secret_name, or none of them "
        "where the broker knows us by user name and password"
    ]


def test_a_login_of_the_environment_is_taken_and_told_to_nobody() -> None:
    variables = {"MQTT_USERNAME": "site-1", "MQTT_PASSWORD": "not-for-others"}
    config = AgentConfig.load(MINIMAL, {"IOT_ENDPOINT": "x.example", **variables})
    assert broker_login(config.broker) == ("site-1", "not-for-others")
    assert "not-for-others" not in config.model_dump_json() + repr(config)
    found = findings(MINIMAL, MQTT_PASSWORD="not-for-others")
    assert found == ["broker: a password without a username: name both"]
    (long,) = findings(MINIMAL, MQTT_USERNAME="site-1", MQTT_PASSWORD="x" * 1025)
    assert long.startswith("broker.password: ")
    assert "xxx" not in long


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


FILES = {"ca_cert": "file-ca", "client_cert": "file-cert", "private_key": "file-key"}
SECRET = {"secret_name": "ven/of-file", "region": "eu-west-1"}


def test_a_secret_named_by_a_variable_takes_the_place_of_files_and_keeps_their_ca() -> None:
    config = load(with_field("broker.tls", FILES), TLS_SECRET_NAME="ven/1", AWS_REGION="us-east-1")
    assert config.broker.tls is not None
    told = config.broker.tls.model_dump(exclude_defaults=True)
    assert told == {"secret_name": "ven/1", "region": "us-east-1", "ca_cert": "file-ca"}


def test_files_named_by_variables_take_the_place_of_a_secret() -> None:
    variables = {name.upper(): f"/{name}" for name in FILES}
    config = load(with_field("broker.tls", SECRET), **variables)
    assert config.broker.tls is not None
    assert config.broker.tls.model_dump(exclude_defaults=True) == {
        name: f"/{name}" for name in FILES
    }


def test_a_region_alone_makes_no_tls_and_moves_a_secret() -> None:
    assert load(MINIMAL, AWS_REGION="us-east-1").broker.tls is None
    config = load(with_field("broker.tls", SECRET), AWS_REGION="us-east-1")
    assert config.broker.tls is not None
    assert config.broker.tls.region == "us-east-1"


def test_files_and_a_secret_at_once_are_refused() -> None:
    (found,) = findings(with_field("broker.tls", {**FILES, **SECRET}))
    assert found == (
        "broker.tls: name either client_cert and private_key, or secret_name, not both"
    )


@each_case("variable", ["TLS_SECRET_NAME", "PRIVATE_KEY", "CLIENT_CERT"])
def test_a_key_in_the_place_of_its_name_is_refused_and_not_repeated(variable: str) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----\n"
    told = explained(with_field("broker.tls", FILES), **{variable: key})
    assert "MIGHAgEAMBMG" not in told
    assert told.startswith("broker.tls")
