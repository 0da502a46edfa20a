"""The points that a configuration names, looked up in the registries of their devices."""

from __future__ import annotations

from collections.abc import Mapping

from ops.check_config.checked_file import CheckedJsonFile
from ops.check_config.config_findings import ConfigFindings
from ops.check_config.registry_check import PointRegistry, RegistryPoint

Where = tuple[str | int, ...]
"""The keys that lead to a setting, from the top of the file."""


class NamedPoints:
    """Of one configuration file; what is wrong is said with the setting's line."""

    def __init__(
        self,
        file: CheckedJsonFile,
        devices: Mapping[str, PointRegistry],
        found: ConfigFindings,
    ) -> None:
        self._file = file
        self._devices = devices
        self._found = found

    def say(self, where: Where, what: str, remedy: str) -> None:
        self._found.add(self._file.path, self._file.line(*where), what, remedy)

    def registry(self, device: str) -> PointRegistry | None:
        return self._devices.get(device)

    def point(
        self, device: str, name: str | None, where: Where, say: bool = True
    ) -> RegistryPoint | None:
        """None where no point is named, its device is not known, or it is not there; the last is
        said."""
        registry = self._devices.get(device)
        if name is None or registry is None:
            return None
        point = registry.points.get(name)
        if point is None and say:
            near = ", ".join(sorted(registry.points)[:12])
            self.say(
                where,
                f"{where[-1]} {name!r} is no point of {registry.path}",
                f"Name one that is there ({near} …) or add it to the registry",
            )
        return point

    def number(self, device: str, name: str | None, where: Where) -> RegistryPoint | None:
        """As `point`; that it is no number is said too."""
        point = self.point(device, name, where)
        if point and point.kind in ("bool", "str"):
            self.say(
                where,
                f"{where[-1]} {name!r} is no number but {point.kind}",
                "Name a measured value",
            )
        return point
