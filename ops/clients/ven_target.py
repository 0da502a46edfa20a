"""The VEN that a command talks to: its id, its broker, its topics and its page.

It is made from the agent's configuration, whose models take a fifth of a second to load; so `start`
keeps it beside the settings, and `ping` and `status` do without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from VenAgent.contract.topics import Topics

if TYPE_CHECKING:
    from VenAgent.config import AgentConfig


@dataclass(frozen=True)
class VenTarget:
    """Where commands go, and where the answers come from."""

    ven_id: str
    broker_host: str
    broker_port: int
    broker_tls: Mapping[str, Any] | None
    """The configuration's block `broker.tls`: file names, no secrets."""
    broker_access: Mapping[str, Any] | None
    """Login, websockets and proxy of the block `broker`, where it has any; with its secrets."""
    topics: Topics
    report_interval_sec: float
    page_url: str | None
    """The local page as this machine reaches it; None where it is off or has no fixed port."""

    @classmethod
    def of_config(cls, agent: AgentConfig) -> VenTarget:
        tls = agent.broker.tls
        return cls(
            ven_id=agent.ven_id,
            broker_host=agent.broker.host,
            broker_port=agent.broker.port,
            broker_tls=None if tls is None else tls.model_dump(mode="json"),
            broker_access=_broker_access(agent),
            topics=agent.topic_names(),
            report_interval_sec=agent.report_interval_sec,
            page_url=_page_url(agent),
        )

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> VenTarget:
        """Raises TypeError or KeyError when another version has written it."""
        return cls(**{**kept, "topics": Topics(**kept["topics"])})

    def as_json(self) -> dict[str, Any] | None:
        """None where there is a secret in it."""
        return None if self.broker_access else asdict(self)

    @property
    def broker(self) -> str:
        """For people."""
        return f"{self.broker_host}:{self.broker_port}"


def _broker_access(agent: AgentConfig) -> Mapping[str, Any] | None:
    broker = agent.broker
    given: dict[str, Any] = {
        "username": broker.username,
        "password": None if broker.password is None else broker.password.get_secret_value(),
        "password_file": broker.password_file,
        "transport": None if broker.transport == "tcp" else broker.transport,
        "path": None if broker.transport == "tcp" else broker.path,
        "proxy": None if broker.proxy is None else broker.proxy.get_secret_value(),
    }
    return {name: value for name, value in given.items() if value is not None} or None


def _page_url(agent: AgentConfig) -> str | None:
    if not agent.web.enabled or not agent.web.port:
        return None
    host = "127.0.0.1" if agent.web.host in ("0.0.0.0", "::") else agent.web.host
    return f"http://{f'[{host}]' if ':' in host else host}:{agent.web.port}"
