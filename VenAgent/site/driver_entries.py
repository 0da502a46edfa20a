"""What the platform driver's own configuration says of the panel's devices."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from VenAgent.volttron_compat import CONFIG_STORE, RPC_FAILURES, Calls, describe_failure

_log = logging.getLogger(__name__)

STORE_SEC = 5.0
BACNET = "bacnet"


@dataclass(frozen=True)
class DriverEntry:
    """Of one device."""

    driver_type: str = ""
    gateway: str | None = None
    """host:port of what takes connections for it; None if that is not shared by its kind."""

    @classmethod
    def of(cls, contents: Any) -> DriverEntry:
        """From the entry `devices/…`; what it does not say stays unknown."""
        if not isinstance(contents, Mapping):
            return cls()
        driver_type = str(contents.get("driver_type") or "").lower()
        settings = contents.get("driver_config")
        if not isinstance(settings, Mapping) or not driver_type.startswith("modbus"):
            return cls(driver_type)
        host = settings.get("device_address")
        if not isinstance(host, str) or not host:
            return cls(driver_type)
        return cls(driver_type, f"{host}:{settings.get('port', 502)}")


def driver_entries(
    calls: Calls, driver_identity: str, devices: Iterable[str]
) -> dict[str, DriverEntry]:
    """By device, those that the config store has and gives."""
    under_way = {
        device: calls.call(CONFIG_STORE, "get_config", driver_identity, f"devices/{device}", True)
        for device in devices
    }
    entries: dict[str, DriverEntry] = {}
    for device, call in under_way.items():
        try:
            contents = call.get(timeout=STORE_SEC)
            entries[device] = DriverEntry.of(
                json.loads(contents) if isinstance(contents, str) else contents
            )
        except RPC_FAILURES as failure:
            _log.info("the driver's entry of %s: %s", device, describe_failure(failure))
        except ValueError as error:
            _log.info("the driver's entry of %s is no JSON: %s", device, error)
    return entries
