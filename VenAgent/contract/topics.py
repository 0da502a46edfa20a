"""Names of the MQTT topics, for one VEN."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_SLASHES = 7
MAX_BYTES = 256
"""Of a topic or a filter at AWS IoT Core."""
_BASIC_INGEST = re.compile(r"^\$aws/rules/[^/]+/", re.IGNORECASE)
"""A topic straight to a rule; these levels do not count."""


def topic_over_limit(topic: str) -> str | None:
    """Why AWS IoT Core does not take a topic (or filter) of this form; None if it does."""
    counted = _BASIC_INGEST.sub("", topic, count=1)
    slashes, size = counted.count("/"), len(counted.encode())
    if slashes > MAX_SLASHES:
        return f"has {slashes} slashes: AWS IoT Core takes at most {MAX_SLASHES} in a topic"
    if size > MAX_BYTES:
        return f"is {size} bytes long in UTF-8: AWS IoT Core takes at most {MAX_BYTES} for a topic"
    return None


@dataclass(frozen=True)
class Topics:
    """The topics one VEN uses; each can be overridden, `for_ven` gives the defaults."""

    metering: str
    telemetry: str
    loads: str
    ack: str
    command: str
    status: str
    alerts: str
    shadow: str
    """Prefix of the shadow's topics; `update`, `get` and their answers come below it."""

    @classmethod
    def for_ven(
        cls,
        ven_id: str,
        *,
        metering: str | None = None,
        telemetry: str | None = None,
        loads: str | None = None,
        ack: str | None = None,
        command: str | None = None,
    ) -> Topics:
        return cls(
            metering=metering or "volttron/metering",
            telemetry=telemetry or f"ven/telemetry/{ven_id}",
            loads=loads or f"ven/loads/{ven_id}",
            ack=ack or f"ven/ack/{ven_id}",
            command=command or f"ven/cmd/{ven_id}",
            status=f"ven/status/{ven_id}",
            alerts=f"ven/alerts/{ven_id}",
            shadow=f"$aws/things/{ven_id}/shadow",
        )

    @property
    def shadow_update(self) -> str:
        return f"{self.shadow}/update"

    @property
    def shadow_get(self) -> str:
        return f"{self.shadow}/get"

    def named_shadow_update(self, name: str) -> str:
        """Of one of the thing's named shadows, which have the circuits of a large panel."""
        return f"{self.shadow}/name/{name}/update"

    @property
    def shadow_heard(self) -> tuple[str, ...]:
        """Topic filters of what the shadow service says to us."""
        return tuple(f"{self.shadow}/{answer}" for answer in SHADOW_ANSWERS)


SHADOW_ANSWERS = (
    "update/accepted",
    "update/rejected",
    "update/delta",
    "get/accepted",
    "get/rejected",
    "name/+/update/rejected",
)
"""Below the shadow's prefix; AWS advises against a wildcard at the end."""


def bus_out_topic(ven_id: str) -> str:
    """Messages of the VOLTTRON bus, in batches."""
    return f"ven/bus/{ven_id}/out"


def bus_in_topic(ven_id: str) -> str:
    """Prefix of what is meant for the VOLTTRON bus; the rest of the topic is the bus's."""
    return f"ven/bus/{ven_id}/in"
