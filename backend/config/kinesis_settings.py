"""The stream that an AWS IoT rule fills."""

from __future__ import annotations

from backend.config.settings_block import SettingsBlock, settings_block_variable


class KinesisSettings(SettingsBlock):
    """The stream that an AWS IoT rule fills; none by default."""

    stream: str | None = settings_block_variable("KINESIS_STREAM", default=None)
    region: str | None = settings_block_variable("AWS_REGION", "AWS_DEFAULT_REGION", default=None)
    endpoint_url: str | None = settings_block_variable(
        "KINESIS_ENDPOINT_URL", "AWS_ENDPOINT_URL", default=None
    )
    poll_interval_sec: float = settings_block_variable(
        "KINESIS_POLL_INTERVAL_SEC", default=0.25, gt=0
    )
    lease_sec: float = settings_block_variable("KINESIS_LEASE_SEC", default=30.0, gt=0)
