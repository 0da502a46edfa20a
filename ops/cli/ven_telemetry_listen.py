"""scripts/ven_telemetry_listen.py: follows a VEN's telemetry."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli import script_options as options
from ops.cli.ven_telemetry import follow_ven_telemetry


def ven_telemetry_listen_script(
    ven: options.ScriptVen = None,
    ven_id: options.ScriptVenId = None,
    count: Annotated[int | None, typer.Option(help="End after so many messages.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the messages as they are.")] = False,
    endpoint: options.Endpoint = None,
    port: options.BrokerPort = None,
    region: options.AwsRegion = None,
    ca_cert: options.CaCert = None,
    client_cert: options.ClientCert = None,
    private_key: options.PrivateKey = None,
) -> None:
    """Follow a VEN's telemetry until Ctrl-C."""
    target = options.script_option_target(
        ven_id=options.script_option_ven_id(ven, ven_id),
        endpoint=endpoint,
        port=port,
        region=region,
        ca_cert=ca_cert,
        client_cert=client_cert,
        private_key=private_key,
    )
    follow_ven_telemetry(target, count, json)
