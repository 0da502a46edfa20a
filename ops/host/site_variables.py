"""The site's environment variables: the agent's, and the ports of what `start` brings up."""

from __future__ import annotations

from collections.abc import Mapping

AGENT_VARIABLES = (
    "IOT_ENDPOINT",
    "IOT_THING_NAME",
    "CLIENT_ID",
    "MQTT_PORT",
    "MQTT_USERNAME",
    "MQTT_PASSWORD",
    "MQTT_PASSWORD_FILE",
    "CA_CERT",
    "CLIENT_CERT",
    "PRIVATE_KEY",
    "TLS_SECRET_NAME",
    "AWS_REGION",
    "TELEMETRY_TOPIC",
    "METERING_TOPIC",
    "LOADS_TOPIC",
    "CMD_TOPIC",
    "ACK_TOPIC",
    "WEB_PORT",
    "BACKEND_URL",
    "PANEL_AMPERAGE",
)
"""What the agent understands; remembered by `start`, so that later commands reach the same VEN."""


PORT_VARIABLES = ("VEN_BROKER_PORT", "VEN_PANEL_PORT", "VEN_PANEL_CONTROL_PORT", "VEN_VIP_PORT")
"""Ports of what `start` brings up, for machines where the usual ones are taken."""


def site_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The agent's variables and our ports that are set; an empty one is not."""
    names = (*AGENT_VARIABLES, *PORT_VARIABLES)
    return {name: environment[name].strip() for name in names if environment.get(name, "").strip()}
