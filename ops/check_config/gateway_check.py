"""Devices behind one host and port: whether the platform driver asks them one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ops.check_config.checked_file import CheckedJsonFile
from ops.check_config.config_findings import ConfigFindings
from VenAgent.config.driver_entry import DriverEntry

MAX_OPEN_SOCKETS = "max_open_sockets"
PLATFORM_DRIVER_SETTINGS = frozenset(
    (
        MAX_OPEN_SOCKETS,
        "max_concurrent_publishes",
        "driver_scrape_interval",
        "group_offset_interval",
        "publish_breadth_first_all",
        "publish_depth_first",
        "publish_depth_first_all",
        "publish_breadth_first",
        "scalability_test",
        "default_polling_interval",
        "minimum_polling_interval",
        "all_publish_interval",
        "allow_no_lock_write",
        "groups",
    )
)
"""By which the platform driver's own `config` is known."""
ONE_SOCKET_REMEDY = (
    "Many converters take one connection. Set "
    f'"{MAX_OPEN_SOCKETS}" in the `config` of platform.driver to 1, or to as many as the '
    "converter's document says: `ven_control.sh vctl config store platform.driver config "
    "FILE`, then restart platform.driver"
)


def shared_gateways(drivers: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """host:port and the devices behind it, where that is more than one. `drivers`: by device, the
    platform driver's entry."""
    behind: dict[str, list[str]] = {}
    for device, driver in drivers.items():
        gateway = DriverEntry.of(driver).gateway
        if gateway is not None:
            behind.setdefault(gateway, []).append(device)
    return {gateway: devices for gateway, devices in behind.items() if len(devices) > 1}


def is_gateway_socket_limit(value: Any) -> bool:
    """Whether the driver's open sockets are limited on purpose."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_gateways(
    where: Mapping[str, tuple[CheckedJsonFile, int | None]],
    drivers: Mapping[str, Mapping[str, Any]],
    platform_drivers: Iterable[CheckedJsonFile],
    found: ConfigFindings,
) -> None:
    """`where`: by device, the file and line that a finding names."""
    limits = [file.contents.get(MAX_OPEN_SOCKETS) for file in platform_drivers]
    if any(is_gateway_socket_limit(limit) for limit in limits):
        return
    for gateway, devices in shared_gateways(drivers).items():
        file, line = where[devices[1]]
        names = ", ".join(devices)
        what = f"{names} share {gateway}, and nothing says how many connections it takes"
        remedy = f"{ONE_SOCKET_REMEDY}; check that file with these"
        found.add(file.path, line, what, remedy)
