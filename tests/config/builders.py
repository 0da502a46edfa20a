"""Configurations for the tests of the agent's configuration."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from VenAgent.config import AgentConfig, ConfigError

ROOT = Path(__file__).parents[2]
MINIMAL: Mapping[str, Any] = {
    "ven_id": "site-1",
    "panel": {"device": "site/panel"},
    "circuits": [
        {"id": "c1", "name": "One", "breaker_amps": 20, "power_point": "p1", "switch_point": "s1"},
        {"id": "c2", "name": "Two", "breaker_amps": 30, "power_point": "p2", "switch_point": "s2"},
    ],
}


def load(contents: Any = MINIMAL, **environment: str) -> AgentConfig:
    return AgentConfig.load(contents, environment)


def with_field(path: str, value: Any, contents: Mapping[str, Any] = MINIMAL) -> dict[str, Any]:
    """A copy of `contents` with the field at `path` ("circuits.1.id") set."""
    changed: Any = copy.deepcopy(dict(contents))
    block = changed
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        block = block[part] if isinstance(part, int) else block.setdefault(part, {})
    block[last] = value
    return dict(changed)


def without_field(path: str) -> dict[str, Any]:
    changed = with_field(path, None)
    block: Any = changed
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        block = block[part]
    del block[last]
    return changed


def explained(contents: Any, **environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(contents, **environment)
    return str(refused.value)


def findings(contents: Any, **environment: str) -> list[str]:
    return explained(contents, **environment).split("; ")
