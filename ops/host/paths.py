"""Where everything lives: below one folder, VENAGENT_HOME (scripts/environment.sh makes it)."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, replace
from pathlib import Path

from ops.host.ops_error import OpsError
from ops.host.volttron_generation import (
    DEFAULT_VOLTTRON_GENERATION,
    VOLTTRON_GENERATIONS,
    existing_volttron_generation,
    remembered_volttron_generation,
)


@dataclass(frozen=True)
class Paths:
    """The repository, the state root, and the plain user that VOLTTRON runs as."""

    repo: Path
    home: Path
    user: str
    existing: Path | None = None
    """VOLTTRON_HOME of a VOLTTRON that somebody else has made, where that one is meant."""
    existing_bin: Path | None = None
    generation: int = DEFAULT_VOLTTRON_GENERATION
    """Of the VOLTTRON that is meant: 9, 10 or 11; `start` brings up 10 or 11."""

    @classmethod
    def from_environment(cls) -> Paths:
        """The VOLTTRON that VOLTTRON_HOME names (`--volttron-home`), else the one of `start`."""
        ours = cls.of_our_own()
        named = os.environ.get("VOLTTRON_HOME", "").strip()
        if not named:
            return ours
        existing = Path(named).expanduser().absolute()
        if existing.resolve() == ours.volttron_home.resolve():
            return ours
        # 9 and 10 keep their keys in the first, 11 in the second
        if not any((existing / name).exists() for name in ("keystore", "credentials_store")):
            raise OpsError(
                f"{existing} is not the home of a VOLTTRON",
                "Correct VOLTTRON_HOME (or --volttron-home), or unset it for the one of `start`.",
            )
        programs = _programs_of(existing)
        return replace(
            ours,
            user=existing.owner(),
            existing=existing,
            existing_bin=programs,
            generation=existing_volttron_generation(programs),
        )

    @classmethod
    def of_our_own(cls) -> Paths:
        """As scripts/environment.sh sets it; its defaults when a script runs without it."""
        is_root = os.geteuid() == 0
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        default = "/var/lib/venagent" if is_root else f"{data}/venagent"
        user = os.environ.get("VENAGENT_USER") or "venagent"
        home = Path(os.environ.get("VENAGENT_HOME") or default).expanduser().absolute()
        return cls(
            repo=Path(__file__).resolve().parents[2],
            home=home,
            user=user if is_root else pwd.getpwuid(os.geteuid()).pw_name,
            generation=remembered_volttron_generation(home / "settings.json"),
        )

    @property
    def tools_python(self) -> Path:
        return self.home / "tools/bin/python"

    @property
    def platform_bin(self) -> Path:
        return self.existing_bin or self.platform_environment / "bin"

    @property
    def platform_environment(self) -> Path:
        """The virtual environment of the VOLTTRON that `start` brings up."""
        return self.home / VOLTTRON_GENERATIONS[self.generation].environment

    @property
    def constraints(self) -> Path:
        return self.home / "platform/requirements/constraints-platform.txt"

    @property
    def has_actuator(self) -> bool:
        """11 has none: its driver reserves the devices."""
        return self.generation < 11

    @property
    def volttron_home(self) -> Path:
        return self.existing or self.home / VOLTTRON_GENERATIONS[self.generation].volttron_home

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
        if self.existing:
            return _log_of(self.existing)
        return self.home / "log/volttron/volttron.log"

    def output_log(self, name: str) -> Path:
        """Standard output and error of a process we started."""
        return self.home / f"log/{name}.log"


def _running_in(volttron_home: Path) -> tuple[str, list[str]]:
    """The platform's process in /proc, and its command line; empty when it does not run."""
    try:
        process = f"/proc/{int((volttron_home / 'VOLTTRON_PID').read_text())}"
        return process, Path(process, "cmdline").read_bytes().decode().split("\0")
    except (OSError, ValueError):
        return "", []


def _log_of(volttron_home: Path) -> Path:
    """The file that the platform was started with (`-l FILE`), else the usual one."""
    process, command = _running_in(volttron_home)
    for word, after in zip(command, [*command[1:], ""], strict=True):
        name = after if word in ("-l", "--log") else word.removeprefix("--log=")
        if word in ("-l", "--log") or name != word:
            try:
                return Path(process, "cwd").readlink() / Path(name).expanduser()
            except OSError:  # another user's
                return Path(name)
    return volttron_home / "volttron.log"


def _programs_of(volttron_home: Path) -> Path:
    """Where `vctl` of this VOLTTRON is: beside the program that runs, else on PATH."""
    _, command = _running_in(volttron_home)
    for word in command[:2]:
        if (Path(word).parent / "vctl").is_file():
            return Path(word).parent
    import shutil  # rarely needed

    found = shutil.which("vctl")
    if found is None:
        raise OpsError(
            f"the VOLTTRON of {volttron_home} does not run, and there is no vctl on PATH",
            "Start it, or activate its environment.",
        )
    return Path(found).parent
