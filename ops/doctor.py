"""`doctor`: each thing a working VEN needs, whether it is there, and what to do if not.

Nothing is changed: points are read, nothing is written or reserved.
"""

from __future__ import annotations

import email.utils
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from ops import doctor_tls, platform, processes, rpc, vctl
from ops.checks import Check
from ops.commands import ask_own
from ops.errors import OpsError
from ops.health import NEEDED, of_agent
from ops.paths import Paths
from ops.settings import Settings
from VenAgent.config import AgentConfig
from VenAgent.dr.panel import Control

MIN_FREE_MB = 500
MAX_SKEW_SEC = 5.0
ANSWER_WITHIN_SEC = 8.0
HTTP_WITHIN_SEC = 8.0
_LOOK_AT_LOGS = "See `ven_control.sh logs --level warning`."
_SHADOW_GRACE_SEC = 30.0


@dataclass
class Patient:
    """What all checks need."""

    paths: Paths
    settings: Settings

    @property
    def agent(self) -> AgentConfig:
        return self.settings.agent()


def examine(paths: Paths, settings: Settings) -> Iterator[Check]:
    """All checks, in the order in which one needs the other; a later one never raises."""
    patient = Patient(paths, settings)
    yield from _safely("disk", disk, patient)
    yield from _safely("clock", clock, patient)
    config = list(_safely("configuration", configuration, patient))
    yield from config
    if any(check.ok is False for check in config):
        yield Check("the rest", None, "not looked at without a usable configuration")
        return
    running = list(_safely("platform", volttron, patient))
    yield from running
    if all(check.ok for check in running):
        yield from _safely("agents", agents, patient)
        yield from _safely("driver", driver_points, patient)
        yield from _safely("actuator", actuator_points, patient)
    else:
        yield Check("agents, driver, actuator", None, "not looked at while VOLTTRON does not run")
    yield from _safely("broker", lambda p: doctor_tls.broker(p.agent.broker), patient)
    yield from _safely("VenAgent", answers, patient)
    yield from _safely("shadow", shadow, patient)
    yield from _safely("backend", backend, patient)


def _safely(
    name: str, look: Callable[[Patient], Iterator[Check]], patient: Patient
) -> Iterator[Check]:
    try:
        yield from look(patient)
    except OpsError as error:
        yield Check(name, False, error.what, " ".join(error.advice) or _LOOK_AT_LOGS)


# --- this machine ------------------------------------------------------------------------------


def disk(patient: Patient) -> Iterator[Check]:
    home = patient.paths.home
    try:
        usage = shutil.disk_usage(home)
    except FileNotFoundError:
        yield Check("disk", None, f"{home} is not there yet", "`ven_control.sh start` makes it.")
        return
    free_mb = usage.free // 1_000_000
    enough = free_mb >= MIN_FREE_MB
    yield Check(
        "disk",
        enough,
        f"{free_mb:,} MB free below {home}",
        ""
        if enough
        else f"Free at least {MIN_FREE_MB} MB: journal and outbox need room, and an "
        "event that cannot be recorded is not begun.",
    )


def clock(patient: Patient) -> Iterator[Check]:
    """Against the backend's or the endpoint's HTTP date, else by what the system says of NTP."""
    variables = patient.settings.variables
    endpoint = variables.get("IOT_ENDPOINT")
    urls = [variables.get("BACKEND_URL"), f"https://{endpoint}/" if endpoint else None]
    remedy = "Switch time synchronisation on: timedatectl set-ntp true (or install chrony)."
    for url in filter(None, urls):
        skew_sec = skew_to(url)
        if skew_sec is not None:
            good = abs(skew_sec) <= MAX_SKEW_SEC
            text = f"{skew_sec:+.1f} s from {url}"
            yield Check("clock", good, text, "" if good else remedy)
            return
    synchronised = ntp_synchronised()
    if synchronised is None:
        yield Check("clock", None, "nothing here to compare it with")
    else:
        text = "synchronised" if synchronised else "not synchronised with any time server"
        yield Check("clock", synchronised, text, "" if synchronised else remedy)


def skew_to(url: str) -> float | None:
    """Seconds that our clock is ahead of an HTTP server's; None if it gives no date."""
    before = time.time()
    try:
        with urllib.request.urlopen(_get(url), timeout=HTTP_WITHIN_SEC) as response:
            date = response.headers.get("Date")
    except urllib.error.HTTPError as answered:
        date = answered.headers.get("Date")
    except (OSError, ValueError, HTTPException):
        return None
    if not date:
        return None
    server = email.utils.parsedate_to_datetime(date).timestamp() + 0.5  # it has whole seconds
    return (before + time.time()) / 2 - server


def ntp_synchronised() -> bool | None:
    try:
        said = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(said)


def _get(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"User-Agent": "ven_control doctor"})


def configuration(patient: Patient) -> Iterator[Check]:
    agent = patient.agent
    where = "config store" if patient.settings.in_store else "the file it was installed with"
    yield Check(
        "configuration", True, f"{agent.ven_id}, {len(agent.circuits)} circuits, from {where}"
    )


# --- VOLTTRON ----------------------------------------------------------------------------------


def volttron(patient: Patient) -> Iterator[Check]:
    record = processes.running(patient.paths, platform.NAME)
    if record is None:
        yield Check("platform", False, "VOLTTRON does not run", "Run `ven_control.sh start`.")
        return
    up = platform.is_up(patient.paths, record)
    yield Check(
        "platform",
        up,
        f"process {record.pid}" + ("" if up else ": its services are not up"),
        "" if up else f"Wait a minute, then see {patient.paths.platform_log}.",
    )


def agents(patient: Patient) -> Iterator[Check]:
    installed = vctl.agents(patient.paths)
    for identity in NEEDED:
        agent = installed.get(identity)
        if agent is None:
            yield Check(identity, False, "is not installed", "Run `ven_control.sh start`.")
        elif not agent.is_running:
            yield Check(
                identity,
                False,
                f"does not run (status {agent.status or 'none'})",
                "Run `ven_control.sh start`; `ven_control.sh logs` says why it ended.",
            )
        else:
            said = (agent.health, agent.context)
            if not agent.is_good:
                said = of_agent(patient.paths, identity) or said
            good = said[0] == "GOOD"
            text = said[0] or "has not said how it is"
            if not good:
                text = ": ".join(filter(None, (text, said[1])))
            yield Check(identity, good, text, "" if good else _LOOK_AT_LOGS)


def driver_points(patient: Patient) -> Iterator[Check]:
    """Every device answers now, and has every point that the agent uses."""
    agent = patient.agent
    for device, wanted in used_points(agent).items():
        began = time.monotonic()
        try:
            values = rpc.call(patient.paths, agent.driver_identity, "scrape_all", device)
        except OpsError as error:
            yield Check(
                f"device {device}",
                False,
                error.what,
                f"Check power and network of the device, and its address: vctl config get "
                f"{agent.driver_identity} devices/{device}",
            )
            continue
        values = values if isinstance(values, dict) else {}
        took_ms = (time.monotonic() - began) * 1000
        lacking = sorted(name for name in wanted if name not in values)
        empty = sorted(name for name in wanted if name in values and values[name] is None)
        if lacking:
            text = f"publishes no {', '.join(lacking)}"
            remedy = "Correct the names: `ven_control.sh check-config` with the site's files."
        elif empty:
            text = f"gives no value for {', '.join(empty)}"
            remedy = "Check these registers' addresses and types against the device's document."
        else:
            text, remedy = f"{len(values)} points read ({took_ms:.0f} ms with the asking)", ""
        yield Check(f"device {device}", not remedy, text, remedy)


def used_points(agent: AgentConfig) -> dict[str, set[str]]:
    """The points that the agent reads, by device."""
    panel = agent.panel
    used: dict[str, set[str]] = {device: set() for device in agent.devices()}
    used[panel.device] |= {
        name
        for name in (
            panel.power_point,
            panel.voltage_point,
            panel.current_point,
            panel.battery_soc_point,
        )
        if name
    }
    for circuit in agent.circuits:
        used[agent.device_of(circuit)].add(circuit.power_point)
        control = agent.control_device_of(circuit)
        used[control] |= {name for name in (circuit.switch_point, circuit.limit_point) if name}
    return used


def actuator_points(patient: Patient) -> Iterator[Check]:
    """The actuator reaches every point that an event would write; it is only asked to read."""
    agent = patient.agent
    panel = agent.build_panel()
    topics = [c.point for c in panel.circuits if c.control is not Control.NONE]
    if not topics:
        yield Check(
            "actuator", None, "no circuit can be switched or limited: all are only measured"
        )
        return
    answer = rpc.call(patient.paths, agent.actuator_identity, "get_multiple_points", topics)
    results, errors = answer if isinstance(answer, list) and len(answer) == 2 else ({}, {})
    failed = {t: errors.get(t, "no value") for t in topics if results.get(t) is None}
    if failed:
        topic, why = next(iter(failed.items()))
        yield Check(
            "actuator",
            False,
            f"{len(failed)} of {len(topics)} points cannot be reached: {topic}: {why}",
            "Check the device and the point's name: `ven_control.sh check-config`.",
        )
    else:
        yield Check("actuator", True, f"reaches all {len(topics)} points that events write")


# --- the VEN and its cloud ---------------------------------------------------------------------


def answers(patient: Patient) -> Iterator[Check]:
    """VenAgent itself, asked through its broker, as the cloud would (with TLS: on the bus)."""
    agent = patient.agent
    began = time.monotonic()
    answer = ask_own(patient.paths, agent, "status", ANSWER_WITHIN_SEC)
    data = answer.get("data") or {}
    took_ms = (time.monotonic() - began) * 1000
    good = data.get("health") == "GOOD"
    sentence = str(data.get("health_context") or answer.get("reason") or "")
    yield Check(
        "VenAgent",
        good,
        f"answers in {took_ms:.0f} ms" + ("" if good else f": {sentence}"),
        "" if good else "Its sentence says what it lacks; see `ven_control.sh logs`.",
    )
    quality = data.get("quality")
    yield Check(
        "meter",
        quality == "good",
        f"{quality or 'unknown'}, {data.get('power_kw')} kW",
        "" if quality == "good" else "The driver does not publish: see the devices above.",
    )
    depth = data.get("outbox_depth")
    if isinstance(depth, int):
        waiting = depth > 100
        yield Check(
            "outbox",
            not waiting,
            f"{depth} messages wait",
            "The broker takes them too slowly, or refuses them: check its policy and limits."
            if waiting
            else "",
        )


def shadow(patient: Patient) -> Iterator[Check]:
    """What the agent reports is of now."""
    agent = patient.agent
    if not agent.streams.shadow:
        yield Check("shadow", None, "switched off in the configuration (streams.shadow)")
        return
    answer = ask_own(patient.paths, agent, "shadow", ANSWER_WITHIN_SEC)
    stamp = _find(answer.get("data"), "timestamp")
    if not isinstance(stamp, (int, float)):
        yield Check("shadow", False, "the agent reports no state", "See `ven_control.sh logs`.")
        return
    age_sec = time.time() - stamp
    fresh = age_sec <= 2 * agent.shadow_interval_sec + _SHADOW_GRACE_SEC
    yield Check(
        "shadow",
        fresh,
        f"reported {max(0.0, age_sec):.0f} s ago, {len(json.dumps(answer['data']))} bytes",
        "" if fresh else "Check the clock, and the broker's policy for $aws/things/…/shadow.",
    )


def _find(block: Any, key: str) -> Any:
    """The first value of `key` in nested objects."""
    if isinstance(block, dict):
        if key in block:
            return block[key]
        for value in block.values():
            found = _find(value, key)
            if found is not None:
                return found
    return None


def backend(patient: Patient) -> Iterator[Check]:
    url = patient.settings.variables.get("BACKEND_URL")
    if not url:
        yield Check("backend", None, "none set (BACKEND_URL)")
        return
    address = url.rstrip("/") + "/health"
    try:
        with urllib.request.urlopen(_get(address), timeout=HTTP_WITHIN_SEC) as response:
            yield Check("backend", True, f"{address} answers {response.status}")
    except urllib.error.HTTPError as error:
        yield Check(
            "backend",
            False,
            f"{address} answers {error.code} {error.reason}",
            "It runs and is not well: see its log and its database.",
        )
    except (ValueError, HTTPException):  # its text would show what stands in the URL
        yield Check("backend", False, "BACKEND_URL is no usable URL", "Write https://HOST[:PORT].")
    except OSError as error:
        reason = getattr(error, "reason", error)
        yield Check(
            "backend",
            False,
            f"{address} cannot be reached: {reason}",
            "Check BACKEND_URL, and that the backend runs.",
        )
