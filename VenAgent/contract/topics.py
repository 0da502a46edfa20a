"""Names of the MQTT topics, for one VEN."""

from __future__ import annotations

from dataclasses import dataclass


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
