"""The agent's configuration, with errors a site engineer can act on.

It comes from the config store entry `config` (the file `config` is its default); the environment
variables win over it. `AgentConfig.load` is the only way in, and `ConfigError` the only error that
comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from VenAgent.config.agent_config_blocks import AgentConfigBlocks
from VenAgent.config.circuit_config import CircuitConfig
from VenAgent.config.circuit_wiring_config import CircuitRestoreMode
from VenAgent.config.config_errors import ConfigError, explain_config_errors
from VenAgent.config.environment import config_with_environment
from VenAgent.config.measurement_units import measurement_unit_of
from VenAgent.config.site_config import SiteDeviceQuirksConfig, SiteVoltageConfig
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.companion_point import CompanionPoint
from VenAgent.dr.opt_schedule import OptSchedule
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitControl, PanelLimitScale
from VenAgent.dr.policy import SUPPORTED_FEATURES, EndurancePolicy, Policy, RotationPolicy
from VenAgent.dr.setpoint_control import SetpointControl
from VenAgent.dr.storage_control import StorageControl


class AgentConfig(AgentConfigBlocks):
    """Everything, and what the agent makes of it."""

    def on_platform(self, actuator_identity: str) -> AgentConfig:
        """With the platform's own actuator where the configuration names none."""
        if "actuator_identity" in self.model_fields_set:
            return self
        return self.model_copy(update={"actuator_identity": actuator_identity})

    @classmethod
    def load(cls, contents: Any, environment: Mapping[str, str]) -> AgentConfig:
        """The configuration in `contents` (config store entry) with `environment` over it.

        Raises ConfigError, which names every field that is wrong.
        """
        if not isinstance(contents, Mapping):
            raise ConfigError(
                "the configuration must be a JSON object with at least ven_id, panel and circuits"
            )
        try:
            return cls.model_validate(config_with_environment(contents, environment))
        except ValidationError as error:
            raise ConfigError(explain_config_errors(error)) from None

    def connection(self) -> tuple[Any, ...]:
        """What the connection depends on: a change of it makes a new one."""
        return (
            self.broker,
            self.ven_id,
            self.topic_names(),
            self.outbox,
            self.streams.shadow,
            self.bus_bridge.accepted(self.ven_id),
        )

    def command_limits(self) -> CommandLimits:
        return CommandLimits(
            max_shed_kw=self.panel.max_kw,
            min_duration_sec=self.event.min_duration_sec,
            max_duration_sec=self.event.max_duration_sec,
            max_age_sec=self.event.max_command_age_sec,
            max_ahead_sec=self.event.max_ahead_sec,
            clock_tolerance_sec=self.event.clock_tolerance_sec,
            require_issued_ts=self.event.require_issued_ts,
            supported=SUPPORTED_FEATURES,
        )

    def policy(self) -> Policy:
        return Policy(
            band=self.event.band,
            confirm_sec=self.event.confirm_sec,
            stale_after_sec=self.stale_after_sec,
            restore_stagger_sec=self.event.restore_stagger_sec,
            restore_within_sec=self.event.restore_within_sec,
            limit_ramp_sec=self.event.limit_ramp_sec,
            baseline_method=self.event.baseline_method,
            rebound_sec=self.event.rebound_sec,
            on_stop=self.event.on_stop,
            release_order=self.event.release_order,
            priority_order=self.event.priority_order,
            max_duration_sec=self.event.max_duration_sec,
            max_scheduled=self.event.max_scheduled,
            opt_schedule=OptSchedule(
                tuple(window.build() for window in self.opt_schedule), self.calendar.build()
            ),
        )

    def without_lease(self) -> tuple[str, ...]:
        """The devices that are written to and have no lease."""
        leased = {lease.device for lease in self.leases}
        written = {
            self.control_device_of(c)
            for c in self.circuits
            if c.control is not PanelCircuitControl.NONE
        }
        return tuple(device for device in self.devices() if device in written - leased)

    def quirks_of(self, device: str) -> SiteDeviceQuirksConfig:
        """What is odd about a device; nothing, if the configuration does not say."""
        known = next((quirks for quirks in self.quirks if quirks.device == device), None)
        return known or SiteDeviceQuirksConfig(device=device)

    def restore_mode(self, circuit: CircuitConfig, driver_type: str) -> CircuitRestoreMode:
        """How a circuit's control point goes back, of a device that this driver has."""
        if circuit.restore is not None:
            return circuit.restore
        return (
            CircuitRestoreMode.RELINQUISH
            if driver_type == "bacnet"
            else CircuitRestoreMode.PREVIOUS
        )

    def circuit_voltage(self, circuit: CircuitConfig) -> tuple[float, float]:
        """The voltage across a circuit's load, and its phase factor (see `SitePanelConfig`)."""
        panel = self.panel
        if circuit.phases is not None:
            return self.line_voltage, float(circuit.phases)
        factor = math.sqrt(3.0) if circuit.poles == 3 else 1.0
        if circuit.voltage is not None:
            return circuit.voltage, factor
        if panel.phases == 1:
            return panel.voltage, 1.0
        between_lines = panel.voltage_between is SiteVoltageConfig.LINES
        lines = panel.voltage if between_lines else panel.voltage * math.sqrt(3.0)
        return (lines / math.sqrt(3.0) if circuit.poles == 1 else lines), factor

    @property
    def line_voltage(self) -> float:
        """Between a line and neutral."""
        panel = self.panel
        between_lines = panel.voltage_between is SiteVoltageConfig.LINES
        is_three = panel.phases == 3
        return panel.voltage / math.sqrt(3.0) if is_three and between_lines else panel.voltage

    def rating_kw(self, circuit: CircuitConfig) -> float:
        """What its breaker carries."""
        voltage, factor = self.circuit_voltage(circuit)
        return circuit.breaker_amps * voltage * factor / 1000.0

    def build_panel(self) -> Panel:
        """The panel as the core knows it; a circuit's `point` is its topic at the actuator."""
        return Panel(
            amperage=self.panel.amperage,
            voltage=self.panel.voltage,
            circuits=tuple(self._build_circuit(circuit) for circuit in self.circuits),
            phase_factor=self.panel.phase_factor,
            measured_by=self.measured_by(),
        )

    def measured_by(self) -> str:
        """What the panel's power is read from: VEN, device, points and scale. Histories belong to
        it: after a change of it what was read before is another thing. In which order a sum is
        written changes nothing."""
        panel = self.panel
        if panel.power_points:
            read = [self._read_as(panel.device, n, panel.power_scale) for n in panel.power_points]
        else:
            read = [self._circuit_measured_by(circuit) for circuit in self.circuits]
        return " ".join([self.ven_id, *sorted(filter(None, read))])

    def _circuit_measured_by(self, circuit: CircuitConfig) -> str:
        """As `measured_by`, of one circuit; empty without a meter and a nominal power."""
        device, scale = self.device_of(circuit), circuit.power_scale
        if circuit.power_points:
            return " ".join(sorted(self._read_as(device, n, scale) for n in circuit.power_points))
        if circuit.nominal_kw is None:
            return ""
        switch = self._topic(circuit, circuit.switch_point)
        seen = "" if switch is None else f" while {'not ' * circuit.switch_inverted}{switch}"
        return f"{circuit.id}={circuit.nominal_kw:g}{seen}"

    def _read_as(self, device: str, name: str, power_scale: float) -> str:
        """A point with all that makes kW of what it holds."""
        factor = self.quirks_of(device).scale_points.get(name)
        quirk = "" if factor is None else f"*{factor}"
        return f"{device}/{name}*{power_scale:g}{quirk}"

    def limit_scale(self, circuit: CircuitConfig) -> PanelLimitScale | None:
        """What its limit register means; None if it is not shed by a limit."""
        if circuit.control is not PanelCircuitControl.LIMIT:
            return None
        voltage, phase_factor = self.circuit_voltage(circuit)
        return PanelLimitScale(
            unit=circuit.limit_unit,
            full_scale_kw=circuit.limit_full_scale_kw or self.rating_kw(circuit),
            voltage=voltage,
            step=circuit.limit_step,
            phase_factor=phase_factor,
            lowest=circuit.lowest_limit,
            unlimited=self._unlimited(circuit),
        )

    def _build_circuit(self, circuit: CircuitConfig) -> PanelCircuit:
        voltage, phase_factor = self.circuit_voltage(circuit)
        return PanelCircuit(
            id=circuit.id,
            name=circuit.name,
            type=circuit.type,
            breaker_amps=circuit.breaker_amps,
            voltage=voltage,
            phase_factor=phase_factor,
            priority=circuit.priority,
            critical=circuit.critical,
            control=circuit.control,
            limit=self.limit_scale(circuit),
            floor=circuit.floor,
            point=self.control_point_of(circuit),
            measured_by=self._circuit_measured_by(circuit),
            switch_point=self._topic(circuit, circuit.switch_point),
            inverted=circuit.switch_inverted,
            endurance=EndurancePolicy(
                min_off_sec=circuit.min_off_sec,
                min_on_sec=circuit.min_on_sec,
                max_sheds_per_day=circuit.max_sheds_per_day or math.inf,
            ),
            generates=circuit.generates,
            companion=self.companion_of(circuit),
            renew_sec=self.quirks_of(self.control_device_of(circuit)).renew_sec,
            shown_after_sec=self.quirks_of(self.control_device_of(circuit)).settle_sec,
            setpoint=_setpoint(circuit),
            storage=_storage(circuit, voltage * phase_factor / 1000.0),
            guard=_guard(circuit),
            rotation=None
            if circuit.rotation_sec is None
            else RotationPolicy(circuit.rotation_group or circuit.type, circuit.rotation_sec),
        )

    def _unlimited(self, circuit: CircuitConfig) -> tuple[float, ...]:
        """What stands in its limit register when there is no limit, as it is read: in the unit of
        `scale_points`; where a register holds the power of ten, in each that there is of percent,
        amps and kW."""
        quirks = self.quirks_of(self.control_device_of(circuit))
        factor = quirks.scale_points.get(circuit.limit_point or "", 1.0)
        units = [10.0**n for n in range(-4, 1)] if isinstance(factor, str) else [factor]
        scaled = (round(v * unit, 9) for v in circuit.limit_unlimited for unit in units)
        return tuple(dict.fromkeys(scaled))

    def companion_of(self, circuit: CircuitConfig) -> CompanionPoint | None:
        """What is written with its register, if anything is."""
        if circuit.pause_point is not None:
            values = circuit.pause_value, circuit.resume_value
            return CompanionPoint(self._topic(circuit, circuit.pause_point), *values, pauses=True)
        if circuit.mode_point is not None:
            values = circuit.mode_value, circuit.mode_release_value
            return CompanionPoint(self._topic(circuit, circuit.mode_point), *values, pauses=False)
        return None

    def control_point_of(self, circuit: CircuitConfig) -> str:
        """The topic of the point that sheds it."""
        point = circuit.control_point or circuit.switch_point  # read, where nothing is written
        return self._topic(circuit, point)


def _setpoint(circuit: CircuitConfig) -> SetpointControl | None:
    low, high = circuit.setpoint_minimum, circuit.setpoint_maximum
    if circuit.control is not PanelCircuitControl.SETPOINT or low is None or high is None:
        return None
    offset = circuit.setpoint_offset
    rises = circuit.setpoint_direction == "up" if offset is None else offset > 0.0
    return SetpointControl(
        minimum=low,
        maximum=high,
        rises=rises,
        offset=offset,
        value=circuit.setpoint_value,
        raise_value=circuit.setpoint_raise_value,
        step=circuit.setpoint_step,
        settle_sec=circuit.settle_sec,
        configured_kw=circuit.shed_kw,
    )


def _storage(circuit: CircuitConfig, kw_per_amp: float) -> StorageControl | None:
    most_kw, capacity_kwh = circuit.max_discharge_kw, circuit.capacity_kwh
    is_power = circuit.control is PanelCircuitControl.POWER
    if not is_power or most_kw is None or capacity_kwh is None:
        return None
    unit_kw = kw_per_amp if circuit.power_setpoint_unit == "amps" else 1.0
    return StorageControl(
        most_discharge_kw=most_kw,
        most_charge_kw=most_kw if circuit.max_charge_kw is None else circuit.max_charge_kw,
        capacity_kwh=capacity_kwh,
        reserve_soc_percent=circuit.reserve_soc_percent,
        round_trip_efficiency=circuit.round_trip_efficiency,
        most_soc_percent=circuit.max_soc_percent,
        kw_per_value=circuit.power_setpoint_scale * unit_kw,
        step=circuit.power_setpoint_step,
    )


def _guard(circuit: CircuitConfig) -> ComfortGuard | None:
    if circuit.guard_point is None:
        return None
    low, high = circuit.guard_minimum, circuit.guard_maximum
    return ComfortGuard(
        minimum=-math.inf if low is None else low,
        maximum=math.inf if high is None else high,
        margin=circuit.guard_margin,
        unit=measurement_unit_of(circuit.guard_unit) or circuit.guard_unit,
        frozen_sec=circuit.guard_frozen_sec or math.inf,
    )
