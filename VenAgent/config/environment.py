"""The environment variables that win over the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VARIABLES: dict[str, tuple[str, ...]] = {
    "CLIENT_ID": ("ven_id",),
    "IOT_THING_NAME": ("ven_id",),  # after CLIENT_ID: the thing name wins
    "IOT_ENDPOINT": ("broker", "host"),
    "MQTT_PORT": ("broker", "port"),
    "MQTT_USERNAME": ("broker", "username"),
    "MQTT_PASSWORD": ("broker", "password"),
    "MQTT_PASSWORD_FILE": ("broker", "password_file"),
    "CA_CERT": ("broker", "tls", "ca_cert"),
    "CLIENT_CERT": ("broker", "tls", "client_cert"),
    "PRIVATE_KEY": ("broker", "tls", "private_key"),
    "TLS_SECRET_NAME": ("broker", "tls", "secret_name"),
    "TELEMETRY_TOPIC": ("topics", "telemetry"),
    "METERING_TOPIC": ("topics", "metering"),
    "LOADS_TOPIC": ("topics", "loads"),
    "CMD_TOPIC": ("topics", "command"),
    "ACK_TOPIC": ("topics", "ack"),
    "PANEL_AMPERAGE": ("panel", "amperage"),
    "WEB_PORT": ("web", "port"),
}


def config_with_environment(
    contents: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """`contents` with the environment variables over it; empty ones do not count.

    With IOT_ENDPOINT and no port named anywhere, the port is AWS IoT Core's 8883.
    """
    merged: dict[str, Any] = dict(contents)
    for variable, path in VARIABLES.items():
        value = environment.get(variable, "").strip()
        if value:
            _put(merged, path, value)
    _choose_credentials(merged, environment)
    named = {name for name in ("IOT_ENDPOINT", "MQTT_PORT") if environment.get(name, "").strip()}
    if named == {"IOT_ENDPOINT"}:
        _put(merged, ("broker", "port"), 8883)
    return merged


def _choose_credentials(merged: dict[str, Any], environment: Mapping[str, str]) -> None:
    """A secret named by a variable takes the place of the file's names, and the other way round."""
    broker = merged.get("broker")
    tls = broker.get("tls") if isinstance(broker, Mapping) else None
    if not isinstance(broker, Mapping) or not isinstance(tls, Mapping):
        return
    given = {name for name in VARIABLES if environment.get(name, "").strip()}
    if "TLS_SECRET_NAME" in given:
        dropped = {"client_cert", "private_key"}
    elif given & {"CLIENT_CERT", "PRIVATE_KEY"}:
        dropped = {"secret_name", "region"}
    else:
        dropped = set()
    chosen = {name: value for name, value in tls.items() if name not in dropped}
    region = environment.get("AWS_REGION", "").strip()
    if region and "secret_name" in chosen:
        chosen["region"] = region
    merged["broker"] = {**broker, "tls": chosen}


def _put(block: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set `path` in `block`, copying the blocks on the way: the config store's stay as they are."""
    for name in path[:-1]:
        inner = block.get(name)
        block[name] = dict(inner) if isinstance(inner, Mapping) else {}
        block = block[name]
    block[path[-1]] = value
