"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.clients.ven_target import VenTarget
from ops.host.paths import Paths
from ops.volttron.meant_site import meant_site_settings

VenId = Annotated[
    str | None, typer.Option("--ven-id", help="The VEN, if not the one that was started here.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the ack.", min=0.1)]


def chosen_ven_option(ven_id: str | None) -> VenTarget:
    """The VEN to talk to, and its broker: as started, unless the environment says otherwise."""
    overrides = {"IOT_THING_NAME": ven_id} if ven_id else {}
    return meant_site_settings(Paths.from_environment()).ven_target(overrides)
