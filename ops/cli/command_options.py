"""Options that several commands have."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ops.clients.ven_target import VenTarget
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.terminal import terminal_printable
from ops.volttron.meant_site import meant_site_settings

VenId = Annotated[
    str | None, typer.Option("--ven-id", help="The VEN, if not the one that was started here.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the ack.", min=0.1, max=86_400)]


def refuse_empty_option(name: str, value: str) -> None:
    """A shell's variable that holds nothing must not mean whatever there is. Raises OpsError."""
    if not value.strip():
        raise OpsError(f"{name} is empty", "Name it, or leave the option out.")


def refuse_odd_thing_option(name: str, thing: str) -> None:
    """What AWS IoT takes as no thing name has no topics. Raises OpsError that names the option."""
    if not re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", thing):
        raise OpsError(
            f"{name} {terminal_printable(thing)!r} is no name of a VEN",
            "Letters, digits, `:`, `_` and `-`, at most 128.",
        )


def option_number(typed: str) -> float:
    """A number as it is on the wire: no `1_0`, no `nan`, no other alphabet's digits."""
    from VenAgent.contract.command_fields import command_field_number  # only where one is typed

    try:
        return float(command_field_number(str(typed)))
    except ValueError as error:
        raise typer.BadParameter(f"{typed!r} {error}") from None


def option_duration(typed: str) -> float:
    """Seconds, or an ISO 8601 duration such as PT30M."""
    from VenAgent.contract.command_fields import command_field_duration  # as above

    try:
        return float(command_field_duration(str(typed)))
    except ValueError as error:
        raise typer.BadParameter(f"{typed!r} {error}") from None


def chosen_ven_option(ven_id: str | None) -> VenTarget:
    """The VEN to talk to, and its broker: as started, unless the environment says otherwise."""
    if ven_id is not None:
        refuse_empty_option("--ven-id", ven_id)
        refuse_odd_thing_option("--ven-id", ven_id)
    overrides = {"IOT_THING_NAME": ven_id} if ven_id else {}
    return meant_site_settings(Paths.from_environment()).ven_target(overrides)
