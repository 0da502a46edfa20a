"""Options of the scripts that say which VEN, broker and backend is meant."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ops.cli.command_options import refuse_empty_option
from ops.clients.backend_client import DEFAULT_URL, BackendClient
from ops.clients.ven_target import VenTarget
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.services.backend_service import backend_service_url
from ops.volttron.meant_site import meant_site_settings

ScriptVen = Annotated[str | None, typer.Argument(metavar="[VEN]", help="The same as --ven-id.")]
ScriptVenId = Annotated[
    str | None,
    typer.Option("--ven-id", help="The VEN's id, its AWS IoT thing name (IOT_THING_NAME)."),
]
Endpoint = Annotated[
    str | None,
    typer.Option(help="AWS IoT endpoint, or the host of another broker (IOT_ENDPOINT)."),
]
BrokerPort = Annotated[
    int | None,
    typer.Option(help="The broker's port: 8883 at an endpoint, else 1883 (MQTT_PORT).", max=65535),
]
AwsRegion = Annotated[
    str | None, typer.Option("--region", help="AWS region of a TLS secret (AWS_REGION).")
]
CaCert = Annotated[str | None, typer.Option(help="TLS: the CA's certificate, PEM (CA_CERT).")]
ClientCert = Annotated[str | None, typer.Option(help="TLS: our certificate, PEM (CLIENT_CERT).")]
PrivateKey = Annotated[str | None, typer.Option(help="TLS: our key, PEM (PRIVATE_KEY).")]
BackendUrl = Annotated[
    str | None,
    typer.Option(
        "--backend-url",
        envvar="BACKEND_URL",
        help=f"The operator's backend; the one that runs here if none, else {DEFAULT_URL}.",
    ),
]


def script_option_ven_id(ven: str | None, ven_id: str | None) -> str | None:
    """The one that was named, in either way. Raises OpsError for an empty name."""
    for name, value in (("VEN", ven), ("--ven-id", ven_id)):
        if value is not None:
            refuse_empty_option(name, value)
    if ven and ven_id and ven != ven_id:
        raise OpsError(f"two VENs are named: {ven} and --ven-id {ven_id}", "Name one.")
    return ven_id or ven


def required_script_option_ven_id(ven: str | None, ven_id: str | None) -> str:
    """As above, else IOT_THING_NAME."""
    found = script_option_ven_id(ven, ven_id) or os.environ.get("IOT_THING_NAME")
    if not found:
        raise OpsError("no VEN is named", "Name it: --ven-id ID, or IOT_THING_NAME.")
    return found


def script_option_target(
    *,
    ven_id: str | None,
    endpoint: str | None,
    port: int | None,
    region: str | None,
    ca_cert: str | None,
    client_cert: str | None,
    private_key: str | None,
) -> VenTarget:
    """Each option stands for an environment variable of the VEN, and wins over it."""
    given = {
        "IOT_THING_NAME": ven_id,
        "IOT_ENDPOINT": endpoint,
        "MQTT_PORT": None if port is None else str(port),
        "AWS_REGION": region,
        "CA_CERT": ca_cert,
        "CLIENT_CERT": client_cert,
        "PRIVATE_KEY": private_key,
    }
    for variable, value in given.items():
        if value is not None:
            refuse_empty_option(f"the option for {variable}", value)
    overrides = {variable: value for variable, value in given.items() if value}
    return meant_site_settings(Paths.from_environment()).ven_target(overrides)


def script_option_backend(url: str | None) -> BackendClient:
    return BackendClient(url or backend_service_url(Paths.from_environment()) or DEFAULT_URL)
