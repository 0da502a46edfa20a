"""What the platform driver's own configuration says of the panel's devices."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from VenAgent.config.driver_entry import (
    BACNET,
    DriverEntry,
    bacnet_driver_entries,
    driver_entry_points_without_default,
)
from VenAgent.volttron_compat import (
    CONFIG_STORE,
    RPC_FAILURES,
    RemoteError,
    VolttronCompatCalls,
    volttron_compat_failure_text,
)

_log = logging.getLogger(__name__)

STORE_SEC = 5.0
LOST = object()
"""What the config store did not answer."""


class StoredDriverEntries(NamedTuple):
    entries: dict[str, DriverEntry]
    """By device, those that the config store has, or that were known."""
    is_complete: bool
    """The config store has answered for all of them."""


def driver_entries(
    calls: VolttronCompatCalls,
    driver_identity: str,
    devices: Iterable[str],
    known: Mapping[str, DriverEntry] = MappingProxyType({}),
) -> StoredDriverEntries:
    """What the config store gives of `devices`. What it does not give now stays as it was `known`,
    for it is asked in passing, and an answer may be lost."""
    entries = {device: known[device] for device in devices if device in known}
    is_complete = True
    for device in devices:
        contents = _stored(calls, driver_identity, f"devices/{device}")
        is_complete = is_complete and contents is not LOST
        if contents is None or contents is LOST:
            continue
        try:
            entry = DriverEntry.of(json.loads(contents) if isinstance(contents, str) else contents)
        except ValueError as error:
            _log.info("the driver's entry of %s is no JSON: %s", device, error)
            continue
        if entry.registry is not None:
            registry = _stored(calls, driver_identity, entry.registry)
            is_complete = is_complete and registry is not LOST
            before = entries.get(device)
            if registry is LOST:
                if before is not None and before.registry == entry.registry:
                    entry = replace(
                        entry, objects=before.objects, without_default=before.without_default
                    )
            elif entry.driver_type == BACNET:
                entry = replace(entry, objects=bacnet_driver_entries(registry))
            else:
                entry = replace(
                    entry, without_default=driver_entry_points_without_default(registry)
                )
        entries[device] = entry
    return StoredDriverEntries(entries, is_complete)


def _stored(calls: VolttronCompatCalls, identity: str, name: str) -> Any:
    """An entry of another agent's config store, as it was stored; None if there is none, LOST if
    the store did not answer."""
    try:
        return calls.call(CONFIG_STORE, "get_config", identity, name, True).get(timeout=STORE_SEC)
    except RPC_FAILURES as failure:
        _log.info(
            "%s of %s in the config store: %s",
            name,
            identity,
            volttron_compat_failure_text(failure),
        )
        return None if isinstance(failure, RemoteError) else LOST
