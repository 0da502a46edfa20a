"""The backend's settings: environment variables, in every spelling that docs/backend.md names.

`BackendSettings.from_environment()` raises `SettingsBlockError` with one line a mistake.
"""

from __future__ import annotations

import platform
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from backend.config.broker_settings import BrokerSettings
from backend.config.kinesis_settings import KinesisSettings
from backend.config.retention_settings import RetentionSettings
from backend.config.settings_block import SettingsBlock, SettingsBlockError, settings_block_variable
from backend.store.database import POOLER
from VenAgent.baseline.baseline_methods import DEFAULT_METHOD, METHODS


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is no time zone, write it like Europe/Berlin") from None
    return value


def _method(value: str) -> str:
    if value not in METHODS:
        raise ValueError(f"{value!r} is no baseline method, use one of {', '.join(METHODS)}")
    return value


Zone = Annotated[str, AfterValidator(_zone)]
BaselineMethod = Annotated[str, AfterValidator(_method)]


_OF_A_SERVER = (
    *("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME", "DB_SSLMODE", "DB_SSLROOTCERT"),
    *("DATABASE_DIRECT_URL", "DATABASE_POOLER"),
)
"""Whoever sets one of these does not mean SQLite in a file."""


def _with_database_url(given: dict[str, str]) -> dict[str, str]:
    """DATABASE_URL from its parts, where only these are given."""
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        if name in given:
            _check_database_url(name, given[name])
    given = _with_pooler(given)
    if "DATABASE_URL" in given:
        return given
    of_a_server = [name for name in _OF_A_SERVER if name in given]
    if of_a_server and "DB_HOST" not in given:
        raise SettingsBlockError(
            f"{', '.join(of_a_server)}: set, but neither DB_HOST nor DATABASE_URL, which say where "
            f"the database is; nothing is stored elsewhere"
        )
    if not of_a_server:
        return given
    port = given.get("DB_PORT", "5432")
    if not port.isdecimal():
        raise SettingsBlockError(f"DB_PORT: {port!r} is no port")
    url = URL.create(
        "postgresql",
        username=given.get("DB_USER"),
        password=given.get("DB_PASSWORD"),
        host=given["DB_HOST"],
        port=int(port),
        database=given.get("DB_NAME", "venagent"),
        query={
            name: given[f"DB_{name.upper()}"]
            for name in ("sslmode", "sslrootcert")
            if f"DB_{name.upper()}" in given
        },
    )
    return _with_pooler({**given, "DATABASE_URL": url.render_as_string(hide_password=False)})


def _check_database_url(name: str, text: str) -> None:
    """Raises SettingsBlockError, without a word of the URL: a password may be part of anything."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise SettingsBlockError(
            f"{name} cannot be read: write it as postgresql://user:password@host:port/name, and "
            f"in the password @ as %40, / as %2F, : as %3A, ? as %3F, # as %23"
        )


def _with_pooler(given: dict[str, str]) -> dict[str, str]:
    """DATABASE_POOLER stands in the URL, for whoever has only that."""
    pooler, url = given.get("DATABASE_POOLER"), given.get("DATABASE_URL")
    if pooler is None or url is None:
        return given
    if pooler not in ("transaction", "session"):
        raise SettingsBlockError(f"DATABASE_POOLER: {pooler!r} is neither transaction nor session")
    pooled = make_url(url).update_query_dict({POOLER: pooler})
    return {**given, "DATABASE_URL": pooled.render_as_string(hide_password=False)}


class BackendSettings(SettingsBlock):
    """All of them. Names of variables stand beside each; a variable that is empty is not set."""

    database_url: str = settings_block_variable(
        "DATABASE_URL", default="sqlite:///venagent-backend.sqlite"
    )
    database_direct_url: str | None = settings_block_variable("DATABASE_DIRECT_URL", default=None)
    """Past a pooler: to migrate, and to hear other processes at once."""
    instance: str = settings_block_variable(
        "INGEST_INSTANCE", default_factory=lambda: f"{platform.node()}-0"
    )
    batch_max: int = settings_block_variable("INGEST_BATCH_MAX", default=2_000, ge=1)
    batch_wait_sec: float = settings_block_variable(
        "INGEST_BATCH_WAIT_SEC", default=0.2, gt=0, le=10
    )
    state_interval_sec: float = settings_block_variable(
        "INGEST_STATE_INTERVAL_SEC", default=5.0, gt=0
    )
    offline_after_sec: float = settings_block_variable("OFFLINE_AFTER_SEC", default=60.0, gt=0)
    max_ahead_sec: float = settings_block_variable("TELEMETRY_MAX_AHEAD_SEC", default=3_600.0, ge=0)
    new_vens_at_once: int = settings_block_variable("INGEST_NEW_VENS_AT_ONCE", default=12_000, ge=1)
    new_vens_per_minute: float = settings_block_variable(
        "INGEST_NEW_VENS_PER_MINUTE", default=600.0, ge=0
    )
    """VENs that are registered by their first telemetry; more than these must be registered."""
    store_raw_payload: bool = settings_block_variable("STORE_RAW_PAYLOAD", default=False)
    baseline_method: BaselineMethod = settings_block_variable(
        "BASELINE_METHOD", default=DEFAULT_METHOD
    )
    measure_timezone: Zone = settings_block_variable("MEASURE_TIMEZONE", default="UTC")
    measure_after_sec: float = settings_block_variable("MEASURE_AFTER_SEC", default=60.0, ge=0)
    """How long after its end an event is measured: telemetry may be late."""
    health_host: str = settings_block_variable("INGEST_HEALTH_HOST", default="127.0.0.1")
    health_port: int = settings_block_variable("INGEST_HEALTH_PORT", default=9_108, ge=0, le=65_535)
    log_level: str = settings_block_variable("LOG_LEVEL", default="INFO")
    event_command_enabled: bool = settings_block_variable("EVENT_COMMAND_ENABLED", default=True)
    iot_endpoint: str | None = settings_block_variable("IOT_ENDPOINT", default=None)
    mqtt: BrokerSettings = Field(default_factory=BrokerSettings)
    kinesis: KinesisSettings = Field(default_factory=KinesisSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)

    @classmethod
    def _prepared(cls, given: dict[str, str]) -> dict[str, Any]:
        return {
            **_with_database_url(given),
            "mqtt": BrokerSettings.model_validate(given),
            "kinesis": KinesisSettings.model_validate(given),
            "retention": RetentionSettings.model_validate(given),
        }

    @property
    def schema_url(self) -> str:
        """Where the schema is looked at and changed."""
        return self.database_direct_url or self.database_url

    @property
    def is_postgresql(self) -> bool:
        return urlsplit(self.database_url).scheme.startswith("postgres")
