"""What the platform driver's own configuration says of the panel's devices."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

from VenAgent.volttron_compat import (
    CONFIG_STORE,
    RPC_FAILURES,
    VolttronCompatCalls,
    volttron_compat_failure_text,
)

_log = logging.getLogger(__name__)

STORE_SEC = 5.0
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

    @classmethod
    def of(cls, contents: Any) -> DriverEntry:
        """From the entry `devices/…`; what it does not say stays unknown."""
        if not isinstance(contents, Mapping):
            return cls()
        # driver 2 of VOLTTRON 11 may have both in one block of another name
        settings = contents.get("remote_config", contents.get("driver_config"))
        inner = settings if isinstance(settings, Mapping) else {}
        driver_type = str(inner.get("driver_type") or contents.get("driver_type") or "").lower()
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


def driver_entries(
    calls: VolttronCompatCalls, driver_identity: str, devices: Iterable[str]
) -> dict[str, DriverEntry]:
    """By device, those that the config store has and gives."""
    entries: dict[str, DriverEntry] = {}
    for device in devices:
        contents = _stored(calls, driver_identity, f"devices/{device}")
        if contents is None:
            continue
        try:
            entry = DriverEntry.of(json.loads(contents) if isinstance(contents, str) else contents)
        except ValueError as error:
            _log.info("the driver's entry of %s is no JSON: %s", device, error)
            continue
        if entry.driver_type == BACNET and entry.registry is not None:
            registry = _stored(calls, driver_identity, entry.registry)
            entry = replace(entry, objects=bacnet_driver_entries(registry))
        entries[device] = entry
    return entries


def bacnet_driver_entries(registry: Any) -> dict[str, BacnetDriverEntry]:
    """The points of a BACnet registry, CSV text or rows; a row that names no object is left out."""
    rows = list(csv.DictReader(StringIO(registry))) if isinstance(registry, str) else registry
    found: dict[str, BacnetDriverEntry] = {}
    for row in rows if isinstance(rows, list) else ():
        cells = {str(name): str(value or "").strip() for name, value in row.items()}
        name, instance = cells.get("Volttron Point Name"), cells.get("Index", "")
        object_type, priority = cells.get("BACnet Object Type"), cells.get("Write Priority", "")
        if name and object_type and instance.isdigit():
            is_priority = priority.isdigit() and 1 <= int(priority) <= LOWEST_PRIORITY
            found[name] = BacnetDriverEntry(
                object_type, int(instance), int(priority) if is_priority else LOWEST_PRIORITY
            )
    return found


def _interval_sec(contents: Mapping[str, Any]) -> float:
    """As the driver takes it: a minute, if there is none or it is no number of 1 s or more."""
    value = contents.get("interval", contents.get("polling_interval"))
    try:
        interval_sec = float(int(value)) if not isinstance(value, bool) and value else 0.0
    except (TypeError, ValueError, OverflowError):
        interval_sec = 0.0
    return interval_sec if interval_sec >= 1.0 else DRIVER_INTERVAL_SEC


def _stored(calls: VolttronCompatCalls, identity: str, name: str) -> Any:
    """An entry of another agent's config store, as it was stored; None if it is not to be had."""
    try:
        return calls.call(CONFIG_STORE, "get_config", identity, name, True).get(timeout=STORE_SEC)
    except RPC_FAILURES as failure:
        _log.info(
            "%s of %s in the config store: %s",
            name,
            identity,
            volttron_compat_failure_text(failure),
        )
        return None
