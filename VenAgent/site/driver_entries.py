"""What the platform driver's own configuration says of the panel's devices."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from VenAgent.config.driver_entry import (
    BACNET,
    DriverEntry,
    bacnet_driver_entries,
    driver_entry_points_without_default,
)
from VenAgent.volttron_compat import (
    CONFIG_STORE,
    RPC_FAILURES,
    VolttronCompatCalls,
    volttron_compat_failure_text,
)

_log = logging.getLogger(__name__)

STORE_SEC = 5.0


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
        if entry.registry is not None:
            registry = _stored(calls, driver_identity, entry.registry)
            if entry.driver_type == BACNET:
                entry = replace(entry, objects=bacnet_driver_entries(registry))
            else:
                entry = replace(
                    entry, without_default=driver_entry_points_without_default(registry)
                )
        entries[device] = entry
    return entries


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
