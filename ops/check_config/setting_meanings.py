"""What the settings mean whose name alone says it to those who know: for the reference's tables.

The others say it in the model itself (VenAgent/config.py).
"""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "AgentConfig": {
        "report_interval_sec": "Between two telemetries.",
        "shadow_interval_sec": "Between two reports to the device shadow; a change is reported "
        "at once.",
        "driver_identity": "The platform driver's identity.",
        "actuator_identity": "The actuator's identity.",
    },
    "CloudBrokerConfig": {
        "host": "The broker's name or address; `IOT_ENDPOINT` wins over it.",
        "port": "8883 is usual with TLS.",
        "keepalive_sec": "The broker takes us for lost after one and a half of these.",
        "password": "The password itself; `password_file` keeps it out of the configuration.",
        "transport": "`websockets` for a broker behind a web server.",
    },
    "CloudTlsConfig": {
        "client_cert": "PEM file; readable for the user that VOLTTRON runs as.",
        "private_key": "PEM file; readable for that user alone.",
    },
    "CloudOutboxConfig": {
        "backlog_per_sec": "Messages a second of what had to wait.",
        "backlog_kib_per_sec": "KiB a second of what had to wait.",
    },
    "CloudTopicsConfig": {
        "metering": "`volttron/metering` if none.",
        "telemetry": "`ven/telemetry/{venId}` if none.",
        "loads": "`ven/loads/{venId}` if none.",
        "ack": "`ven/ack/{venId}` if none.",
        "command": "`ven/cmd/{venId}` if none.",
    },
    "CloudStreamsConfig": {
        "metering": "Telemetry on the topic of all sites.",
        "telemetry": "The same on this site's own topic.",
        "loads": "The loads snapshot.",
        "shadow": "The device shadow.",
    },
    "SitePanelConfig": {
        "amperage": "The main breaker's rating, A; with the voltage, the most that can be shed.",
        "voltage": "Nominal, V.",
        "voltage_point": "Measured voltage, V: between the lines, or one line and neutral.",
        "current_point": "Measured current, A; made from the power if none.",
        "battery_soc_point": "The battery's state of charge, percent.",
    },
    "CircuitConfig": {
        "id": "What commands call it: letters, digits, `_ . : -`.",
        "name": "What people call it.",
        "type": "For the operator's statistics: `hvac`, `heater`, `ev`, …",
        "breaker_amps": "Its breaker's rating, A.",
        "priority": "5 is shed first … 1 last. What must not be switched off is `critical`.",
        "critical": "Never switched off; a limit never below 80 % of its draw.",
        "power_point": "Its power.",
        "switch_point": "Its contactor, true for closed; needed for `switch`.",
        "limit_point": "Its limit; needed for `limit`.",
        "limit_unit": "What the limit's register counts in.",
        "limit_step": "The register's smallest step.",
        "floor": "The part of its draw that is left to it; 0 if none, 0.8 for a critical limit.",
        "max_sheds_per_day": "No more than so often within 24 hours.",
        "control": "How it is shed: off as a whole, down to a limit, by a setpoint, by discharging "
        "a battery, or not at all.",
        "guard_minimum": "The circuit goes back when its guard point reads less.",
        "guard_maximum": "The circuit goes back when its guard point reads more.",
    },
    "SiteEventConfig": {
        "min_duration_sec": "A shorter event is refused.",
        "max_duration_sec": "A longer event is refused.",
        "write_timeout_sec": "So long a device's answer is waited for; twice as long if it "
        "answered the last time, and longer for one that has shown that it needs more.",
    },
    "SiteDeviceQuirksConfig": {
        "device": "One of the panel's devices.",
    },
    "SiteLeaseConfig": {
        "device": "One of the panel's devices.",
        "timeout_sec": "It goes back by itself when it hears nothing for so long.",
    },
    "WebConfig": {"enabled": "Whether the local page is served."},
    "BusBridgeConfig": {
        "enabled": "Whether it works at all.",
        "max_forwarded_per_sec": "More than that is dropped, oldest first.",
        "queue_length": "Messages that wait for the next sending.",
        "flood_pause_sec": "So long it does not listen after a flood.",
        "max_published_per_sec": "More than that from MQTT is refused.",
    },
}
