"""The site that a command is about: the one of `start`, or an existing VOLTTRON's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings, current_site_settings, site_settings_default_config
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
    file = paths.volttron_home / "agents" / AGENT / "config"
    try:
        return read_json_file(file)
    except OpsError:
        return site_settings_default_config(paths)


def _variables_of(pid: int | None) -> dict[str, str]:
    """The agent's variables in the platform's environment, which its agents inherit."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it does not run, or is another user's
        return {}
    pairs = (entry.partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name in AGENT_VARIABLES and value}
