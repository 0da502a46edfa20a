"""A state root of its own for each test, and a real broker where one is needed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.host import processes
from ops.host.condition import wait_for_condition
from ops.host.paths import Paths
from ops.host.ports import port_is_listening
from ops.host.site_settings import SiteSettings, site_settings_default_config
from tests.support.asked_to_end import asked_to_end
from tests.support.ports import free_port

REPO = Path(__file__).resolve().parents[2]
NOW = ((signal.SIGKILL, 5.0),)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    """As scripts/environment.sh makes it, with us as the plain user. Ends what the test started."""
    home = tmp_path / "state"
    for folder in ("run", "log/volttron", "staged", "broker", "volttron", "platform/bin", "home"):
        (home / folder).mkdir(parents=True)
    made = Paths(repo=REPO, home=home, user=pwd.getpwuid(os.geteuid()).pw_name)
    yield made
    for record in made.run.glob("*.json"):
        if record.stem != "config_store":
            processes.end_processes(made, record.stem, NOW)


@pytest.fixture
def settings(paths: Paths) -> SiteSettings:
    return SiteSettings(agent_config=site_settings_default_config(paths))


@contextmanager
def mosquitto(folder: Path, config: str, anonymous: bool = True) -> Iterator[int]:
    """A broker of the test's own, on a free port of 127.0.0.1; `config` beside its listener."""
    program = os.environ.get("MOSQUITTO") or shutil.which(
        "mosquitto", path=os.environ["PATH"] + ":/usr/sbin"
    )
    assert program, "mosquitto is not installed: scripts/test.sh does it"
    port = free_port()
    file = folder / "mosquitto.conf"
    allowed = "true" if anonymous else "false"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous {allowed}\n{config}")
    with subprocess.Popen([program, "-c", str(file)], stderr=subprocess.DEVNULL) as broker:
        try:
            assert wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 60)
            yield port
        finally:
            asked_to_end(broker)


@pytest.fixture
def broker_port(tmp_path: Path) -> Iterator[int]:
    with mosquitto(tmp_path, "set_tcp_nodelay true\n") as port:
        yield port
