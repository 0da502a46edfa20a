"""`check-config`: device models, and a site's own files, before VOLTTRON sees them.

What belongs together is known by what is in the files: an agent's configuration has `circuits`, a
driver's has `driver_type` (or a `remote_config` with it), a list of devices has a `model` for each,
and a registry is a CSV, or a JSON list of rows, that a driver's `registry_config` names. One driver
alone is the panel's; several need a devices.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.check_config.agent_config_check import check_agent_config
from ops.check_config.checked_file import CheckedJsonFile, read_checked_json_file
from ops.check_config.config_findings import ConfigFindings
from ops.check_config.gateway_check import PLATFORM_DRIVER_SETTINGS, check_gateways
from ops.check_config.pace_check import check_device_pace
from ops.check_config.registry_check import (
    COLUMNS,
    DEFAULT_MIN_PRIORITY,
    MAX_INSTANCE,
    PointRegistry,
    check_point_registry,
    registry_driver_type,
)
from ops.host.paths import Paths
from ops.services import simulated_panel_service as panel
from ops.volttron.device_model import DEVICES_FILE
from VenAgent.config.driver_entry import (
    REMOTE_BLOCK,
    driver_entry_block,
    driver_entry_interval,
    driver_entry_setting,
    driver_entry_type,
)

README = "README.md"
DRIVER_ENTRY_KEYS = frozenset(("driver_type", "registry_config", "driver_config", REMOTE_BLOCK))
"""By which a device's entry of the platform driver is known."""


@dataclass
class _Given:
    """The files to check, by what they are."""

    agents: list[CheckedJsonFile] = field(default_factory=list)
    drivers: list[CheckedJsonFile] = field(default_factory=list)
    sites: list[CheckedJsonFile] = field(default_factory=list)
    registries: list[Path] = field(default_factory=list)
    platform_drivers: list[CheckedJsonFile] = field(default_factory=list)
    """The platform driver's own `config`."""


def check_config_files(paths: Paths, names: Sequence[str]) -> tuple[ConfigFindings, list[str]]:
    """What is wrong with the files and folders named (all device models if none), and all that
    was checked."""
    found = ConfigFindings()
    models = paths.repo / "MeterDriverConfigs"
    if not names:
        folders = sorted(path for path in models.iterdir() if path.is_dir())
        for folder in folders:
            _check_folder(models, folder, found)
        return found, [str(folder) for folder in folders]
    given = _Given()
    for name in names:
        path = Path(name)
        if not path.exists() and (models / name).is_dir():
            path = models / name
        if path.is_dir():
            _check_folder(models, path, found)
        else:
            _sort(path, given, found)
    _check_files(models, given, found)
    return found, list(names)


def _check_folder(models: Path, folder: Path, found: ConfigFindings) -> None:
    """A device model, or a site of several devices."""
    given = _Given()
    for name in ("driver.json", DEVICES_FILE, "agent.json"):
        if (folder / name).exists():
            _sort(folder / name, given, found)
    if folder == models / panel.FOLDER:  # its agent configuration is the repository's default
        _sort(models.parent / "config", given, found)
    if not given.drivers and not given.sites:
        found.add(
            folder,
            None,
            f"neither driver.json nor {DEVICES_FILE}",
            "A device model has the first, a site of several devices the second",
        )
        return
    if folder.parent == models and not (folder / README).is_file():
        found.add(folder, None, f"no {README}", "Name the vendor document it was made from")
    if given.drivers:
        given.registries.append(folder / "registry.csv")
    _check_files(models, given, found)


def _sort(path: Path, given: _Given, found: ConfigFindings) -> None:
    if path.name == README:  # of `check-config mysite/*`
        return
    if path.suffix.lower() == ".csv" or _is_json_list(path):
        given.registries.append(path)
        return
    file = read_checked_json_file(path, found)
    if file is None:
        return
    values = list(file.contents.values())
    if DRIVER_ENTRY_KEYS & set(file.contents):
        given.drivers.append(file)
    elif "circuits" in file.contents or "panel" in file.contents:
        given.agents.append(file)
    elif PLATFORM_DRIVER_SETTINGS & set(file.contents):
        given.platform_drivers.append(file)
    elif values and all(isinstance(value, dict) and "model" in value for value in values):
        given.sites.append(file)
    else:
        found.add(
            path,
            1,
            "neither a driver's nor an agent's configuration",
            'A driver\'s has "driver_type", an agent\'s "panel" and "circuits"',
        )


def _is_json_list(path: Path) -> bool:
    """Whether it is a registry as a JSON list of rows."""
    try:
        return path.suffix.lower() == ".json" and path.read_text("utf-8-sig").lstrip()[:1] == "["
    except (OSError, UnicodeDecodeError):
        return False


def _check_files(models: Path, given: _Given, found: ConfigFindings) -> None:
    devices: dict[str, PointRegistry] = {}
    unused = list(given.registries)
    registries = []
    for driver in given.drivers:
        registry = _check_driver(driver, unused, found)
        if registry:
            registries.append(registry)
    drivers = _check_gateways(models, given, found)
    for path in unused:
        registry = check_point_registry(path, registry_driver_type(path), found)
        if registry:
            registries.append(registry)
    for site in given.sites:
        devices.update(_check_site(models, site, found))
    if len(registries) == 1 and not given.sites:
        for agent in given.agents:
            block = agent.contents.get("panel")
            if isinstance(block, dict):
                devices[str(block.get("device"))] = registries[0]
    elif len(registries) > 1 and given.agents and not given.sites:
        found.add(
            given.agents[0].path,
            None,
            "there are several devices, so its points were not checked",
            f"Say which is which in a {DEVICES_FILE} (docs/devices.md), and check that too",
        )
    for agent in given.agents:
        check_agent_config(agent, devices, found)
        block = agent.contents.get("panel")
        if len(given.drivers) == 1 and not given.sites and isinstance(block, dict):
            drivers = {str(block.get("device")): given.drivers[0].contents}
        check_device_pace(agent, drivers, found)


def _check_gateways(
    models: Path, given: _Given, found: ConfigFindings
) -> dict[str, dict[str, Any]]:
    """What shares a host and port, among the devices of all files; the driver's entry of each."""
    where: dict[str, tuple[CheckedJsonFile, int | None]] = {}
    drivers: dict[str, dict[str, Any]] = {}
    for file in given.drivers:
        name = str(file.path)
        where[name] = file, file.line(driver_entry_block(file.contents), "device_address")
        drivers[name] = file.contents
    for site in given.sites:
        for device, entry in site.contents.items():
            folder = _model_folder(models, site, entry)
            model = (
                None
                if folder is None
                else read_checked_json_file(folder / "driver.json", ConfigFindings())
            )
            if model is None:
                continue
            changed = entry.get("driver_config")
            block = driver_entry_block(model.contents)
            inner = {
                **(model.contents.get(block) or {}),
                **(changed if isinstance(changed, dict) else {}),
            }
            where[device] = site, site.line(device, "driver_config")
            drivers[device] = {**model.contents, block: inner}
    check_gateways(where, drivers, given.platform_drivers, found)
    return drivers


def _model_folder(models: Path, site: CheckedJsonFile, entry: dict[str, Any]) -> Path | None:
    """The device model that an entry of a devices.json names."""
    named = str(entry["model"])
    folders = (models / named, site.path.parent.parent / named, site.path.parent / named)
    return next((folder for folder in folders if (folder / "driver.json").is_file()), None)


def _check_site(
    models: Path, site: CheckedJsonFile, found: ConfigFindings
) -> dict[str, PointRegistry]:
    """The registry of each device of a devices.json."""
    devices = {}
    for path, entry in site.contents.items():
        folder = _model_folder(models, site, entry)
        if folder is None:
            known = ", ".join(sorted(each.parent.name for each in models.glob("*/driver.json")))
            found.add(
                site.path,
                site.line(path, "model"),
                f"there is no model {entry['model']!r}",
                f"Name a folder with a driver.json: {known}",
            )
            continue
        if not isinstance(entry.get("driver_config", {}), dict):
            found.add(
                site.path,
                site.line(path, "driver_config"),
                "driver_config is no object",
                "Write what replaces the model's fields as { … }",
            )
        if path.startswith("devices/") or not all(path.split("/")):
            found.add(
                site.path,
                site.line(path),
                f"{path!r} is no device path",
                "Write it like site/building/panel",
            )
        unknown = sorted(set(entry) - {"model", "driver_config"})
        if unknown:
            found.add(
                site.path,
                site.line(path, unknown[0]),
                f"{unknown[0]!r} is not understood here",
                'A device has a "model", and a "driver_config" that replaces the model\'s fields',
            )
        driver = read_checked_json_file(folder / "driver.json", found)
        registry = _check_driver(driver, [folder / "registry.csv"], found) if driver else None
        if registry:
            devices[path] = registry
    return devices


# --- the driver's configuration ----------------------------------------------------------------


def _check_driver(
    file: CheckedJsonFile, unused: list[Path], found: ConfigFindings
) -> PointRegistry | None:
    """Check it and the registry it names, which is taken from `unused`."""
    driver = file.contents
    block = driver_entry_block(driver)
    kind: str | None = driver_entry_type(driver)
    if kind not in COLUMNS:
        found.add(
            file.path,
            file.line("driver_type"),
            f"driver_type {driver_entry_setting(driver, 'driver_type')!r} is unknown",
            f"VOLTTRON has {', '.join(COLUMNS)}",
        )
        kind = None
    config = driver.get(block)
    if not isinstance(config, dict):
        found.add(
            file.path,
            file.line(block),
            f"{block} is no JSON object",
            f'Write "{block}": {{"device_address": …}}',
        )
        config = {}
    if kind in ("modbus", "bacnet"):
        _check_connection(file, str(kind), block, config, found)
    interval = driver_entry_interval(driver)
    if isinstance(interval, bool) or not isinstance(interval, (int, float)) or interval <= 0:
        found.add(
            file.path,
            file.line("interval" if "interval" in driver else "polling_interval"),
            f"interval is {interval!r}",
            "Write the seconds between two readings: 5",
        )
    if driver.get("active") is False:
        found.add(
            file.path,
            file.line("active"),
            "active is false: driver 2 does not read this device",
            "Remove it, or write true",
        )
    path = _registry_of(file, unused, found)
    if path is None:
        return None
    priority = config.get("min_priority", DEFAULT_MIN_PRIORITY)
    registry = check_point_registry(
        path,
        str(kind or registry_driver_type(path)),
        found,
        priority if isinstance(priority, int) else DEFAULT_MIN_PRIORITY,
    )
    beat = driver_entry_setting(driver, "heart_beat_point")
    if registry and beat and not (beat in registry.points and registry.points[beat].writable):
        found.add(
            file.path,
            file.line("heart_beat_point"),
            f"heart_beat_point {beat!r} is no writable point of {path}",
            "Name one that is, or remove it",
        )
    return registry


def _check_connection(
    file: CheckedJsonFile, kind: str, block: str, config: dict[str, Any], found: ConfigFindings
) -> None:
    def wrong(key: str, remedy: str) -> None:
        what = f"{key} is {config[key]!r}" if key in config else f"{key} is missing"
        found.add(file.path, file.line(block, key), what, remedy)

    def whole(key: str, low: int, high: int) -> bool:
        value = config.get(key)
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    address = config.get("device_address")
    if not isinstance(address, str) or not address.strip():
        wrong("device_address", "Write the device's IP address")
    if kind == "bacnet" and not whole("device_id", 0, MAX_INSTANCE):
        wrong("device_id", f"Write the BACnet device's instance, 0 to {MAX_INSTANCE}")
    if kind == "modbus" and "port" in config and not whole("port", 1, 65_535):
        wrong("port", "Write the TCP port: 502")
    if kind == "modbus" and "slave_id" in config and not whole("slave_id", 0, 255):
        wrong("slave_id", "Write the Modbus unit, 1 to 247 (0 or 255 for a device without)")


def _registry_of(file: CheckedJsonFile, unused: list[Path], found: ConfigFindings) -> Path | None:
    named = file.contents.get("registry_config")
    line = file.line("registry_config")
    if not isinstance(named, str) or not named.startswith("config://"):
        found.add(
            file.path,
            line,
            f"registry_config is {named!r}",
            'Write "config://NAME.csv", the registry\'s name in the config store',
        )
        return None
    name = named.removeprefix("config://")
    for path in unused:
        if name in (path.name, f"{path.parent.name}.csv"):
            unused.remove(path)
            return path
    if (file.path.parent / "registry.csv") in unused:
        found.add(
            file.path,
            line,
            f"it names the registry {name}",
            f"Its registry.csv is stored as {file.path.parent.name}.csv: name that",
        )
        unused.remove(file.path.parent / "registry.csv")
        return file.path.parent / "registry.csv"
    folder = file.path.parent
    for beside in (folder / name, folder / "registry.csv"):
        if beside.is_file() and (beside.name == name or f"{folder.name}.csv" == name):
            return beside
    found.add(
        file.path,
        line,
        f"the registry {name} is not among the files",
        "Give that file too, or put it beside this one",
    )
    return None
