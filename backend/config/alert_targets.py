"""Who is told of alerts and events, and when not: the file that ALERTS_CONFIG names (JSON)."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from backend.config.settings_block import SettingsBlockError

SEVERITIES = ("info", "warning", "critical")
"""By weight."""
AlertSeverityName = Literal["info", "warning", "critical"]


def alert_target_severity_rank(severity: str) -> int:
    """The heavier, the higher; one that nobody knows counts as a warning."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 1


_HOST_IS_NO_SECRET = ("http", "https", "mailto", "mailtos", "json", "jsons", "xml", "xmls")
"""Other services of apprise's have a token where a host stands."""


def _web_address(value: str) -> str:
    """Its text is not repeated: an address of a webhook is a secret."""
    if not value.startswith(("https://", "http://")) or any(c.isspace() for c in value):
        raise ValueError("this is no address: write it like https://host/path")
    try:
        place = urlsplit(value)
        is_place = bool(place.hostname) and place.port != 0
        # Of a login with such a character as it is, the first part would be taken for the host.
        is_cut = ":" in place.netloc and "@" not in place.netloc and "@" in value
    except ValueError:
        is_place, is_cut = False, False
    if not is_place or is_cut:
        raise ValueError(
            "this address cannot be read: write it like https://host:443/path, and in a login "
            "/ as %2F, ? as %3F, # as %23, @ as %40"
        )
    return value


def _secret_parts(address: str) -> set[str]:
    """What an address says beside its scheme, and its host where that is none."""
    parts = set(re.split(r"[/:@?&=#;,\s\[\]]+", address.partition("://")[2] or address))
    shown: set[str] = set()
    if address.partition("://")[0].lower() in _HOST_IS_NO_SECRET:
        with contextlib.suppress(ValueError):
            place = urlsplit(address)
            shown = {place.hostname or "", str(place.port or "")}
    hidden = {*parts, *map(unquote, parts)}
    return {part for part in hidden if part and part not in shown and len(part) > 1}


WebAddress = Annotated[str, AfterValidator(_web_address)]


class AlertTargetBlock(BaseModel):
    """Camel case in the file; what is not known is refused by name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class AlertTargetQuietHours(AlertTargetBlock):
    """From one time of day to another, over midnight too, in a time zone of its own."""

    time_zone: str = "UTC"
    begin: time = Field(alias="from")
    end: time = Field(alias="to")
    unless: AlertSeverityName = "critical"
    """What is this severe is told at once all the same."""

    @field_validator("time_zone")
    @classmethod
    def check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError(f"{value!r} is no time zone, write it like Europe/Berlin") from None
        return value

    def quiet_until(self, moment: datetime) -> datetime | None:
        """The end of the quiet hours that `moment` is in; None when it is in none."""
        zone = ZoneInfo(self.time_zone)
        local = moment.astimezone(zone)
        clock = local.time().replace(tzinfo=None)
        over_midnight = self.end <= self.begin
        if over_midnight:
            is_quiet = clock >= self.begin or clock < self.end
        else:
            is_quiet = self.begin <= clock < self.end
        if not is_quiet:
            return None
        days = 1 if over_midnight and clock >= self.begin else 0
        day = local.date() + timedelta(days=days)
        return datetime.combine(day, self.end, zone).astimezone(moment.tzinfo)


class AlertTarget(AlertTargetBlock):
    """One receiver: a signed webhook, Alertmanager, or whatever apprise reaches (e-mail …)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    webhook: WebAddress | None = Field(default=None, repr=False)
    secret: str | None = Field(default=None, repr=False)
    secret_file: Path | None = None
    alertmanager: WebAddress | None = Field(default=None, repr=False)
    apprise: str | None = Field(default=None, repr=False)
    """An address of apprise's, mailtos://user:password@host?to=… for e-mail."""
    severity: AlertSeverityName = "warning"
    """What is less severe is not told."""
    groups: tuple[str, ...] = ()
    """Alerts of VENs in these groups; none: of all, and those of the operator's side."""
    codes: tuple[str, ...] = ()
    alerts: bool = True
    events: bool = False
    """Events too: created, started, modified, ended."""
    quiet_hours: AlertTargetQuietHours | None = None

    @model_validator(mode="after")
    def check_receiver(self) -> AlertTarget:
        given = [name for name in ("webhook", "alertmanager", "apprise") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("name one of webhook, alertmanager and apprise")
        if self.webhook and bool(self.secret) == bool(self.secret_file):
            raise ValueError("a webhook is signed: give it a secret, or a secretFile")
        if not self.webhook and (self.secret or self.secret_file):
            raise ValueError("only a webhook has a secret")
        if self.alertmanager and self.events:
            raise ValueError("Alertmanager takes alerts, not events")
        return self

    def signing_secret(self) -> str:
        """Raises OSError when its file cannot be read."""
        if self.secret_file is not None:
            return self.secret_file.read_text().strip()
        return self.secret or ""

    def without_secrets(self, text: str) -> str:
        """`text` (of an error, of an answer) without what is secret in this target's addresses."""
        addresses = [one for one in (self.webhook, self.alertmanager, self.apprise) if one]
        parts = {part for address in addresses for part in _secret_parts(address)}
        parts |= {self.secret} if self.secret else set()
        for part in sorted({*addresses, *parts}, key=len, reverse=True):
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])", "…", text)
        return text

    def wants(self, severity: str, code: str) -> bool:
        if not self.alerts or (self.codes and code not in self.codes):
            return False
        return alert_target_severity_rank(severity) >= alert_target_severity_rank(self.severity)


class AlertTargetRouting(AlertTargetBlock):
    """All targets, and how long alerts are gathered before a message tells of them."""

    group_wait_sec: float = Field(default=30.0, ge=0, le=3_600)
    """From a cause's first alert to its message: the others come meanwhile."""
    group_interval_sec: float = Field(default=300.0, ge=1, le=86_400)
    """Between two messages of one cause."""
    targets: tuple[AlertTarget, ...] = ()

    @field_validator("targets")
    @classmethod
    def check_names(cls, targets: tuple[AlertTarget, ...]) -> tuple[AlertTarget, ...]:
        names = [target.name for target in targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"there are two targets named {', '.join(twice)}")
        return targets


def read_alert_targets(path: Path | None) -> AlertTargetRouting:
    """The routing in that file; without one nobody is told. Raises SettingsBlockError."""
    if path is None:
        return AlertTargetRouting()
    try:
        routing = AlertTargetRouting.model_validate(json.loads(path.read_text()))
        for target in routing.targets:
            target.signing_secret()
    except OSError as error:
        raise SettingsBlockError(f"ALERTS_CONFIG: {error.filename}: {error.strerror}") from None
    except ValidationError as error:
        lines = [
            f"ALERTS_CONFIG {path}: {'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}"
            for item in error.errors()
        ]
        raise SettingsBlockError("\n".join(lines)) from None
    except ValueError as error:
        raise SettingsBlockError(f"ALERTS_CONFIG {path} is not JSON: {error}") from None
    return routing
