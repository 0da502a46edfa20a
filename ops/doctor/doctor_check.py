"""What the doctor looks at, and one thing it found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.volttron.config_store import DRIVER
from VenAgent.config import AgentConfig

LOOK_AT_LOGS = "See `ven_control.sh logs --level warning`."


@dataclass(frozen=True)
class DoctorCheck:
    """`ok` is None where it could not be looked at, or there is nothing to look at."""

    name: str
    ok: bool | None
    text: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class DoctorCheckSubject:
    """What all checks need, and what the earlier ones found that spares the later ones a look."""

    paths: Paths
    settings: SiteSettings
    platform_is_up: bool = False
    absent: set[str] = field(default_factory=set)
    """Agents that do not run."""
    driver_configs: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """The driver's entries by device, as they were read."""
    device_answers: dict[str, Any] | None = None
    """By device: how long its answers take, as VenAgent has seen it; None until it was asked."""
    unanswered: bool = False
    """VenAgent did not answer: whoever needs it need not ask again."""

    @property
    def agent(self) -> AgentConfig:
        agent = self.settings.agent()
        return agent if self.paths.has_actuator else agent.on_platform(DRIVER)
