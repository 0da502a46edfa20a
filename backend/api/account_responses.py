"""Who asks, and who may, as the API answers."""

from __future__ import annotations

from datetime import datetime

from backend.api.response_model import ResponseModel


class AccountResponse(ResponseModel):
    name: str
    display_name: str
    kind: str
    """key, person or local."""
    role: str
    groups: list[str]
    may: list[str]
    """What of the console's actions the role reaches."""


class AccountPersonResponse(ResponseModel):
    name: str
    display_name: str
    role: str | None
    groups: list[str]
    first_seen_at: datetime
    last_seen_at: datetime


class AccountKeyResponse(ResponseModel):
    name: str
    role: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class AccountRoleResponse(ResponseModel):
    who: str
    role: str


class AccountsResponse(ResponseModel):
    people: list[AccountPersonResponse]
    keys: list[AccountKeyResponse]
    roles: list[AccountRoleResponse]
    """The table by which the proxy's groups have roles."""
    proxies: list[str]


class AccountNewKeyResponse(ResponseModel):
    name: str
    role: str
    key: str
    """Shown this once."""
