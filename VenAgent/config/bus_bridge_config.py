"""The block `bus_bridge` of the configuration: what passes between the VOLTTRON bus and MQTT."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from VenAgent.contract.topics import bus_in_topic, topic_over_limit

NOT_FOR_OTHERS = ("devices", "ven", "heartbeat", "alerts", "platform")
"""First levels of bus topics that stand for readings, commands to the actuator, or ourselves."""


def _not_ours(prefix: str) -> str:
    first = prefix.split("/")[0]
    if first in NOT_FOR_OTHERS:
        raise ValueError(
            f"nothing from outside is published below {first}/: agents here take that for "
            f"readings or commands; name a prefix of your own, e.g. cloud/weather"
        )
    return prefix


def _can_be_heard(prefix: str) -> str:
    why = topic_over_limit(f"{prefix}/#")
    if why is not None:
        raise ValueError(f"with the /# that we subscribe below it, it {why}")
    return prefix


_LEVELS = r"^[^/\s+#$\x00][^/+#\x00]*(/[^/+#\x00]+)*$"
BusPrefix = Annotated[str, StringConstraints(pattern=_LEVELS, min_length=2, max_length=200)]
"""Whole levels: `devices/site` is for `devices/site/…`, not for `devices/site2`."""
ForeignPrefix = Annotated[BusPrefix, AfterValidator(_not_ours)]
MqttPrefix = Annotated[
    str, StringConstraints(pattern=_LEVELS, max_length=200), AfterValidator(_can_be_heard)
]
Rate = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]


class BusBridgeConfig(BaseModel):
    """Off by default. Best effort: what cannot be sent in time is dropped, oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    enabled: bool = False
    """Whether anything passes at all."""
    forward: tuple[BusPrefix, ...] = ()
    """Bus topics that go to `ven/bus/{venId}/out`."""
    interval_sec: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = 10.0
    """One MQTT message every so often, with all that came."""
    max_forwarded_per_sec: Rate = 50.0
    """On average; what comes faster waits in the queue."""
    queue_length: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Messages that wait for the next one to MQTT; beyond it the oldest is dropped."""
    flood_per_sec: Rate = 500.0
    """More than that from the bus, and the bridge stops listening for `flood_pause_sec`."""
    flood_pause_sec: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = 30.0
    accept: tuple[MqttPrefix, ...] = ()
    """MQTT topics whose remainder is a bus topic; `ven/bus/{venId}/in` if none is named."""
    publish: tuple[ForeignPrefix, ...] = ()
    """Bus topics that may be published from MQTT; nothing if none is named."""
    max_published_per_sec: Rate = 20.0
    """What comes faster from MQTT is refused before it is read."""

    @model_validator(mode="after")
    def _does_something(self) -> BusBridgeConfig:
        if self.enabled and not (self.forward or self.publish):
            raise ValueError("enabled, but neither forward nor publish names a topic")
        return self

    def accepted(self, ven_id: str) -> tuple[str, ...]:
        """MQTT prefixes to listen below; none when nothing may be published."""
        if not (self.enabled and self.publish):
            return ()
        return self.accept or (bus_in_topic(ven_id),)
