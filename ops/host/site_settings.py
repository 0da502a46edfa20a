"""What `start` remembers, so that the commands after it need no options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.host.child_environment import site_variables
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from VenAgent.config import AgentConfig, ConfigError

LOOPBACK = "127.0.0.1"


class SiteSettings(BaseModel):
    """The VEN as it was started."""

    model_config = ConfigDict(extra="ignore")

    agent_config: dict[str, Any]
    """What the agent was given: the config store's entry, or the file it was installed with."""
    in_store: bool = False
    """Whether it is the config store's entry."""
    variables: dict[str, str] = {}
    """The environment variables that win over it, and our ports."""
    devices: str = "simulated_panel"
    """Folder of MeterDriverConfigs/, or a path."""
    panel: bool = True
    steady: bool = False

    def agent(self, overrides: Mapping[str, str] | None = None) -> AgentConfig:
        """The agent's configuration as the agent reads it; `overrides` are more variables."""
        variables = self.agent_variables(overrides)
        try:
            return AgentConfig.load(self.agent_config, variables)
        except ConfigError as error:
            advice = [
                "Correct the file named with --config, or the entry in the config store with",
                "`ven_control.sh vctl config edit ven.agent config`.",
            ]
            if variables:
                advice.append(f"These variables win over it: {', '.join(sorted(variables))}.")
            raise OpsError(f"the agent's configuration cannot be used: {error}", *advice) from None

    def agent_variables(self, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables the agent gets: a broker of ours on another port is one of them."""
        variables = {**self.variables, **(overrides or {})}
        port = variables.get("VEN_BROKER_PORT")
        if port and not variables.get("IOT_ENDPOINT"):
            variables.setdefault("MQTT_PORT", port)
        return variables

    def port(self, variable: str, default: int) -> int:
        text = self.variables.get(variable) or str(default)
        if text.isdigit() and 0 < int(text) < 65536:
            return int(text)
        raise OpsError(f"{variable}={text} is not a port", "Set it to a number from 1 to 65535.")


def load_site_settings(paths: Paths) -> SiteSettings | None:
    """What the last `start` remembered; None before the first."""
    try:
        return SiteSettings.model_validate_json(paths.settings.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise OpsError(
            f"cannot read {paths.settings}: {error.errors()[0]['msg']}",
            "Remove that file and run `start` again.",
        ) from None


def save_site_settings(paths: Paths, settings: SiteSettings) -> None:
    draft = paths.settings.with_suffix(".new")
    draft.write_text(settings.model_dump_json(indent=2) + "\n")
    draft.replace(paths.settings)


def current_site_settings(paths: Paths, environment: Mapping[str, str]) -> SiteSettings:
    """The settings of a command: what `start` remembered, with the environment of now over it."""
    settings = load_site_settings(paths) or SiteSettings(agent_config=default_agent_config(paths))
    variables = {**settings.variables, **site_variables(environment)}
    return settings.model_copy(update={"variables": variables})


def default_agent_config(paths: Paths) -> dict[str, Any]:
    """The agent's default configuration, the file `config` of the repository."""
    return read_json_object(paths.repo / "config")


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file, with an error that names line and column."""
    try:
        contents = json.loads(path.read_text())
    except FileNotFoundError:
        raise OpsError(f"there is no file {path}") from None
    except OSError as error:
        raise OpsError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise OpsError(f"{path} is not JSON: {error}") from None
    if not isinstance(contents, dict):
        raise OpsError(f"{path} does not hold a JSON object")
    return contents
