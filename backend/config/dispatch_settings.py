"""Dispatch's settings: environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from backend.config.settings_block import SettingsBlock, settings_block_variable


class DispatchSettings(SettingsBlock):
    """How events are split, sent, asked again, and followed."""

    publisher: Literal["auto", "mqtt", "iot-data"] = settings_block_variable(
        "COMMAND_PUBLISHER", default="auto"
    )
    """auto: iot-data when IOT_ENDPOINT is AWS's, else MQTT."""
    parallel: int = settings_block_variable("DISPATCH_PARALLEL", default=64, ge=1, le=256)
    """HTTPS connections of the iot-data publisher."""
    batch: int = settings_block_variable("DISPATCH_BATCH", default=2_000, ge=1, le=5_000)
    lease_sec: float = settings_block_variable("DISPATCH_LEASE_SEC", default=15.0, ge=1)
    """A claim on commands: after a kill, others publish them when it is over."""
    publish_timeout_sec: float = settings_block_variable(
        "DISPATCH_PUBLISH_TIMEOUT_SEC", default=6.0, gt=0
    )
    """For a batch, with the wait for a connection; nothing of it is sent later."""
    publish_retry_sec: float = settings_block_variable(
        "DISPATCH_PUBLISH_RETRY_SEC", default=2.0, gt=0
    )
    ack_timeout_sec: float = settings_block_variable("DISPATCH_ACK_TIMEOUT_SEC", default=10.0, gt=0)
    attempts: int = settings_block_variable("DISPATCH_ATTEMPTS", default=3, ge=1)
    """So often a VEN that does not ack is told; then it counts as not responding."""
    fallback_sec: float = settings_block_variable("DISPATCH_FALLBACK_SEC", default=5.0, gt=0)
    """A look at the database although nothing called for it."""
    follow_interval_sec: float = settings_block_variable(
        "DISPATCH_FOLLOW_INTERVAL_SEC", default=3.0, gt=0
    )
    settle_sec: float = settings_block_variable("DISPATCH_SETTLE_SEC", default=20.0, ge=0)
    """So long after it was told, a VEN is taken to deliver what it was asked."""
    tolerance: float = settings_block_variable("DISPATCH_TOLERANCE", default=0.05, ge=0, lt=1)
    """A delivery within this fraction of the request is left alone."""
    most_modifications: int = settings_block_variable(
        "DISPATCH_MOST_MODIFICATIONS", default=5, ge=0
    )
    least_share_kw: float = settings_block_variable(
        "DISPATCH_LEAST_SHARE_KW", default=0.1, ge=0.001
    )
    """Smaller requests to one VEN mean nothing to its circuits."""
    ask_agents_sec: float = settings_block_variable(
        "DISPATCH_ASK_AGENTS_SEC", default=86_400.0, ge=0
    )
    """How often each agent is asked for its version, health and certificate; 0: never."""
    fresh_sec: float = settings_block_variable("DISPATCH_FRESH_SEC", default=90.0, gt=0)
    """An older telemetry says nothing about what a VEN can shed now."""

    @model_validator(mode="after")
    def check_lease(self) -> DispatchSettings:
        if self.lease_sec < 2 * self.publish_timeout_sec:
            raise ValueError(
                "DISPATCH_LEASE_SEC must be at least twice DISPATCH_PUBLISH_TIMEOUT_SEC: what is "
                "claimed must be published, or given back, before another may claim it"
            )
        return self
