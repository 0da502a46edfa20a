"""What `start` remembers, so that the commands after it need no options.

settings.json holds no secrets: those (the page's token) are in secrets.json beside it. Both are
readable for their owner only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.clients.ven_target import VenTarget
from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_variables import site_variables
from ops.host.volttron_generation import DEFAULT_VOLTTRON_GENERATION

if TYPE_CHECKING:
    from VenAgent.config import AgentConfig

LOOPBACK = "127.0.0.1"
_SECRET_NAME = re.compile(r"(?i)(token|password|passphrase|secret|api_?key)$")
"""A setting that ends so is a secret; `secret_name` and `password_file` say where one is."""
_WITH_LOGIN = re.compile(r"://[^/@\s]+:[^/@\s]+@")
"""So is an address with a login in it."""


@dataclass(frozen=True)
class SiteSettings:
    """The VEN as it was started."""

    agent_config: dict[str, Any]
    """What the agent was given: the config store's entry, or the file it was installed with."""
    in_store: bool = False
    """Whether it is the config store's entry."""
    variables: dict[str, str] = field(default_factory=dict)
    """The environment variables that win over it, and our ports."""
    devices: str = "simulated_panel"
    """Folder of MeterDriverConfigs/, or a path."""
    panel: bool = True
    steady: bool = False
    volttron: int = DEFAULT_VOLTTRON_GENERATION
    """The generation of VOLTTRON: 10 or 11."""
    kept_target: Mapping[str, Any] | None = field(default=None, compare=False)
    """The VEN's target, with the fingerprint of what it was made from."""

    def agent(self, overrides: Mapping[str, str] | None = None) -> AgentConfig:
        """The agent's configuration as the agent reads it; `overrides` are more variables."""
        from VenAgent.config import AgentConfig, ConfigError  # takes 0.2 s: only where needed

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

    def ven_target(self, overrides: Mapping[str, str] | None = None) -> VenTarget:
        """Where the VEN is; quick, when nothing has changed since it was kept."""
        kept = self.kept_target or {}
        if kept.get("made_from") == self._made_from(overrides):
            try:
                return VenTarget.from_json(kept["target"])
            except (TypeError, KeyError):
                pass
        return VenTarget.of_config(self.agent(overrides))

    def target_to_keep(self) -> dict[str, Any] | None:
        target = VenTarget.of_config(self.agent()).as_json()
        return None if target is None else {"made_from": self._made_from(None), "target": target}

    def _made_from(self, overrides: Mapping[str, str] | None) -> str:
        """A fingerprint of all that decides where the VEN is; of a secret it tells nothing."""
        config, _ = _without_secrets(self.agent_config)
        variables, _ = _without_secrets(self.agent_variables(overrides))
        return hashlib.sha256(json.dumps([config, variables], sort_keys=True).encode()).hexdigest()

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
        contents = json.loads(paths.settings.read_text())
        secrets = json.loads(paths.secrets.read_text()) if paths.secrets.exists() else {}
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _unreadable(paths, str(error)) from None
    if not isinstance(contents, dict) or not isinstance(secrets, dict):
        raise _unreadable(paths, "it does not hold a JSON object")
    known = {
        each.name: contents[each.name] for each in fields(SiteSettings) if each.name in contents
    }
    for name, kind in (("agent_config", dict), ("variables", dict), ("devices", str)):
        if name in known and not isinstance(known[name], kind):
            raise _unreadable(paths, f"{name} is not as it was written")
        if name in secrets:
            known[name] = _merged(known.get(name, {}), secrets[name])
    if "agent_config" not in known:
        raise _unreadable(paths, "agent_config is missing")
    return SiteSettings(**known)


def _unreadable(paths: Paths, why: str) -> OpsError:
    return OpsError(
        f"cannot read {paths.settings}: {why}", "Remove that file and run `start` again."
    )


def save_site_settings(paths: Paths, settings: SiteSettings) -> None:
    """Both files whole or not at all. Raises OpsError when the configuration cannot be used."""
    contents = {**asdict(settings), "kept_target": settings.target_to_keep()}
    secrets: dict[str, Any] = {}
    for name in ("agent_config", "variables"):
        contents[name], taken = _without_secrets(contents[name])
        if taken:
            secrets[name] = taken
    _write_private(paths.secrets, secrets)
    _write_private(paths.settings, contents)


def _write_private(file: Path, contents: Mapping[str, Any]) -> None:
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as text:
        text.write(json.dumps(contents, indent=2) + "\n")
    draft.replace(file)


def _without_secrets(block: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The block without its secrets, and a block of the same shape with them alone."""
    open_part: dict[str, Any] = {}
    secret_part: dict[str, Any] = {}
    for name, value in block.items():
        if isinstance(value, Mapping):
            open_part[name], inner = _without_secrets(value)
            if inner:
                secret_part[name] = inner
        elif isinstance(value, str) and (_SECRET_NAME.search(name) or _WITH_LOGIN.search(value)):
            secret_part[name] = value
        else:
            open_part[name] = value
    return open_part, secret_part


def _merged(block: Mapping[str, Any], secrets: Any) -> dict[str, Any]:
    merged = dict(block)
    for name, value in dict(secrets).items():
        inner = merged.get(name)
        merged[name] = _merged(inner or {}, value) if isinstance(value, Mapping) else value
    return merged


def site_settings_secrets(settings: SiteSettings) -> Iterator[str]:
    """Every secret in it, for whoever makes sure that none is shown."""

    def values(block: Mapping[str, Any]) -> Iterator[str]:
        for value in block.values():
            if isinstance(value, Mapping):
                yield from values(value)
            else:
                yield str(value)

    for block in (settings.agent_config, settings.variables):
        yield from values(_without_secrets(block)[1])


def current_site_settings(paths: Paths, environment: Mapping[str, str]) -> SiteSettings:
    """The settings of a command: what `start` remembered, with the environment of now over it."""
    settings = load_site_settings(paths) or SiteSettings(
        agent_config=site_settings_default_config(paths)
    )
    variables = {**settings.variables, **site_variables(environment)}
    return replace(settings, variables=variables)


def site_settings_default_config(paths: Paths) -> dict[str, Any]:
    """The agent's default configuration, the file `config` of the repository."""
    return read_json_file(paths.repo / "config")
