"""Checks what an event writes to: that it is there, takes it, and goes back."""

from __future__ import annotations

from ops.check_config.named_points import NamedPoints, Where
from ops.check_config.registry_check import RegistryPoint
from VenAgent.config import AgentConfig
from VenAgent.config.circuit_config import CircuitConfig
from VenAgent.config.circuit_wiring_config import CircuitRestoreMode


class WrittenPointsCheck:
    """Of one configuration: control points, those written beside them, leases, and the registers
    that scale what is written."""

    def __init__(self, config: AgentConfig, points: NamedPoints) -> None:
        self._config = config
        self._points = points

    def run(self) -> None:
        for index, circuit in enumerate(self._config.circuits):
            where = ("circuits", index)
            device = self._config.control_device_of(circuit)
            self._control(circuit, device, where)
            self._beside(circuit, device, where)
            self._lowest_limit(circuit, device, where)
            self._raised_setpoint(circuit, where)
        for index, lease in enumerate(self._config.leases):
            for key in ("heartbeat_point", "timeout_point"):
                self._writable(
                    lease.device, getattr(lease, key), ("leases", index, key), "by the lease"
                )
        self._scales()

    def _writable(self, device: str, name: str | None, where: Where, when: str) -> None:
        """That a point is there and has Writable TRUE."""
        self._takes_writes(self._points.point(device, name, where), device, name, where, when)

    def _takes_writes(
        self, point: RegistryPoint | None, device: str, name: str | None, where: Where, when: str
    ) -> None:
        registry = self._points.registry(device)
        if point is not None and registry is not None and not point.writable:
            self._points.say(
                where,
                f"{where[-1]} {name!r} is written {when}, but the registry has Writable FALSE",
                f"Set Writable TRUE in line {point.line} of {registry.path}",
            )

    def _control(self, circuit: CircuitConfig, device: str, where: Where) -> None:
        name, registry = circuit.control_point, self._points.registry(device)
        if name is None or registry is None:
            return
        control = circuit.control.value
        key = "power_setpoint_point" if control == "power" else f"{control}_point"
        point = self._points.point(device, name, (*where, key), say=False)
        if point is None:
            return
        self._takes_writes(point, device, name, (*where, key), "in an event")
        restore = self._config.restore_mode(circuit, registry.driver_type)
        is_reverted = (
            registry.driver_type != "bacnet" and restore is not CircuitRestoreMode.PREVIOUS
        )
        if is_reverted and not point.has_default:
            self._points.say(
                (*where, "restore"),
                f"restore {restore.value!r} reverts {name!r} to its Default Value, and the "
                "registry names none: a driver that restarts in an event would revert it to what "
                "was shed",
                f"Write a Default Value in line {point.line} of {registry.path}, or set "
                '"restore": "previous"',
            )

    def _beside(self, circuit: CircuitConfig, device: str, where: Where) -> None:
        """What is written, or read, beside the control point."""
        when = "in an event"
        self._writable(device, circuit.pause_point, (*where, "pause_point"), when)
        self._writable(device, circuit.mode_point, (*where, "mode_point"), when)
        self._points.number(device, circuit.phases_point, (*where, "phases_point"))
        if circuit.control.value != "switch":
            switch = self._points.point(device, circuit.switch_point, where, say=False)
            self._takes_writes(
                switch,
                device,
                circuit.switch_point,
                (*where, "switch_point"),
                "by setLoad and the page's switch",
            )

    def _lowest_limit(self, circuit: CircuitConfig, device: str, where: Where) -> None:
        limit = self._points.point(device, circuit.limit_point, where, say=False)
        lowest = circuit.lowest_limit
        if limit is not None and limit.kind == "int" and lowest != int(lowest):
            key = "limit_lowest" if circuit.minimum_amps is None else "minimum_amps"
            self._points.say(
                (*where, key),
                f"{key} {lowest:g} needs fractions, but {circuit.limit_point!r} is an integer "
                "register, which VOLTTRON cannot write so",
                f"Set {key} to a whole number",
            )

    def _raised_setpoint(self, circuit: CircuitConfig, where: Where) -> None:
        """Beside an offset: what is to draw more must not be where the offset sheds to."""
        raised, offset = circuit.setpoint_raise_value, circuit.setpoint_offset
        low, high = circuit.setpoint_minimum, circuit.setpoint_maximum
        if raised is None or offset is None or low is None or high is None:
            return
        if raised > high - offset if offset > 0.0 else raised < low - offset:
            side = "below" if offset > 0.0 else "above"
            self._points.say(
                (*where, "setpoint_raise_value"),
                f"setpoint_raise_value {raised:g} is where setpoint_offset {offset:g} sheds to: "
                "more is drawn on the other side",
                f"Give a value {side} the usual setpoint, or leave it out: it is then moved by the "
                "offset, the other way",
            )

    def _scales(self) -> None:
        for index, quirks in enumerate(self._config.quirks):
            for name, factor in quirks.scale_points.items():
                where = ("quirks", index, "scale_points")
                self._points.point(quirks.device, name, where)
                if isinstance(factor, str):
                    self._points.number(quirks.device, factor, where)
