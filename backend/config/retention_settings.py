"""How long each kind of row is kept."""

from __future__ import annotations

from backend.config.settings_block import SettingsBlock, settings_block_variable


class RetentionSettings(SettingsBlock):
    """Days that each kind of row is kept; telemetry is dropped by whole days."""

    telemetry_days: int = settings_block_variable("RETENTION_TELEMETRY_DAYS", default=30, ge=1)
    loads_days: int = settings_block_variable("RETENTION_LOADS_DAYS", default=30, ge=1)
    quarter_hours_days: int = settings_block_variable(
        "RETENTION_QUARTER_HOURS_DAYS", default=800, ge=1
    )
    acks_days: int = settings_block_variable("RETENTION_ACKS_DAYS", default=800, ge=1)
    alerts_days: int = settings_block_variable("RETENTION_ALERTS_DAYS", default=400, ge=1)
    dead_letters_days: int = settings_block_variable(
        "RETENTION_DEAD_LETTERS_DAYS", default=30, ge=1
    )
    commands_days: int = settings_block_variable("RETENTION_COMMANDS_DAYS", default=400, ge=1)
    audit_days: int = settings_block_variable("RETENTION_AUDIT_DAYS", default=800, ge=1)
