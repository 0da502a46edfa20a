"""What the agent's configuration consists of, and what in it contradicts itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from VenAgent.config.bus_bridge_config import BusBridgeConfig
from VenAgent.config.circuit_config import CircuitConfig
from VenAgent.config.cloud_config import (
    CloudBrokerConfig,
    CloudOutboxConfig,
    CloudStreamsConfig,
    CloudTopicsConfig,
)
from VenAgent.config.config_block import (
    ConfigBlock,
    Name,
    NotBoolean,
    Positive,
    ThingName,
)
from VenAgent.config.site_config import (
    SiteCalendarConfig,
    SiteDeviceQuirksConfig,
    SiteEventConfig,
    SiteLeaseConfig,
    SiteOptWindow,
    SitePanelConfig,
)
from VenAgent.config.web_config import WebConfig
from VenAgent.contract.topics import Topics
from VenAgent.dr.panel import PanelCircuitControl


class AgentConfigBlocks(ConfigBlock):
    """Its blocks, as a person writes them; intervals in seconds."""

    ven_id: ThingName
    """The AWS IoT thing name."""
    report_interval_sec: Annotated[
        float, Field(allow_inf_nan=False, ge=0.5, le=3600), NotBoolean
    ] = 5.0
    loads_every: Annotated[int, Field(ge=1), NotBoolean] = 6
    """The loads snapshot goes with every so many telemetries."""
    shadow_interval_sec: Annotated[
        float, Field(allow_inf_nan=False, ge=1, le=86_400), NotBoolean
    ] = 30.0
    stale_after_sec: Positive = 30.0
    """A reading older than this is stale: set it to a few intervals of the driver."""
    broker: CloudBrokerConfig = CloudBrokerConfig()
    outbox: CloudOutboxConfig = CloudOutboxConfig()
    topics: CloudTopicsConfig = CloudTopicsConfig()
    streams: CloudStreamsConfig = CloudStreamsConfig()
    calendar: SiteCalendarConfig = SiteCalendarConfig()
    panel: SitePanelConfig
    circuits: Annotated[tuple[CircuitConfig, ...], Field(min_length=1)]
    event: SiteEventConfig = SiteEventConfig()
    opt_schedule: tuple[SiteOptWindow, ...] = ()
    """Times in which the site does not take part in events; limits hold all the same."""
    web: WebConfig = WebConfig()
    bus_bridge: BusBridgeConfig = BusBridgeConfig()
    leases: tuple[SiteLeaseConfig, ...] = ()
    """A device without one is put back only by this agent, at its next start at the latest."""
    quirks: tuple[SiteDeviceQuirksConfig, ...] = ()
    """What is odd about a device; it stands with the device's model, to be copied here."""
    driver_identity: Name = "platform.driver"
    actuator_identity: Name = "platform.actuator"
    """Who reserves the devices. Where none is named it is, on VOLTTRON 11, the driver itself."""

    def topic_names(self) -> Topics:
        return Topics.for_ven(self.ven_id, **self.topics.model_dump())

    def device_of(self, circuit: CircuitConfig) -> str:
        return circuit.device or self.panel.device

    def control_device_of(self, circuit: CircuitConfig) -> str:
        return circuit.control_device or self.device_of(circuit)

    def soc_device_of(self, circuit: CircuitConfig) -> str:
        return circuit.soc_device or self.device_of(circuit)

    def guard_device_of(self, circuit: CircuitConfig) -> str:
        return circuit.guard_device or self.device_of(circuit)

    def devices(self) -> tuple[str, ...]:
        """All devices of the panel, the panel's own first."""
        paths = [self.panel.device]
        for circuit in self.circuits:
            paths += [self.device_of(circuit), self.control_device_of(circuit)]
            paths += [self.guard_device_of(circuit)] if circuit.guard_point else []
            paths += [self.soc_device_of(circuit)] if circuit.soc_point else []
        return tuple(dict.fromkeys(paths))

    def _topic(self, circuit: CircuitConfig, point: str | None) -> str:
        """A point's topic at the actuator."""
        return f"{self.control_device_of(circuit)}/{point}" if point else ""

    @model_validator(mode="after")
    def _distinct_circuits(self) -> AgentConfigBlocks:
        seen: set[str] = set()
        for circuit in self.circuits:
            if circuit.id in seen:
                raise ValueError(f"circuit id {circuit.id!r} stands twice: give each its own")
            seen.add(circuit.id)
        return self

    @model_validator(mode="after")
    def _distinct_points(self) -> AgentConfigBlocks:
        """A point that two circuits share would shed both, the other one's protection or not."""
        owners: dict[str, str] = {}
        for circuit in self.circuits:
            for name in circuit.points_of_control:
                owner = owners.setdefault(self._topic(circuit, name), circuit.id)
                if owner != circuit.id:
                    raise ValueError(
                        f"circuits {owner!r} and {circuit.id!r} are both controlled by "
                        f"{self._topic(circuit, name)}: correct the name, or make them one circuit"
                    )
        return self

    @model_validator(mode="after")
    def _power_counted_once(self) -> AgentConfigBlocks:
        """Where the site's power is the sum of its circuits."""
        owners: dict[str, str] = {}
        for circuit in self.circuits if not self.panel.power_points else ():
            for name in circuit.power_points:
                topic = f"{self.device_of(circuit)}/{name}"
                owner = owners.setdefault(topic, circuit.id)
                if owner != circuit.id:
                    raise ValueError(
                        f"circuits {owner!r} and {circuit.id!r} are both measured by {topic}, "
                        "which would count twice in the site's power: correct the name, make them "
                        "one circuit, or give the panel a power_point"
                    )
        return self

    @model_validator(mode="after")
    def _bridge_keeps_off(self) -> AgentConfigBlocks:
        """What the bridge accepts must not take commands or answers for messages of the bus."""
        for prefix in self.bus_bridge.accepted(self.ven_id):
            for topic in vars(self.topic_names()).values():
                if f"{topic}/".startswith(f"{prefix}/") or f"{prefix}/".startswith(f"{topic}/"):
                    raise ValueError(f"bus_bridge.accept: {prefix!r} covers our own topic {topic}")
        return self

    @model_validator(mode="after")
    def _leases_of_known_devices(self) -> AgentConfigBlocks:
        for lease in self.leases:
            if lease.device not in self.devices():
                raise ValueError(
                    f"leases: {lease.device} is no device of this panel: "
                    f"use one of {', '.join(self.devices())}"
                )
        leased = [lease.device for lease in self.leases]
        written = {
            self._topic(c, name): c.id for c in self.circuits for name in c.points_of_control
        }
        for lease in self.leases:
            if leased.count(lease.device) > 1:
                raise ValueError(f"leases: {lease.device} stands twice: make it one lease")
            for name in (lease.heartbeat_point, lease.timeout_point):
                if (owner := written.get(f"{lease.device}/{name}")) is not None:
                    raise ValueError(
                        f"leases: {name} of {lease.device} sheds circuit {owner!r}: name the "
                        "register that the lease writes to"
                    )
        return self

    @model_validator(mode="after")
    def _quirks_of_known_devices(self) -> AgentConfigBlocks:
        named = [quirks.device for quirks in self.quirks]
        for device in named:
            if device not in self.devices():
                raise ValueError(
                    f"quirks: {device} is no device of this panel: "
                    f"use one of {', '.join(self.devices())}"
                )
            if named.count(device) > 1:
                raise ValueError(f"quirks: {device} stands twice: make it one block")
        return self

    @model_validator(mode="after")
    def _poles_of_three_phases(self) -> AgentConfigBlocks:
        if self.panel.phases == 3:
            for circuit in self.circuits:
                if circuit.poles is None and circuit.voltage is None and circuit.phases is None:
                    raise ValueError(
                        f"circuit {circuit.id!r}: on a three-phase panel give its poles (1, 2 "
                        f"or 3), or the voltage across it"
                    )
        return self

    @model_validator(mode="after")
    def _unmetered_setpoints_behind_a_meter(self) -> AgentConfigBlocks:
        if self.panel.power_points:
            return self
        for circuit in self.circuits:
            if circuit.control is PanelCircuitControl.SETPOINT and not circuit.power_points:
                raise ValueError(
                    f"circuit {circuit.id!r} has no power_point, and the panel has none either: "
                    f"what its setpoint brings could not be seen. Give one of them"
                )
        return self
