"""What all benchmarks say beside their figures."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops import config_store, vctl
from ops.paths import Paths
from ops.settings import Settings


def quantile(values: list[float], q: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(q * 100) - 1]


def machine() -> str:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    return f"{model}, {cores} cores, Python {platform.python_version()}"


@contextmanager
def configured(paths: Paths, started: Settings, contents: Mapping[str, Any]) -> Iterator[None]:
    """The agent with this configuration in its store; as it was, afterwards."""
    _store(paths, contents)
    try:
        yield
    finally:
        if started.in_store:
            _store(paths, started.agent_config)
        else:
            vctl.must(paths, "config", "delete", config_store.AGENT, "config")


def _store(paths: Paths, contents: Mapping[str, Any]) -> None:
    entry = config_store.Entry(config_store.AGENT, "config", json.dumps(contents), "json")
    config_store.store(paths, entry)
