"""What is an alert of the operator's side, and where the targets are named: variables."""

from __future__ import annotations

from pathlib import Path

from backend.config.settings_block import SettingsBlock, settings_block_variable


class AlertSettings(SettingsBlock):
    """How long a trouble lasts before it is one."""

    config_file: Path | None = settings_block_variable("ALERTS_CONFIG", default=None)
    look_every_sec: float = settings_block_variable("ALERT_INTERVAL_SEC", default=5.0, gt=0)
    offline_sec: float = settings_block_variable("ALERT_OFFLINE_SEC", default=120.0, ge=0)
    """So long a VEN is offline before it is an alert."""
    stale_sec: float = settings_block_variable("ALERT_STALE_SEC", default=300.0, gt=0)
    """So long a VEN that is said to be online has sent no telemetry."""
    broker_away_sec: float = settings_block_variable("ALERT_BROKER_AWAY_SEC", default=30.0, ge=0)
    lag_sec: float = settings_block_variable("ALERT_LAG_SEC", default=30.0, gt=0)
    """So long a message waits to be stored."""
    instance_silent_sec: float = settings_block_variable(
        "ALERT_INSTANCE_SILENT_SEC", default=60.0, gt=0
    )
    dead_letters: int = settings_block_variable("ALERT_DEAD_LETTERS", default=100, ge=1)
    """So many refused messages within five minutes."""
    short_of_target: float = settings_block_variable(
        "ALERT_SHORT_OF_TARGET", default=0.1, ge=0, lt=1
    )
    """An event that delivers less than its request by more than this part of it."""
    short_after_sec: float = settings_block_variable("ALERT_SHORT_AFTER_SEC", default=120.0, ge=0)
    certificate_days: float = settings_block_variable("ALERT_CERTIFICATE_DAYS", default=30.0, ge=0)
