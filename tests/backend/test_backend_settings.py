"""The backend's environment variables: spellings of peers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices, BaseModel

from backend.config.alert_settings import AlertSettings
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.config.broker_settings import SHADOW_TOPICS
from backend.config.dispatch_settings import DispatchSettings
from backend.config.settings_block import SettingsBlockError
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.store.database import Database
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.services.backend_service import backend_service_variables

ALWAYS = ("volttron/metering", "ven/ack/+", "ven/status/+", "ven/alerts/+", *SHADOW_TOPICS)


def settings(**variables: str) -> BackendSettings:
    return BackendSettings.from_environment(variables)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COMMAND_TOPIC", "ven/cmd/{venId}/#"),
        ("COMMAND_TOPIC", "a/+/{venId}"),
        ("MQTT_TOPICS", "a/#/b"),
        ("MQTT_TOPICS", '["x/y","z/+"]'),
        ("MQTT_TOPIC_METERING", "volttron/met+"),
        ("MQTT_TOPIC_METERING", "a/b,c/d"),
        ("MQTT_TOPIC_SHADOW", "$aws/things/+/shadow/#/update"),
        ("BACKEND_LOADS_TOPIC", "fine,ven/#loads"),
        ("MQTT_HOST", "mqtts://a:8884"),
        ("MQTT_BROKER", "a:1884"),
    ],
)
def test_a_topic_that_no_broker_takes_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsBlockError, match=name):
        BackendSettings.from_environment({name: value})
    fine = {"MQTT_TOPICS": "a/+/b,c/#,#", "COMMAND_TOPIC": "x/{venId}/y", "MQTT_HOST": "fd00::5"}
    fine["MQTT_TOPIC_SHADOW"] = "none"
    assert BackendSettings.from_environment(fine).mqtt.topics[-1] == "#"


def test_topics_of_peers_are_subscribed_to_beside_ours() -> None:
    assert settings().mqtt.topics == ALWAYS
    peers = settings(
        MQTT_TOPIC_EVENTS="dr/events",
        MQTT_TOPIC_RESPONSES="dr/responses/+",
        MQTT_TOPIC_STATUS="dr/status/+",
        BACKEND_LOADS_TOPIC="ven/loads/+",
        MQTT_TOPICS="one/+, two",
    ).mqtt
    more = {"dr/events", "dr/responses/+", "dr/status/+", "ven/loads/+", "one/+", "two"}
    assert peers.topics[: len(ALWAYS)] == ALWAYS
    assert set(peers.topics[len(ALWAYS) :]) == more
    assert peers.topic_commands == "ven/cmd/{venId}"


def test_a_topic_of_commands_without_the_ven_is_refused() -> None:
    assert settings(COMMAND_TOPIC="cmd/{venId}/dr").mqtt.topic_commands == "cmd/{venId}/dr"
    with pytest.raises(SettingsBlockError, match=r"COMMAND_TOPIC.*every VEN would obey"):
        settings(COMMAND_TOPIC="ven/cmd/all")


def test_the_database_may_be_named_by_its_parts() -> None:
    parts = {"DB_HOST": "db.example", "DB_USER": "ven", "DB_PASSWORD": "p@ss/word", "DB_NAME": "f"}
    assert settings(**parts).database_url == "postgresql://ven:p%40ss%2Fword@db.example:5432/f"
    assert settings(**parts, DB_PORT="6000").database_url.endswith("@db.example:6000/f")
    assert settings(**parts, DATABASE_URL="sqlite:///x").database_url == "sqlite:///x"
    with pytest.raises(SettingsBlockError, match="DB_PORT"):
        settings(**parts, DB_PORT="none")


def test_a_database_without_its_host_is_not_taken_for_sqlite() -> None:
    parts = {"DB_USER": "ven", "DB_PASSWORD": "S3CRET", "DB_NAME": "ven", "DB_PORT": "5432"}
    parts |= {"DB_SSLMODE": "require", "DB_SSLROOTCERT": "/ca.pem", "DATABASE_POOLER": "session"}
    parts |= {"DATABASE_DIRECT_URL": "postgresql://direct/f"}
    for given in (parts, *({name: value} for name, value in parts.items())):
        with pytest.raises(SettingsBlockError, match="DB_HOST") as told:
            settings(**given, DB_HOST=" ", DATABASE_URL="")
        assert all(name in str(told.value) for name in given)
        assert "S3CRET" not in str(told.value)
    assert settings(DB_HOST="", DB_USER="").database_url.startswith("sqlite:")


def _variables_of(block: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for field in block.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= _variables_of(field.annotation)
        elif isinstance(field.validation_alias, AliasChoices):
            found |= {str(name) for name in field.validation_alias.choices}
    return found


def test_each_variable_of_the_backend_reaches_it(tmp_path: Path) -> None:
    blocks = (BackendSettings, ApiSettings, DispatchSettings, AlertSettings, OpenAdrSettings)
    names = {*set().union(*map(_variables_of, blocks)), "DATABASE_POOLER"}
    names |= {f"DB_{of}" for of in ("HOST", "PORT", "USER", "PASSWORD", "NAME", "SSLMODE")}
    meant = dict.fromkeys(names, "1")
    paths, site = Paths(repo=tmp_path, home=tmp_path, user="ven"), SiteSettings(agent_config={})
    assert len(names) > 80
    assert backend_service_variables(paths, site, {**meant, "HOME": "/root"}) == meant
    # Of a server's, and one is missing: told at its start, not made up for with SQLite.
    for name, is_file in (("DB_USER", False), ("DATABASE_POOLER", False), ("LOG_LEVEL", True)):
        some = backend_service_variables(paths, site, {"MQTT_HOST": "broker", name: "1"})
        assert ("DATABASE_URL" in some) is is_file


def test_how_a_broker_is_met() -> None:
    found = settings(MQTT_KEEPALIVE="60", MQTT_CLIENT_ID="backend-1", MQTT_TLS_SERVER_NAME="broker")
    mqtt = found.mqtt
    assert (mqtt.keepalive_sec, mqtt.client_id, mqtt.tls_server_name) == (60, "backend-1", "broker")


@pytest.mark.asyncio
async def test_a_database_url_may_say_how_it_is_encrypted(postgresql_url: str) -> None:
    database = Database(f"{postgresql_url}?sslmode=disable")
    await database.check()
    await database.close()
    strict = Database(f"{postgresql_url}?sslmode=require")
    with pytest.raises(ConnectionError, match="SSL"):
        await strict.check()
    await strict.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://site:S3CRET@more@host/db",
        "postgresql://site:p@S3CRET@host/db",
        "postgresql://site:word@host:S3CRET/db",
        "postgres://site:S3CRET@[::1/db",
        "site:S3CRET@host/db",
        "S3CRET",
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
def test_a_database_url_that_cannot_be_read_is_told_without_its_password(
    name: str, url: str
) -> None:
    with pytest.raises(SettingsBlockError) as told:
        BackendSettings.from_environment({name: url, "DATABASE_POOLER": "session"})
    assert name in str(told.value)
    assert "%40" in str(told.value)
    assert "S3CRET" not in str(told.value)
    assert "literal" not in str(told.value)


def test_a_login_in_a_vtns_address_is_refused_without_showing_it() -> None:
    for url in ("https://u:S3CRET@vtn.example:8443/x", "https://u:S3C/RET@vtn.example/x"):
        with pytest.raises(SettingsBlockError) as told:
            OpenAdrSettings.from_environment({"OPENADR_VTN_URL": url})
        assert "OPENADR" in str(told.value)
        assert "S3C" not in str(told.value)


@pytest.mark.parametrize("odd", ["1_0", "\u0661\u0660", "ten", "0x10", "nan", "inf", "1 0"])
def test_a_number_that_a_person_did_not_mean_is_refused_by_name(odd: str) -> None:
    for settings, variable in (
        (BackendSettings, "INGEST_HEALTH_PORT"),
        (BackendSettings, "INGEST_STATE_INTERVAL_SEC"),
        (BackendSettings, "MQTT_PORT"),
    ):
        with pytest.raises(SettingsBlockError, match=f"{variable}: .* is no number"):
            settings.from_environment({variable: odd})
    vtn = {"OPENADR_VTN_URL": "https://vtn.example/openadr3/3.1.0"}
    with pytest.raises(SettingsBlockError, match=r"OPENADR_POLL_SEC: .* is no number"):
        OpenAdrSettings.from_environment({**vtn, "OPENADR_POLL_SEC": odd})
    assert OpenAdrSettings.from_environment({**vtn, "OPENADR_POLL_SEC": "2.5"}).poll_sec == 2.5
