"""VOLTTRON's config store: driver configurations go in with `vctl config store`, once each.

What was stored is remembered by its fingerprint, so that `start` stores a file again only when it
changed: an entry edited with `vctl config edit` stays as the site engineer left it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.staging import temporary_staging_file
from ops.volttron import vctl

DRIVER = "platform.driver"
AGENT = "ven.agent"
STORE_WITHIN_SEC = 120.0


@dataclass(frozen=True)
class ConfigStoreEntry:
    """One entry of an agent's store."""

    identity: str
    name: str
    contents: str
    kind: str
    """json, csv or raw."""

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.kind}\0{self.contents}".encode()).hexdigest()

    def command(self, file: Path) -> list[str | Path]:
        """The arguments of vctl that store it from a file with its contents."""
        return ["config", "store", self.identity, self.name, file, f"--{self.kind}"]


def load_config_store(
    paths: Paths, entries: list[ConfigStoreEntry], *, anew: bool = False
) -> list[str]:
    """Store what is not there or has changed since it was stored (all with `anew`); their names."""
    known = {} if anew else _known(paths)
    present = set(config_store_names(paths, DRIVER)) if known else set()
    stored = []
    for entry in entries:
        if known.get(entry.name) == entry.fingerprint and entry.name in present:
            continue
        store_config_entry(paths, entry)
        stored.append(entry.name)
    _remember(paths, {**_known(paths), **{entry.name: entry.fingerprint for entry in entries}})
    return stored


def store_config_entry(paths: Paths, entry: ConfigStoreEntry) -> None:
    with temporary_staging_file(paths, entry.contents, f".{entry.kind}") as file:
        command = entry.command(file)
        try:
            vctl.vctl_output(paths, *command, timeout_sec=STORE_WITHIN_SEC)
        except vctl.VctlTimeout:  # seen on a VOLTTRON just started; to store twice is harmless
            vctl.vctl_output(paths, *command, timeout_sec=STORE_WITHIN_SEC)


def config_store_names(paths: Paths, identity: str) -> list[str]:
    """The entries an agent has in the store."""
    result = vctl.run_vctl(paths, "config", "list", identity)
    return result.stdout.split() if result.returncode == 0 else []


def config_store_agent_config(paths: Paths) -> dict[str, Any] | None:
    """VenAgent's entry, which wins over the file it was installed with; None if there is none."""
    if "config" not in config_store_names(paths, AGENT):
        return None
    output = vctl.vctl_output(paths, "config", "get", AGENT, "config")
    try:
        contents = json.loads(output)
    except ValueError as error:
        raise OpsError(
            f"the entry `config` of {AGENT} in the config store is not JSON: {error}",
            "Correct it: `ven_control.sh vctl config edit ven.agent config`.",
        ) from None
    return contents if isinstance(contents, dict) else None


def _known(paths: Paths) -> Mapping[str, str]:
    """Fingerprints of what was stored, by name; none when the platform's home was made anew."""
    try:
        loaded = json.loads((paths.run / "config_store.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _remember(paths: Paths, fingerprints: Mapping[str, str]) -> None:
    if paths.existing:
        return  # what else is stored there is not ours to know
    file = paths.run / "config_store.json"
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(json.dumps(fingerprints, indent=2) + "\n")
