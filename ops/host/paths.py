"""Where everything lives: below one folder, VENAGENT_HOME (scripts/environment.sh makes it)."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The repository, the state root, and the plain user that VOLTTRON runs as."""

    repo: Path
    home: Path
    user: str

    @classmethod
    def from_environment(cls) -> Paths:
        """As scripts/environment.sh sets it; its defaults when a script runs without it."""
        is_root = os.geteuid() == 0
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        default = "/var/lib/venagent" if is_root else f"{data}/venagent"
        user = os.environ.get("VENAGENT_USER") or "venagent"
        return cls(
            repo=Path(__file__).resolve().parents[2],
            home=Path(os.environ.get("VENAGENT_HOME") or default).expanduser().absolute(),
            user=user if is_root else pwd.getpwuid(os.geteuid()).pw_name,
        )

    @property
    def tools_python(self) -> Path:
        return self.home / "tools/bin/python"

    @property
    def platform_bin(self) -> Path:
        return self.home / "platform/bin"

    @property
    def constraints(self) -> Path:
        return self.home / "platform/requirements/constraints-platform.txt"

    @property
    def volttron_home(self) -> Path:
        return self.home / "volttron"

    @property
    def staged(self) -> Path:
        """What the plain user runs of the repository, which it may not be able to read."""
        return self.home / "staged"

    @property
    def user_home(self) -> Path:
        """HOME of what runs as the plain user: a user of our own has one below the state root."""
        return self.home / "home" if os.geteuid() == 0 else Path.home()

    @property
    def broker(self) -> Path:
        return self.home / "broker"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def settings(self) -> Path:
        return self.home / "settings.json"

    @property
    def secrets(self) -> Path:
        """What of the settings nobody else may read."""
        return self.home / "secrets.json"

    @property
    def environment_log(self) -> Path:
        return self.home / "log/environment.log"

    @property
    def platform_log(self) -> Path:
        """VOLTTRON's log, its agents' included; VOLTTRON rotates it."""
        return self.home / "log/volttron/volttron.log"

    def output_log(self, name: str) -> Path:
        """Standard output and error of a process we started."""
        return self.home / f"log/{name}.log"
