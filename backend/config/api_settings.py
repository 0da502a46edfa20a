"""The API's settings: environment variables."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from backend.config.proxy_settings import ProxySettings
from backend.config.settings_block import SettingsBlock, TextList, settings_block_variable

_is_origin = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^/?#@:\sA-Z]+|\[[0-9a-f:]+\])(?::\d{1,5})?"
).fullmatch
_PORTS_NOT_SENT = {"http": ":80", "https": ":443"}


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """As browsers send them, or they match nothing."""
    for value in values:
        port = _PORTS_NOT_SENT.get(value.partition("://")[0])
        if value in ("*", "null") or (_is_origin(value) and not (port and value.endswith(port))):
            continue
        raise ValueError(
            f"{value!r} is no origin as browsers send it: write it like https://console.example or "
            "http://localhost:8080, in small letters, without a path, a slash at the end or the "
            "scheme's own port"
        )
    return values


class ApiSettings(SettingsBlock):
    """Where the API listens, and who may use it."""

    host: str = settings_block_variable("API_HOST", default="127.0.0.1")
    port: int = settings_block_variable("API_PORT", default=8_000, ge=1, le=65_535)
    keys_required: bool | None = settings_block_variable("API_KEYS_REQUIRED", default=None)
    """By default wherever other machines reach it."""
    requests_per_sec: float = settings_block_variable("API_REQUESTS_PER_SEC", default=50.0, gt=0)
    """Of one key, or one address without a key; a burst of four seconds' worth is let through."""
    event_start_tolerance_sec: float = settings_block_variable(
        "EVENT_START_TOLERANCE_SEC", default=60.0, ge=0
    )
    """So late a start still means now: a person took that long, or clocks differ."""
    event_max_ahead_sec: float = settings_block_variable(
        "EVENT_MAX_AHEAD_SEC", default=2_592_000.0, gt=0
    )
    """An event that begins later than this (30 days) is refused: a mistake in the unit or year. The
    agents' `event.max_ahead_sec` is as much."""
    cors_origins: Annotated[TextList, AfterValidator(_origins)] = settings_block_variable(
        "API_CORS_ORIGINS", default=()
    )
    proxy: ProxySettings = Field(default_factory=ProxySettings)

    @classmethod
    def _prepared(cls, given: dict[str, str]) -> dict[str, Any]:
        return {**given, "proxy": ProxySettings.model_validate(given)}

    @property
    def needs_keys(self) -> bool:
        """Or a proxy's word for a person."""
        if self.keys_required is not None:
            return self.keys_required
        return not api_host_is_loopback(self.host) or bool(self.proxy.networks)


def api_host_is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
