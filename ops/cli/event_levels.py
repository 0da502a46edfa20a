"""Levels of an event as they are typed: `5x600,3x600` is 5 kW for 600 s, then 3 kW for as long."""

from __future__ import annotations

import typer

from ops.cli.command_options import option_number
from ops.host.ops_error import OpsError


def event_levels(typed: str, power_name: str) -> list[dict[str, float]]:
    """The intervals for a command; `power_name` is `shed_kw` or `import_kw`. Raises OpsError."""
    levels = []
    for part in typed.split(","):
        power, _, seconds = part.strip().lower().partition("x")
        try:
            duration_sec, power_kw = option_number(seconds), option_number(power)
        except typer.BadParameter:
            raise OpsError(
                f"{part.strip()!r} is no level",
                "Write kW x seconds, one after the other: 5x600,3x600.",
            ) from None
        levels.append({"duration_sec": duration_sec, power_name: power_kw})
    return levels
