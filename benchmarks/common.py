"""What all benchmarks say beside their figures."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.host.child_environment import platform_child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.host.site_settings import SiteSettings
from ops.volttron import config_store, vctl

VIP_PORT = 22916
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
"""One line of JSON to a process, and the line that it answers."""


def quantile(values: list[float], q: float) -> float:
    if len(values) == 1:
        return values[0]
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
def configured(paths: Paths, started: SiteSettings, contents: Mapping[str, Any]) -> Iterator[None]:
    """The agent with this configuration in its store; as it was, afterwards."""
    _store(paths, contents)
    try:
        yield
    finally:
        if started.in_store:
            _store(paths, started.agent_config)
        else:
            vctl.vctl_output(paths, "config", "delete", config_store.AGENT, "config")


def _store(paths: Paths, contents: Mapping[str, Any]) -> None:
    entry = config_store.ConfigStoreEntry(
        config_store.AGENT, "config", json.dumps(contents), "json"
    )
    config_store.store_config_entry(paths, entry)


@contextmanager
def on_the_bus(paths: Paths, started: SiteSettings, script: str, *arguments: str) -> Iterator[Ask]:
    """A process of the platform's environment, on the running platform's bus.

    `script` is a file of this folder. It is given the VIP address and `arguments`, tells with a
    line of JSON that it is ready, and answers each line with one; it ends when its input does.
    Raises OpsError when it ends before.
    """
    environment = platform_child_environment(paths, {})
    environment["PYTHONPATH"] = str(paths.staged / "agent")
    text = (Path(__file__).parent / script).read_text()
    address = f"tcp://127.0.0.1:{started.port('VEN_VIP_PORT', VIP_PORT)}"
    process = subprocess.Popen(
        [str(paths.platform_bin / "python"), "-c", text, address, *arguments],
        env=environment,
        cwd=paths.volttron_home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **plain_user(paths),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asking, answering = process.stdin, process.stdout

    def answer() -> dict[str, Any]:
        for line in answering:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise OpsError(
            f"{script} ended early with exit status {process.wait(10)}: is the platform running?"
        )

    def ask(question: Mapping[str, Any]) -> dict[str, Any]:
        asking.write(json.dumps(question) + "\n")
        asking.flush()
        return answer()

    try:
        answer()
        yield ask
    finally:
        asking.close()
        process.wait(20)
