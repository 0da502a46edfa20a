"""The agent's configuration, with errors a site engineer can act on.

It comes from the config store entry `config` (the file `config` is its default); the environment
variables of CONTRACT.md win over it. `AgentConfig.load` is the only way in, and `ConfigError` the
only error that comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from VenAgent.contract.commands import CommandLimits
from VenAgent.contract.topics import Topics
from VenAgent.dr.panel import Circuit, Control, LimitScale, LimitUnit, Panel

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
TopicName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^+#\x00]*$")]
"""A topic that can be published to: no wildcards."""
ThingName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9:_-]{1,128}$")]
"""What AWS IoT takes as a thing name; it also keeps wildcards out of our topics."""


def _without_prefix(path: str) -> str:
    if path.startswith("devices/"):
        raise ValueError("must not begin with devices/: that is only its name in the config store")
    return path


DevicePath = Annotated[
    str, StringConstraints(pattern=r"^[^/\s]+(/[^/\s]+)*$"), AfterValidator(_without_prefix)
]


def _no_boolean(value: Any) -> Any:
    """JSON's true is not the number 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


NotBoolean = BeforeValidator(_no_boolean)
Positive = Annotated[float, NotBoolean, Field(gt=0, allow_inf_nan=False)]


class ConfigError(ValueError):
    """The configuration cannot be used; the text names each field and what is wrong with it."""


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsConfig(_Block):
    """Files of the TLS client certificate, PEM."""

    ca_cert: FileName
    client_cert: FileName
    private_key: FileName


class BrokerConfig(_Block):
    """Where the MQTT broker is. Without `tls` it is plain TCP, for a broker on this machine."""

    host: Name = "127.0.0.1"
    port: Annotated[int, NotBoolean, Field(ge=1, le=65535)] = 1883
    keepalive_sec: Annotated[int, NotBoolean, Field(ge=5, le=1200)] = 30
    tls: TlsConfig | None = None


class TopicOverrides(_Block):
    """Topics that differ from CONTRACT.md's."""

    metering: TopicName | None = None
    telemetry: TopicName | None = None
    loads: TopicName | None = None
    ack: TopicName | None = None
    command: TopicName | None = None


class Streams(_Block):
    """What is sent; the per-VEN telemetry and the loads snapshot double the traffic."""

    metering: bool = True
    telemetry: bool = True
    loads: bool = True
    shadow: bool = True


class PanelConfig(_Block):
    """The panel as a whole: its device in the platform driver, and the points read from it."""

    device: DevicePath
    """Without `devices/`, e.g. `site/building/panel`."""
    amperage: Positive = 200.0
    voltage: Positive = 240.0
    power_point: Name | None = None
    """Total power in kW; without one the circuits are summed."""
    voltage_point: Name | None = None
    current_point: Name | None = None
    battery_soc_point: Name | None = None


class CircuitConfig(_Block):
    """A branch circuit, the points that read it, and the point that sheds it."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    name: Name
    type: Name = "other"
    breaker_amps: Positive
    priority: Annotated[int, NotBoolean, Field(ge=1, le=5)] = 3
    critical: bool = False
    control: Control = Control.SWITCH
    device: DevicePath | None = None
    """Where its points are, if not on the panel's device."""
    power_point: Name
    power_scale: Annotated[float, NotBoolean, Field(allow_inf_nan=False)] = 1.0
    """kW per unit of `power_point`: 0.001 for a meter in watts."""
    switch_point: Name | None = None
    limit_point: Name | None = None
    limit_unit: LimitUnit = LimitUnit.PERCENT
    limit_step: Positive = 1.0
    limit_full_scale_kw: Positive | None = None
    """What 100 percent means; the breaker's rating if none."""
    floor: Annotated[float, NotBoolean, Field(allow_inf_nan=False, ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _controllable(self) -> CircuitConfig:
        needed = {Control.SWITCH: "switch_point", Control.LIMIT: "limit_point"}.get(self.control)
        if needed and getattr(self, needed) is None:
            raise ValueError(
                f"control is {self.control.value!r} but {needed} is missing: "
                f'name the point that is written, or set "control": "none"'
            )
        return self


class EventConfig(_Block):
    """What events this site accepts, and how it carries them out."""

    min_duration_sec: Positive = 1.0
    max_duration_sec: Positive = 86_400.0
    task_priority: Literal["HIGH", "LOW", "LOW_PREEMPT"] = "HIGH"
    """Of our schedule at the actuator; only HIGH preempts another's."""
    write_timeout_sec: Positive = 5.0


class AgentConfig(_Block):
    """Everything; intervals in seconds."""

    ven_id: ThingName
    """The AWS IoT thing name."""
    report_interval_sec: Annotated[
        float, NotBoolean, Field(allow_inf_nan=False, ge=0.5, le=3600)
    ] = 5.0
    loads_every: Annotated[int, NotBoolean, Field(ge=1)] = 6
    """The loads snapshot goes with every so many telemetries."""
    shadow_interval_sec: Annotated[
        float, NotBoolean, Field(allow_inf_nan=False, ge=1, le=86_400)
    ] = 30.0
    stale_after_sec: Positive = 30.0
    """A reading older than this is stale: set it to a few intervals of the driver."""
    broker: BrokerConfig = BrokerConfig()
    topics: TopicOverrides = TopicOverrides()
    streams: Streams = Streams()
    panel: PanelConfig
    circuits: Annotated[tuple[CircuitConfig, ...], Field(min_length=1)]
    event: EventConfig = EventConfig()
    driver_identity: Name = "platform.driver"
    actuator_identity: Name = "platform.actuator"

    @model_validator(mode="after")
    def _distinct_circuits(self) -> AgentConfig:
        seen: set[str] = set()
        for circuit in self.circuits:
            if circuit.id in seen:
                raise ValueError(f"circuit id {circuit.id!r} stands twice: give each its own")
            seen.add(circuit.id)
        return self

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
            return cls.model_validate(with_environment(contents, environment))
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    def topic_names(self) -> Topics:
        return Topics.for_ven(self.ven_id, **self.topics.model_dump())

    def command_limits(self) -> CommandLimits:
        return CommandLimits(
            max_shed_kw=self.panel.amperage * self.panel.voltage / 1000.0,
            min_duration_sec=self.event.min_duration_sec,
            max_duration_sec=self.event.max_duration_sec,
        )

    def device_of(self, circuit: CircuitConfig) -> str:
        return circuit.device or self.panel.device

    def devices(self) -> tuple[str, ...]:
        """All devices of the panel, the panel's own first."""
        paths = [self.panel.device, *(self.device_of(circuit) for circuit in self.circuits)]
        return tuple(dict.fromkeys(paths))

    def build_panel(self) -> Panel:
        """The panel as the core knows it; a circuit's `point` is its topic at the actuator."""
        return Panel(
            amperage=self.panel.amperage,
            voltage=self.panel.voltage,
            circuits=tuple(self._build_circuit(circuit) for circuit in self.circuits),
        )

    def _build_circuit(self, circuit: CircuitConfig) -> Circuit:
        limited = circuit.control is Control.LIMIT
        point = circuit.limit_point if limited else circuit.switch_point
        rating_kw = circuit.breaker_amps * self.panel.voltage / 1000.0
        scale = LimitScale(
            unit=circuit.limit_unit,
            full_scale_kw=circuit.limit_full_scale_kw or rating_kw,
            voltage=self.panel.voltage,
            step=circuit.limit_step,
        )
        return Circuit(
            id=circuit.id,
            name=circuit.name,
            type=circuit.type,
            breaker_amps=circuit.breaker_amps,
            voltage=self.panel.voltage,
            priority=circuit.priority,
            critical=circuit.critical,
            control=circuit.control,
            limit=scale if limited else None,
            floor=circuit.floor,
            point=f"{self.device_of(circuit)}/{point}" if point else "",
        )


_VARIABLES: dict[str, tuple[str, ...]] = {
    "CLIENT_ID": ("ven_id",),
    "IOT_THING_NAME": ("ven_id",),  # after CLIENT_ID: the thing name wins
    "IOT_ENDPOINT": ("broker", "host"),
    "MQTT_PORT": ("broker", "port"),
    "CA_CERT": ("broker", "tls", "ca_cert"),
    "CLIENT_CERT": ("broker", "tls", "client_cert"),
    "PRIVATE_KEY": ("broker", "tls", "private_key"),
    "TELEMETRY_TOPIC": ("topics", "telemetry"),
    "METERING_TOPIC": ("topics", "metering"),
    "LOADS_TOPIC": ("topics", "loads"),
    "CMD_TOPIC": ("topics", "command"),
    "ACK_TOPIC": ("topics", "ack"),
    "PANEL_AMPERAGE": ("panel", "amperage"),
}


def with_environment(contents: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """`contents` with the environment variables of CONTRACT.md over it; empty ones do not count.

    With IOT_ENDPOINT and no port named anywhere, the port is AWS IoT Core's 8883.
    """
    merged: dict[str, Any] = dict(contents)
    for variable, path in _VARIABLES.items():
        value = environment.get(variable, "").strip()
        if value:
            _put(merged, path, value)
    named = {name for name in ("IOT_ENDPOINT", "MQTT_PORT") if environment.get(name, "").strip()}
    if named == {"IOT_ENDPOINT"}:
        _put(merged, ("broker", "port"), 8883)
    return merged


def _put(block: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set `path` in `block`, copying the blocks on the way: the config store's stay as they are."""
    for name in path[:-1]:
        inner = block.get(name)
        block[name] = dict(inner) if isinstance(inner, Mapping) else {}
        block = block[name]
    block[path[-1]] = value


def _explain(error: ValidationError) -> str:
    """All findings on one line each: where, what, and what stood there."""
    lines = []
    findings = error.errors(include_url=False)
    inside_circuits = any(f["loc"][:1] == ("circuits",) and len(f["loc"]) > 1 for f in findings)
    for finding in findings:
        if finding["type"] == "too_short" and inside_circuits:
            continue  # there are circuits; what is wrong with them is said by the others
        where = ""
        for part in finding["loc"]:
            where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
        text = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "missing":
            text = "is missing"
        elif finding["type"] == "extra_forbidden":
            text = "is not a setting of VenAgent: correct its name or remove it"
        elif isinstance(finding["input"], (str, int, float)):
            text += f" (got {finding['input']!r})"
        lines.append(f"{where}: {text}" if where else text)
    return "; ".join(lines)
