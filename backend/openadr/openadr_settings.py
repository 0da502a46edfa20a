"""OpenADR's settings: environment variables, empty ones are not set (docs/openadr.md)."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from backend.config.settings_block import (
    SettingsBlockError,
    settings_block_refuse_odd_numbers,
)
from backend.openadr.schedule import ScheduleAmount

_PAIR = re.compile(r"\s*([^=]+?)\s*=\s*(.+?)\s*")
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?%?")
_OF_TESTS = "OPENADR_SPECIFICATION"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _name(name: str, **rest: Any) -> Any:
    return Field(validation_alias=AliasChoices(name), **rest)


def _listed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _levels(value: Any) -> Any:
    """`1=33%,2=66%,3=150` : level = share of what can be shed, or kW."""
    if not isinstance(value, str):
        return value
    found: dict[int, ScheduleAmount] = {}
    for part in filter(str.strip, value.split(",")):
        match = _PAIR.fullmatch(part)
        level, amount = match.groups() if match else ("", "")
        is_share = amount.endswith("%")
        number = float(amount.removesuffix("%")) if _AMOUNT.fullmatch(amount) else -1.0
        if level not in ("1", "2", "3") or not 0 <= number <= (100 if is_share else 1_000_000):
            raise ValueError(
                f"{part.strip()!r} is not like 1=33% or 2=150 (kW), for levels 1, 2, 3"
            )
        if int(level) in found:
            raise ValueError(f"level {level} stands there twice")
        found[int(level)] = ScheduleAmount(number / 100 if is_share else number, is_share)
    return found


def _resources(value: Any) -> Any:
    """`north=site1 site2;south=site3`: resource = its VENs."""
    if not isinstance(value, str):
        return value
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(str.strip, value.split(";")):
        match = _PAIR.fullmatch(part)
        if match is None or "=" in match[2]:
            raise ValueError(f"{part.strip()!r} is not like north=site1 site2;south=site3")
        if match[1] in found:
            raise ValueError(f"the resource {match[1]} stands there twice")
        found[match[1]] = tuple(v for v in re.split(r"[\s,]+", match[2]) if v)
    return found


def _has_good_port(url: SplitResult) -> bool:
    """Not where a login has a "/", which ends the host's part."""
    try:
        return url.port != 0
    except ValueError:
        return False


class OpenAdrSettings(BaseModel):
    """Who we are to the VTN, and what its levels mean."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    vtn_url: str = _name("OPENADR_VTN_URL")
    version: Literal["3.1", "3.0", "2.0b"] = _name("OPENADR_VERSION", default="3.1")
    ven_name: str = _name("OPENADR_VEN_NAME", default="venagent", min_length=1, max_length=128)
    client_id: str | None = _name("OPENADR_CLIENT_ID", default=None)
    client_secret: str | None = _name("OPENADR_CLIENT_SECRET", default=None, repr=False)
    token_url: str | None = _name("OPENADR_TOKEN_URL", default=None)
    """Asked of the VTN (/auth/server, or /auth/token of 3.0) when there is none."""
    scope: str | None = _name("OPENADR_SCOPE", default=None)
    programs: Annotated[tuple[str, ...], BeforeValidator(_listed)] = _name(
        "OPENADR_PROGRAMS", default=()
    )
    """Names or ids; none: all that the VTN shows us."""
    levels: Annotated[dict[int, ScheduleAmount], BeforeValidator(_levels)] = _name(
        "OPENADR_LEVELS",
        default={
            1: ScheduleAmount(0.33, True),
            2: ScheduleAmount(0.66, True),
            3: ScheduleAmount(1.0, True),
        },
    )
    resources: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_resources)] = _name(
        "OPENADR_RESOURCES", default={}
    )
    """None: each VEN is a resource of its own name."""
    limit_for: Literal["site", "fleet"] = _name("OPENADR_LIMIT_FOR", default="site")
    """Who keeps an IMPORT_CAPACITY_LIMIT: each site by itself, as the standard has it ("the maximum
    import level for the site"), or all sites that the event is for together."""
    poll_sec: float = _name("OPENADR_POLL_SEC", default=10.0, ge=0.1, le=3_600)
    lease_sec: float = _name("OPENADR_LEASE_SEC", default=30.0, ge=1)
    most_backoff_sec: float = _name("OPENADR_MOST_BACKOFF_SEC", default=300.0, ge=0.1)
    answer_sec: float = _name("OPENADR_ANSWER_SEC", default=20.0, ge=0.1, le=300)
    """Within which each answer of a VTN of 3.x is to be there as a whole."""
    ca_cert: Path | None = _name("OPENADR_CA_CERT", default=None)
    client_cert: Path | None = _name("OPENADR_CLIENT_CERT", default=None)
    client_key: Path | None = _name("OPENADR_CLIENT_KEY", default=None)
    vtn_fingerprint: str | None = _name("OPENADR_VTN_FINGERPRINT", default=None)
    report_grace_sec: float = _name("OPENADR_REPORT_GRACE_SEC", default=10.0, ge=0, le=3_600)
    """So long after its time a report is made: telemetry may be a little late."""
    report_sec: float = _name("OPENADR_REPORT_SEC", default=60.0, ge=1, le=3_600)
    """How often 2.0b telemetry is sampled when the VTN asks for no other pace."""

    @property
    def link(self) -> str:
        """Names this VEN at this VTN in the database."""
        return f"{self.ven_name}@{self.vtn_url.rstrip('/')}"

    @model_validator(mode="after")
    def check(self) -> OpenAdrSettings:
        url = urlsplit(self.vtn_url)
        if url.scheme not in ("http", "https") or not url.hostname or not _has_good_port(url):
            raise ValueError("OPENADR_VTN_URL must be like https://vtn.example/openadr3/3.1.0")
        if "@" in url.netloc:
            raise ValueError("OPENADR_VTN_URL must hold no login: nobody is to read it in a list")
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError("OPENADR_VTN_URL must begin with https:// (the standard asks for TLS)")
        if self.version != "2.0b" and bool(self.client_id) != bool(self.client_secret):
            raise ValueError("OPENADR_CLIENT_ID and OPENADR_CLIENT_SECRET belong together")
        if bool(self.client_cert) != bool(self.client_key):
            raise ValueError("OPENADR_CLIENT_CERT and OPENADR_CLIENT_KEY belong together")
        for name in ("ca_cert", "client_cert", "client_key"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"OPENADR_{name.upper()}: there is no file {path}")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> OpenAdrSettings:
        """Raises SettingsBlockError with one line a mistake."""
        variables = os.environ if environment is None else environment
        known = {f"OPENADR_{field.upper()}" for field in cls.model_fields}
        for name in sorted(variables):
            if name.startswith("OPENADR_") and name not in known and name != _OF_TESTS:
                near = difflib.get_close_matches(name, known, n=1)
                meant = f": {near[0]} is meant?" if near else ""
                raise SettingsBlockError(f"{name}: there is no such setting{meant}")
        given = {name: value for name, value in variables.items() if value.strip()}
        settings_block_refuse_odd_numbers(cls, given)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            lines = [
                f"{'.'.join(map(str, item['loc'])) or 'OPENADR'}: {item['msg']}"
                for item in error.errors()
            ]
            raise SettingsBlockError("\n".join(lines)) from error
