"""Whether the agents are well, and what they say when they are not."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from ops.clients.command_sender import send_command_to_own_ven
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.volttron import vctl
from ops.volttron import volttron_rpc as rpc
from ops.volttron.agent_install import ACTUATOR, restart_installed_agent
from ops.volttron.config_store import AGENT, DRIVER

NEEDED = (DRIVER, ACTUATOR, AGENT)
"""On VOLTTRON 9 and 10."""
HEALTHY_WITHIN_SEC = 60.0
LOOKS, LONGEST_SEC = 20, 300.0
"""On a slow machine: time for so many looks with vctl more, up to that long."""
REVIVE_EVERY_SEC = 30.0
ANSWER_WITHIN_SEC = 5.0


def needed_agents(paths: Paths) -> tuple[str, ...]:
    """The identities that every site needs; on 11 the driver reserves the devices itself."""
    return NEEDED if paths.has_actuator else (DRIVER, AGENT)


def agent_health(paths: Paths, identity: str) -> tuple[str, str] | None:
    """("BAD", "MQTT: …"), or None when it cannot be had: `vctl status` has no sentence."""
    try:
        said = rpc.call_volttron_rpc(
            paths, identity, "health.get_status", timeout_sec=ANSWER_WITHIN_SEC
        )
        answer = json.loads(said) if isinstance(said, str) else said
    except (OpsError, ValueError):
        return None
    if not isinstance(answer, dict):
        return None
    return str(answer.get("status") or ""), str(answer.get("context") or "")


def wait_for_agent_health(paths: Paths, settings: SiteSettings) -> None:
    """Until all agents are well, and VenAgent answers through its broker.

    A slow machine gets more time: as much as it needs for vctl, which tells how slow it is.
    """
    began = time.monotonic()
    revived = float("-inf")
    deadline = began + HEALTHY_WITHIN_SEC
    while True:
        asked = time.monotonic()
        agents = vctl.vctl_status(paths)
        slowness_sec = time.monotonic() - asked
        deadline = max(
            deadline, began + min(LONGEST_SEC, HEALTHY_WITHIN_SEC + LOOKS * slowness_sec)
        )
        if time.monotonic() - revived > REVIVE_EVERY_SEC and _revive_actuator(paths, agents):
            revived = time.monotonic()  # it needs a while: not again and again
            continue
        problem = _unwell(paths, agents) or _unheard(paths, settings, deadline)
        if problem is None:
            return
        if time.monotonic() >= deadline:
            raise OpsError(problem, log=paths.platform_log)
        time.sleep(0.5)


def _revive_actuator(paths: Paths, agents: Mapping[str, vctl.VctlAgentStatus]) -> bool:
    """Restart an actuator that came up before the driver; whether that was needed.

    VOLTTRON starts its agents by priority, but without waiting for one to be up before the next.
    An actuator that misses the driver looks again only after 5 s, and says for ever that the
    driver does not run.
    """
    driver, actuator = agents.get(DRIVER), agents.get(ACTUATOR)
    if not (driver and driver.is_running and actuator and actuator.is_running):
        return False
    if actuator.is_good:
        return False
    said = agent_health(paths, ACTUATOR)
    if said is None or said[0] != "BAD" or DRIVER not in said[1]:
        return False
    restart_installed_agent(paths, ACTUATOR)
    return True


def _unwell(paths: Paths, agents: Mapping[str, vctl.VctlAgentStatus]) -> str | None:
    """The first agent that is not well and what it says; None when all are."""
    for identity in needed_agents(paths):
        agent = agents.get(identity)
        if agent is None or not agent.is_running:
            return f"{identity} does not run"
        if not agent.is_good:
            said = agent_health(paths, identity) or (agent.health, agent.context)
            if said[0] != "GOOD":
                return f"{identity} is not well: {': '.join(filter(None, said))}"
    return None


def _unheard(paths: Paths, settings: SiteSettings, deadline: float) -> str | None:
    """Why VenAgent does not answer through its broker, or what it says is wrong; else None."""
    target = settings.ven_target()
    timeout_sec = min(20.0, max(1.0, deadline - time.monotonic()))
    try:
        answer = send_command_to_own_ven(paths, target, "status", timeout_sec)
    except OpsError as error:
        return error.what
    state = answer.get("data") or {}
    if state.get("health") == "GOOD":
        return None
    return f"VenAgent is not well: {state.get('health_context') or answer.get('reason')}"
