"""A VOLTTRON of volttrontesting that starts and stops on a machine with other work."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import psutil
from gevent import subprocess
from volttron.client import Agent
from volttrontesting.platformwrapper import PlatformWrapper
from volttrontesting.utils import get_rand_vip

KILLING = Path(__file__).with_name("killing")
CONTROL = "platform.control"
MONITOR_SEC = 3
"""How often the platform looks for agents that died."""
PLATFORM_START_SEC = 180
"""The longest that a platform may take until it is up, on a machine with other work."""


class PatientPlatform(PlatformWrapper):
    """A platform of volttrontesting on a machine with other work.

    The wrapper asks ten times in a row whether the platform's control service is on the bus, and
    when it is not there within those milliseconds it shuts down what it has just started and
    removes its folder.
    """

    def build_agent(self, *args: Any, **kwargs: Any) -> Agent:
        agent = super().build_agent(*args, **kwargs)
        deadline = time.monotonic() + PLATFORM_START_SEC
        while CONTROL not in _peers(agent):
            assert time.monotonic() < deadline, "the platform's control service is not on the bus"
            gevent.sleep(0.1)
        return agent


def start_volttron(volttron: PatientPlatform, **options: Any) -> None:
    """Start it on the address that it has; AssertionError with the end of its log if it fails.

    A second time if need be: the wrapper may read the platform's pid file while it is written.
    """
    for attempt in range(2):
        try:
            volttron.startup_platform(
                volttron.vip_address or get_rand_vip(),
                agent_monitor_frequency=MONITOR_SEC,
                timeout=PLATFORM_START_SEC,
                **options,
            )
            return
        except (Exception, gevent.Timeout) as error:
            log = Path(volttron.log_path)
            end = log.read_text(errors="replace")[-3000:] if log.exists() else "no log"
            print(f"VOLTTRON did not start: {error!r}\n{end}", file=sys.stderr)
            if attempt or not Path(volttron.volttron_home).exists():
                raise AssertionError(f"VOLTTRON did not start: {error!r}\n{end}") from error
            end_volttron_processes(volttron)


def _peers(agent: Agent) -> list[str]:
    with suppress(gevent.Timeout):
        return agent.vip.peerlist().get(timeout=10)
    return []


def end_volttron_processes(volttron: PatientPlatform) -> None:
    """Every process of the platform, at once."""
    if volttron.p_process is None or volttron.p_process.poll() is not None:
        return
    platform = psutil.Process(volttron.p_process.pid)
    for victim in [platform, *platform.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it ended with the one before it
            victim.kill()
    volttron.p_process.wait(60)


def started_volttron() -> PatientPlatform:
    """A platform of volttrontesting, with pip held to our versions."""
    volttron = PatientPlatform(messagebus="zmq")
    volttron.env["PIP_CONSTRAINT"] = os.environ["PIP_CONSTRAINT"]
    volttron.env["PYTHONPATH"] = str(KILLING)
    volttron.env.pop("PIP_FIND_LINKS", None)
    start_volttron(volttron)
    return volttron


def stop_volttron(volttron: PatientPlatform) -> None:
    """Stop the platform and remove its folder.

    The wrapper's own clean-up removes the agents one by one, which uninstalls driver and actuator
    from the environment, and the next `vctl install` fetches another generation.
    """
    agent = volttron.dynamic_agent
    for method in ("shutdown", "stop_platform"):
        with suppress(gevent.Timeout):
            agent.vip.rpc.call(CONTROL, method).get(timeout=30)
    agent.core.stop(timeout=5)
    try:
        volttron.p_process.wait(30)
    except subprocess.TimeoutExpired:
        volttron.p_process.kill()
        volttron.p_process.wait(10)
    shutil.rmtree(Path(volttron.volttron_home).parent)
