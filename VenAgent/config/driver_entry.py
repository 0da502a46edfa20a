"""What one entry of the platform driver's configuration says of a device. Pure.

The agent reads the entries of the config store by it, and `check-config` a site's files.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

REMOTE_BLOCK = "remote_config"
DRIVER_INTERVAL_SEC = 60.0
"""At which the platform driver reads a device whose entry names no interval."""
MODBUS_PORT = 502
"""Where an entry names none."""
BACNET = "bacnet"
LOWEST_PRIORITY = 16
"""At which the BACnet driver writes a point whose registry names no priority."""


@dataclass(frozen=True)
class BacnetDriverEntry:
    """What a point is in its BACnet device, and at which priority (1 to 16) it is written."""

    object_type: str
    instance: int
    priority: int = LOWEST_PRIORITY


@dataclass(frozen=True)
class DriverEntry:
    """Of one device."""

    driver_type: str = ""
    interval_sec: float | None = None
    """At which the driver reads it; None where its entry is not known."""
    gateway: str | None = None
    """host:port of what takes connections for it; None if that is not shared by its kind."""
    registry: str | None = None
    """The name of its registry in the config store."""
    address: str = ""
    """BACnet: of the device, as the proxy takes it."""
    proxy: str = "platform.bacnet_proxy"
    """BACnet: the agent that speaks with it."""
    objects: Mapping[str, BacnetDriverEntry] = field(default_factory=dict)
    """BACnet: by point."""
    without_default: frozenset[str] = frozenset()
    """Other drivers: points that they revert to what they first read after their own start."""

    @classmethod
    def of(cls, contents: Any) -> DriverEntry:
        """From the entry `devices/…`; what it does not say stays unknown."""
        if not isinstance(contents, Mapping):
            return cls()
        settings = contents.get(driver_entry_block(contents))
        driver_type = driver_entry_type(contents)
        interval_sec = _interval_sec(contents)
        link = str(contents.get("registry_config") or "")
        registry = link.removeprefix("config://") if link.startswith("config://") else None
        if not isinstance(settings, Mapping):
            return cls(driver_type, interval_sec, registry=registry)
        host = settings.get("device_address")
        if driver_type == BACNET:
            proxy = str(settings.get("proxy_address") or cls.proxy)
            address = str(host or "")
            return cls(driver_type, interval_sec, None, registry, address, proxy)
        if not driver_type.startswith("modbus"):
            return cls(driver_type, interval_sec, registry=registry)
        # of one spelling: two entries of one gateway need not be written alike
        name = host.strip().lower().rstrip(".") if isinstance(host, str) else ""
        port = str(settings.get("port") or MODBUS_PORT).strip().removesuffix(".0")
        return cls(driver_type, interval_sec, f"{name}:{port}" if name else None, registry)


def driver_entry_block(contents: Mapping[str, Any]) -> str:
    """Under which name an entry says how its device is reached: driver 2 of VOLTTRON 11 has another
    one, and takes the old one too."""
    return REMOTE_BLOCK if REMOTE_BLOCK in contents else "driver_config"


def driver_entry_settings(contents: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the device is reached; empty where the entry does not say."""
    settings = contents.get(driver_entry_block(contents))
    return settings if isinstance(settings, Mapping) else {}


def driver_entry_setting(contents: Mapping[str, Any], name: str) -> Any:
    """`driver_type` or `heart_beat_point`: driver 2 takes them in the block too, and first."""
    inner = driver_entry_settings(contents).get(name)
    return contents.get(name) if inner is None else inner


def driver_entry_type(contents: Mapping[str, Any]) -> str:
    """Which driver the device has, by its present name; empty if the entry does not say."""
    named = str(driver_entry_setting(contents, "driver_type") or "").lower()
    return "fake" if named == "fakedriver" else named


def driver_entry_interval(contents: Mapping[str, Any]) -> Any:
    """What an entry says of the seconds between two readings, as it stands there."""
    return contents.get("interval", contents.get("polling_interval"))


def bacnet_driver_entries(registry: Any) -> dict[str, BacnetDriverEntry]:
    """The points of a BACnet registry, CSV text or rows; a row that names no object is left out."""
    found: dict[str, BacnetDriverEntry] = {}
    for cells in _registry_rows(registry):
        name, instance = cells.get("Volttron Point Name"), cells.get("Index", "")
        object_type, priority = cells.get("BACnet Object Type"), cells.get("Write Priority", "")
        if name and object_type and instance.isdigit():
            is_priority = priority.isdigit() and 1 <= int(priority) <= LOWEST_PRIORITY
            found[name] = BacnetDriverEntry(
                object_type, int(instance), int(priority) if is_priority else LOWEST_PRIORITY
            )
    return found


def driver_entry_points_without_default(registry: Any) -> frozenset[str]:
    """The points of a registry, CSV text or rows, that name no default value. Its driver reverts
    them to what it first read after its own start, in mid-event to what was shed."""
    return frozenset(
        cells["Volttron Point Name"]
        for cells in _registry_rows(registry)
        if cells.get("Volttron Point Name") and not cells.get("Default Value")
    )


def _registry_rows(registry: Any) -> list[dict[str, str]]:
    rows = list(csv.DictReader(StringIO(registry))) if isinstance(registry, str) else registry
    return [
        {str(name): "" if value is None else str(value).strip() for name, value in row.items()}
        for row in (rows if isinstance(rows, list) else ())
    ]


def _interval_sec(contents: Mapping[str, Any]) -> float:
    """As the driver takes it: a minute, if there is none or it is no number of 1 s or more."""
    value = driver_entry_interval(contents)
    try:
        interval_sec = float(int(value)) if not isinstance(value, bool) and value else 0.0
    except (TypeError, ValueError, OverflowError):
        interval_sec = 0.0
    return interval_sec if interval_sec >= 1.0 else DRIVER_INTERVAL_SEC
