"""Device models, folders of MeterDriverConfigs/, as entries of the driver's config store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron.config_store import DRIVER, ConfigStoreEntry

DEVICES_FILE = "devices.json"
"""A site of several devices: `{device path: {"model": folder, "driver_config": {…}}}`."""


def device_model_folder(paths: Paths, devices: str) -> Path:
    """The folder of a device model: one of MeterDriverConfigs/, or a path."""
    ours = paths.repo / "MeterDriverConfigs"
    for folder in (ours / devices, Path(devices)):
        if (folder / "driver.json").is_file() or (folder / DEVICES_FILE).is_file():
            return folder.absolute()
    known = ", ".join(sorted(path.parent.name for path in ours.glob("*/driver.json")))
    raise OpsError(
        f"there is no device model {devices!r} (a folder with a driver.json)",
        f"Those of MeterDriverConfigs/: {known}",
    )


def device_model_entries(
    folder: Path, device: str, port: int | None = None
) -> list[ConfigStoreEntry]:
    """A device model's entries for the driver, the registry before the device that names it.

    `port` replaces the one of the device. A site's devices have the paths that its devices.json
    names, whatever `device` is.
    """
    if (folder / DEVICES_FILE).is_file():
        return _site_entries(folder)
    return _device_entries(folder, device, {} if port is None else {"port": port})


def _site_entries(folder: Path) -> list[ConfigStoreEntry]:
    """All devices of a site; a model's registry once."""
    entries: dict[str, ConfigStoreEntry] = {}
    for device, entry in read_json_file(folder / DEVICES_FILE).items():
        if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
            raise OpsError(
                f"{folder / DEVICES_FILE}: {device} has no model",
                'Write for each device path {"model": "a folder of MeterDriverConfigs/"}',
            )
        model = next(
            (
                each
                for each in (folder.parent / entry["model"], folder / entry["model"])
                if (each / "driver.json").is_file()
            ),
            None,
        )
        if model is None:
            raise OpsError(f"{folder / DEVICES_FILE}: there is no model {entry['model']!r}")
        for made in _device_entries(model, device, entry.get("driver_config") or {}):
            entries.setdefault(made.name, made)
    return list(entries.values())


def _device_entries(folder: Path, device: str, config: Mapping[str, Any]) -> list[ConfigStoreEntry]:
    driver = read_json_file(folder / "driver.json")
    registry = f"{folder.name}.csv"
    named = driver.get("registry_config")
    if named != f"config://{registry}":
        raise OpsError(
            f"{folder / 'driver.json'} names the registry {named!r}",
            f'Its registry.csv is stored as {registry}: write "registry_config": '
            f'"config://{registry}"',
        )
    driver["driver_config"] = {**driver["driver_config"], **config}
    try:
        points = (folder / "registry.csv").read_text()
    except OSError as error:
        raise OpsError(f"cannot read {folder / 'registry.csv'}: {error.strerror}") from None
    return [
        ConfigStoreEntry(DRIVER, registry, points, "csv"),
        ConfigStoreEntry(DRIVER, f"devices/{device}", json.dumps(driver, indent=2), "json"),
    ]
