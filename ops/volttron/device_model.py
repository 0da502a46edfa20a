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
from VenAgent.config.driver_entry import driver_entry_block

MODELS = Path(__file__).resolve().parents[2] / "MeterDriverConfigs"
DEVICES_FILE = "devices.json"
"""A site of several devices: `{device path: {"model": folder, "driver_config": {…}}}`."""
_HOW_DEVICES_ARE_NAMED = (
    'Write for each device path {"model": "a folder of MeterDriverConfigs/"}, and a '
    '"driver_config" with what replaces the model\'s.'
)


def device_model_folder(paths: Paths, devices: str) -> Path:
    """The folder of a device model: one of MeterDriverConfigs/, or a path."""
    ours = paths.repo / "MeterDriverConfigs"
    for folder in (ours / devices, Path(devices)):
        if (folder / "driver.json").is_file() or (folder / DEVICES_FILE).is_file():
            return folder.absolute()
    files = [*ours.glob("*/driver.json"), *ours.glob(f"*/{DEVICES_FILE}")]
    known = ", ".join(sorted(path.parent.name for path in files))
    raise OpsError(
        f"there is no device model {devices!r} (a folder with a driver.json or {DEVICES_FILE})",
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
    _check_device_path(device)
    return _device_entries(folder, device, {} if port is None else {"port": port})


def _site_entries(folder: Path) -> list[ConfigStoreEntry]:
    """All devices of a site; a model's registry once."""
    file = folder / DEVICES_FILE
    devices = read_json_file(file)
    if not devices:
        raise OpsError(f"{file} names no device", _HOW_DEVICES_ARE_NAMED)
    entries: dict[str, ConfigStoreEntry] = {}
    for device, entry in devices.items():
        _check_device_path(device, f"{file}: ")
        if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
            raise OpsError(f"{file}: {device} has no model", _HOW_DEVICES_ARE_NAMED)
        unknown = sorted(set(entry) - {"model", "driver_config"})
        changed = entry.get("driver_config", {})
        if unknown or not isinstance(changed, dict):
            wrong = f"has no field {unknown[0]!r}" if unknown else "'driver_config' is no object"
            raise OpsError(f"{file}: {device}: {wrong}", _HOW_DEVICES_ARE_NAMED)
        model = _model_of_site(folder, entry["model"])
        if model is None:
            raise OpsError(f"{file}: there is no model {entry['model']!r}")
        for made in _device_entries(model, device, changed):
            if entries.setdefault(made.name, made) != made:
                raise OpsError(
                    f"{file}: two models have registries of the name {made.name}, and they differ",
                    "A registry is stored under its folder's name: rename one of the folders.",
                )
    return list(entries.values())


def _model_of_site(folder: Path, name: str) -> Path | None:
    """As check-config finds it: of MeterDriverConfigs/, beside the site's folder, or in it."""
    for models in (MODELS, folder.parent, folder):
        if name and (models / name / "driver.json").is_file():
            return models / name
    return None


def _check_device_path(device: str, where: str = "") -> None:
    parts = device.split("/")
    if parts[0] == "devices" or not all(parts) or device != device.strip():
        raise OpsError(f"{where}{device!r} is no device path", "Write it like site/building/panel.")


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
    block = driver_entry_block(driver)
    if not isinstance(driver.get(block), dict):
        raise OpsError(
            f"{folder / 'driver.json'} has no {block}",
            f'It says how the device is reached: "{block}": {{"device_address": …}}',
        )
    driver[block] = {**driver[block], **config}
    try:
        points = (folder / "registry.csv").read_text()
    except OSError as error:
        raise OpsError(f"cannot read {folder / 'registry.csv'}: {error.strerror}") from None
    return [
        ConfigStoreEntry(DRIVER, registry, points, "csv"),
        ConfigStoreEntry(DRIVER, f"devices/{device}", json.dumps(driver, indent=2), "json"),
    ]
