"""The site that a command is about: the one of `start`, or an existing VOLTTRON's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ops.host.child_environment import platform_child_environment
from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.host.site_settings import SiteSettings, current_site_settings
from ops.host.site_variables import AGENT_VARIABLES
from ops.volttron.config_store import AGENT, config_store_agent_config
from ops.volttron.volttron_platform import volttron_platform_pid


def meant_site_settings(paths: Paths, environment: Mapping[str, str] | None = None) -> SiteSettings:
    """What `start` remembered; of an existing VOLTTRON what its agent has."""
    environment = os.environ if environment is None else environment
    if paths.existing is None:
        return current_site_settings(paths, environment)
    pid = volttron_platform_pid(paths)
    stored = None if pid is None else config_store_agent_config(paths)
    given = {name: environment[name] for name in AGENT_VARIABLES if environment.get(name)}
    return SiteSettings(
        agent_config=_installed_config(paths) if stored is None else stored,
        in_store=stored is not None,
        variables={**_variables_of(pid), **given},
        panel=False,
    )


def _installed_config(paths: Paths) -> dict[str, object]:
    """The file that the agent was installed with."""
    agents = paths.volttron_home / "agents"
    files = [agents / AGENT / "config"]  # 10 and 11
    for identity in agents.glob("*/IDENTITY"):  # 9
        if identity.read_text().strip() == AGENT:
            files += identity.parent.glob("*/*.dist-info/config")
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise OpsError(
            f"{AGENT} is not installed in {paths.volttron_home}",
            "Install it as docs/install.md says, or name another VOLTTRON_HOME.",
        )
    try:
        return read_json_file(found)
    except OpsError:
        return _yaml_file(paths, found)


def _yaml_file(paths: Paths, file: Path) -> dict[str, object]:
    """11 keeps the configuration as YAML, which VOLTTRON's own Python can read."""
    script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"
    result = subprocess.run(
        [paths.platform_bin / "python", "-c", script],
        input=file.read_text(),
        env=platform_child_environment(paths, {}),
        cwd=paths.volttron_home,
        capture_output=True,
        text=True,
        check=False,
        **plain_user(paths),
    )
    contents = json.loads(result.stdout) if result.returncode == 0 else None
    if not isinstance(contents, dict):
        raise OpsError(f"{file} holds no configuration: neither JSON nor YAML")
    return contents


def _variables_of(pid: int | None) -> dict[str, str]:
    """The agent's variables in the platform's environment, which its agents inherit."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it does not run, or is another user's
        return {}
    pairs = (entry.partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name in AGENT_VARIABLES and value}
