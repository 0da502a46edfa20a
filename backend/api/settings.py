"""The API's settings: environment variables."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from backend.settings import SettingsError, TopicList


def _name(name: str, **rest: Any) -> Any:
    return Field(validation_alias=AliasChoices(name), **rest)


class ApiSettings(BaseModel):
    """Where the API listens, and who may use it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str = _name("API_HOST", default="127.0.0.1")
    port: int = _name("API_PORT", default=8_000, ge=1, le=65_535)
    keys_required: bool | None = _name("API_KEYS_REQUIRED", default=None)
    """By default wherever other machines reach it."""
    requests_per_sec: float = _name("API_REQUESTS_PER_SEC", default=50.0, gt=0)
    """Of one key, or one address without a key; a burst of four seconds' worth is let through."""
    cors_origins: TopicList = _name("API_CORS_ORIGINS", default=())

    @property
    def needs_keys(self) -> bool:
        return not is_loopback(self.host) if self.keys_required is None else self.keys_required

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> ApiSettings:
        """Raises SettingsError with one line a mistake."""
        variables = os.environ if environment is None else environment
        try:
            return cls.model_validate({n: v for n, v in variables.items() if v.strip()})
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
            raise SettingsError("\n".join(lines)) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
