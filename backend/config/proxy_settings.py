"""The authenticating proxy in front of the API: who it is, what it says, and which role follows."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator

from backend.config.settings_block import SettingsBlock, TextList, settings_block_variable

ProxyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ProxyHeaders:
    """In which headers a proxy names its user; only those of the chosen kind are looked at."""

    user: str
    email: str
    groups: str
    separator: str = ","


PROXY_KINDS = {
    "forwarded": ProxyHeaders("x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"),
    "auth-request": ProxyHeaders(
        "x-auth-request-user", "x-auth-request-email", "x-auth-request-groups"
    ),
    "remote": ProxyHeaders("remote-user", "remote-email", "remote-groups"),
    "authentik": ProxyHeaders(
        "x-authentik-username", "x-authentik-email", "x-authentik-groups", "|"
    ),
    "cloudflare": ProxyHeaders(
        "cf-access-authenticated-user-email",
        "cf-access-authenticated-user-email",
        "cf-access-authenticated-user-groups",
    ),
}
"""oauth2-proxy as a reverse proxy; the same behind nginx's auth_request; Authelia; authentik."""
PROXY_USER_HEADERS = frozenset(
    name for kind in PROXY_KINDS.values() for name in (kind.user, kind.email, kind.groups)
)
_ROLES = ("read", "operate", "admin")
_holds_another_role = re.compile(rf"=\s*(?:{'|'.join(_ROLES)})\s*[;|\s]").search
EVERYBODY = "*"


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(
                f"{value!r} is no network: write it like 10.0.0.7 or 10.1.0.0/16"
            ) from None
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
            raise ValueError(
                f"{value!r} is IPv4 written as IPv6, and matches nothing: write it like "
                f"{network.network_address.ipv4_mapped}/{max(network.prefixlen - 96, 0)}"
            )
    return values


def _roles(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        who, _, role = value.rpartition("=")
        if not who or role not in _ROLES:
            raise ValueError(
                f"{value!r} gives no role: write it like GROUP=operate, with one of "
                f"{', '.join(_ROLES)}"
            )
        if _holds_another_role(value):
            raise ValueError(f"{value!r} gives several roles: put commas between them")
    return values


class ProxySettings(SettingsBlock):
    """Without API_TRUSTED_PROXIES nobody's headers are believed."""

    networks: Annotated[TextList, AfterValidator(_networks)] = settings_block_variable(
        "API_TRUSTED_PROXIES", default=()
    )
    """Addresses and networks the proxy connects from, with commas between."""
    kind: Literal["forwarded", "auth-request", "remote", "authentik", "cloudflare"] = (
        settings_block_variable("API_PROXY_HEADERS", default="forwarded")
    )
    roles: Annotated[TextList, AfterValidator(_roles)] = settings_block_variable(
        "API_ROLES", default=()
    )
    """GROUP=ROLE or USER=ROLE with commas between; * is everybody the proxy lets through. Where
    people choose their own names, `group:GROUP=ROLE` and `user:USER=ROLE` keep the two apart."""

    @property
    def headers(self) -> ProxyHeaders:
        return PROXY_KINDS[self.kind]

    @cached_property
    def _trusted(self) -> tuple[ProxyNetwork, ...]:
        return tuple(ipaddress.ip_network(value, strict=False) for value in self.networks)

    def trusts(self, address: str) -> bool:
        """Whether that is an address the proxy connects from."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((mapped or found) in network for network in self._trusted)

    def role_of(self, user: str, email: str, groups: tuple[str, ...]) -> str | None:
        """The highest of the roles that somebody has by name, e-mail or group."""
        people, teams = {user, email} - {""}, {*groups} - {""}
        names = {*people, *teams, EVERYBODY}
        names |= {f"user:{name}" for name in people} | {f"group:{name}" for name in teams}
        roles = [
            role for who, _, role in (value.rpartition("=") for value in self.roles) if who in names
        ]
        return max(roles, key=_ROLES.index, default=None)
