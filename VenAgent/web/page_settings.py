"""How the page is served: what its process needs of the configuration, and nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PageSettings:
    """Plain values: the page's process loads no library of the configuration."""

    token: str | None = None
    names: tuple[str, ...] = ()
    """Host names under which the page may be asked for, besides addresses and `localhost`."""
    cookie: str = "ven_session"
    read_only: bool = False
    max_clients: int = 16
    """Live views at the same time."""
    prefix: str = ""
    """The path below which a proxy shows the page, without a slash at the end."""
    proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For, -Host and -Prefix are believed."""
    site_name: str = ""
    """What people call the site; empty: its VEN id."""
    csrf_token: str | None = None
    """Given by the agent, so that it outlives the page's process."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PageSettings:
        lists = {name: tuple(values[name]) for name in ("names", "proxies")}
        return cls(**{**values, **lists})
