"""The doctor's look at VOLTTRON: platform, agents, driver with its devices, actuator."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from ops.check_config.gateway_check import (
    MAX_OPEN_SOCKETS,
    ONE_SOCKET_REMEDY,
    is_gateway_socket_limit,
    shared_gateways,
)
from ops.doctor.doctor_check import LOOK_AT_LOGS, DoctorCheck, DoctorCheckSubject
from ops.doctor.slow_device import slow_device_check
from ops.doctor.unreachable_peer_check import unreachable_peer_check
from ops.host import processes
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.services import simulated_panel_service as simulated
from ops.volttron import vctl
from ops.volttron import volttron_platform as platform
from ops.volttron import volttron_rpc as rpc
from ops.volttron.agent_health import agent_health, needed_agents
from ops.volttron.agent_install import BACNET_AGENT
from ops.volttron.config_store import AGENT
from VenAgent.config import AgentConfig
from VenAgent.config.circuit_config import PanelCircuitControl
from VenAgent.config.driver_entry import (
    BACNET,
    driver_entry_interval,
    driver_entry_settings,
    driver_entry_type,
)

RESERVATION_REQUIRED = "reservation_required_for_write"
_START = "Run `ven_control.sh start`."


def _config_store(paths: Paths) -> str:
    """The identity of the agents' config store."""
    return "config.store" if paths.generation == 9 else "platform.config_store"


def volttron_platform_checks(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    pid = platform.volttron_platform_pid(patient.paths)
    if pid is None:
        yield DoctorCheck("platform", False, "VOLTTRON does not run", _START)
        return
    record = processes.running_process(patient.paths, platform.NAME)
    up = bool(patient.paths.existing) or (
        record is not None and platform.volttron_platform_is_up(patient.paths, record)
    )
    yield DoctorCheck(
        "platform",
        up,
        f"process {pid}" + ("" if up else ": its services are not up"),
        "" if up else f"Wait a minute, then see {patient.paths.platform_log}.",
    )
    if patient.paths.existing:  # the one of `start` is mended before it starts
        yield unreachable_peer_check(patient.paths)


# --- agents ------------------------------------------------------------------------------------


def volttron_agent_checks(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """Those that every site needs, then the BACnet proxies that this site's devices name."""
    installed = vctl.vctl_status(patient.paths)
    for identity in needed_agents(patient.paths):
        yield _agent(patient, identity, installed.get(identity), _START)
    for identity, device in sorted(_proxies(patient).items()):
        remedy = f"Install VOLTTRON's BACnet proxy with the identity {identity}."
        if identity == BACNET_AGENT.identity:
            remedy = (
                "Run `VEN_BACNET_ADDRESS=192.168.1.10/24 ven_control.sh start` with this machine's "
                "own address and network."
            )
        what = f" and {device} is a BACnet device"
        yield _agent(patient, identity, installed.get(identity), remedy, what)


def _agent(
    patient: DoctorCheckSubject,
    identity: str,
    agent: vctl.VctlAgentStatus | None,
    install: str,
    why: str = "",
) -> DoctorCheck:
    if agent is None:
        patient.absent.add(identity)
        return DoctorCheck(identity, False, f"is not installed{why}", install)
    if not agent.is_running:
        patient.absent.add(identity)
        ended = {"": "was never started", "0": "was stopped"}.get(
            agent.status, f"ended with {agent.status}: `ven_control.sh logs` says why"
        )
        return DoctorCheck(identity, False, f"does not run{why}: it {ended}", _START)
    said = (agent.health, agent.context)
    if not agent.is_good:
        said = agent_health(patient.paths, identity) or said
    if said[0] == "GOOD":
        return DoctorCheck(identity, True, "GOOD")
    text = ": ".join(filter(None, said)) or "has not said how it is"
    return DoctorCheck(identity, False, text, LOOK_AT_LOGS)


def _proxies(patient: DoctorCheckSubject) -> dict[str, str]:
    """The BACnet proxies that the agent's devices are reached through, each with a device."""
    found = {}
    for device in patient.agent.devices():
        config = _driver_config(patient, device) or {}
        if driver_entry_type(config) == BACNET:
            inner = driver_entry_settings(config)
            found[str(inner.get("proxy_address") or BACNET_AGENT.identity)] = device
    return found


# --- devices -----------------------------------------------------------------------------------


def volttron_simulated_panel_checks(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    if simulated.simulated_panel_service_is_wanted(patient.settings):
        runs = processes.running_process(patient.paths, simulated.NAME) is not None
        text = "runs" if runs else "does not run"
        yield DoctorCheck("simulated panel", runs, text, "" if runs else _START)


def volttron_device_checks(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """Every device answers now, and has every point that the agent uses."""
    agent = patient.agent
    if agent.driver_identity in patient.absent:
        yield DoctorCheck(
            "devices", None, f"not looked at while {agent.driver_identity} does not run"
        )
        return
    for device, wanted in _used_points(agent).items():
        yield _device(patient, device, wanted)
    yield from _gateways(patient)
    if patient.paths.generation == 11:
        yield from _write_reservations(patient)


def _device(patient: DoctorCheckSubject, device: str, wanted: set[str]) -> DoctorCheck:
    name, driver = f"device {device}", patient.agent.driver_identity
    config = _driver_config(patient, device)
    if config is None:
        return DoctorCheck(
            name,
            False,
            f"{driver} has no configuration for it",
            f"Store it: `ven_control.sh load-config MODEL --device {device}`.",
        )
    began = time.monotonic()
    try:
        values = rpc.call_volttron_rpc(patient.paths, driver, "scrape_all", device)
    except OpsError as error:
        slow = _slow(patient, name, device, config, error.what)
        return slow or DoctorCheck(name, False, error.what, _reach(config, driver, device))
    values = _by_point(device, values)
    took_ms = (time.monotonic() - began) * 1000
    lacking = sorted(point for point in wanted if point not in values)
    empty = sorted(point for point in wanted if point in values and values[point] is None)
    if not values:
        slow = _slow(patient, name, device, config)
        return slow or DoctorCheck(name, False, "gives no values", _reach(config, driver, device))
    if lacking:
        text = f"publishes no {', '.join(lacking)}"
        remedy = "Correct the names: `ven_control.sh check-config` with the site's files."
    elif empty:
        text = f"gives no value for {', '.join(empty)}"
        remedy = "Check these registers' addresses and types against the device's document."
    else:
        slow = _slow(patient, name, device, config)
        if slow is not None:
            return slow
        text, remedy = f"{len(values)} points read ({took_ms:.0f} ms with the asking)", ""
    return DoctorCheck(name, not remedy, text, remedy)


def _by_point(device: str, answer: Any) -> dict[str, Any]:
    """The answer to scrape_all; 11 names each point by its full topic."""
    values = answer if isinstance(answer, dict) else {}
    return {str(name).removeprefix(f"devices/{device}/"): value for name, value in values.items()}


def _slow(
    patient: DoctorCheckSubject, name: str, device: str, config: dict[str, Any], error: str = ""
) -> DoctorCheck | None:
    """Slow is not dead: VenAgent knows how long the device's answers take."""
    if patient.device_answers is None:
        try:
            status = rpc.call_volttron_rpc(patient.paths, AGENT, "status")
        except OpsError:
            status = None
        known = status.get("devices") if isinstance(status, dict) else None
        patient.device_answers = known if isinstance(known, dict) else {}
    answers = patient.device_answers.get(device) or {}
    return slow_device_check(name, device, answers, driver_entry_interval(config), error)


def _gateways(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """What shares a host and port: whether the driver asks them one after the other."""
    configs = {device: _driver_config(patient, device) or {} for device in patient.agent.devices()}
    shared = shared_gateways(configs)
    if not shared:
        return
    driver, contents = patient.agent.driver_identity, {}
    store = _config_store(patient.paths)
    if "config" in rpc.call_volttron_rpc(patient.paths, store, "list_configs", driver):
        text = rpc.call_volttron_rpc(patient.paths, store, "get_config", driver, "config")
        contents = _object(text, f"the config of {driver}")
    limit = contents.get(MAX_OPEN_SOCKETS)
    for gateway, devices in shared.items():
        name, text = f"gateway {gateway}", f"{', '.join(devices)} are behind it"
        if patient.paths.generation == 11:
            yield DoctorCheck(name, True, f"{text}, over one connection")
        elif is_gateway_socket_limit(limit):
            yield DoctorCheck(name, True, f"{text}, with at most {limit} connections at once")
        else:
            text += ", and the driver opens as many connections as it likes"
            yield DoctorCheck(name, False, text, f"{ONE_SOCKET_REMEDY}.")


def _write_reservations(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """Entries by which the driver of VOLTTRON 11 refuses a write of a single point to everybody but
    this agent, reserved or not: it keeps a reservation under another name than it looks for."""
    driver, store = patient.agent.driver_identity, _config_store(patient.paths)
    stored = set(rpc.call_volttron_rpc(patient.paths, store, "list_configs", driver))
    devices = [f"devices/{device}".split("/") for device in patient.agent.devices()]
    # a topic above the device may have an entry of its own
    names = {"/".join(d[:length]) for d in devices for length in range(2, len(d) + 1)}
    for name in sorted(names & stored):
        text = rpc.call_volttron_rpc(patient.paths, store, "get_config", driver, name)
        if _object(text, f"the entry {name} of {driver}").get(RESERVATION_REQUIRED):
            yield DoctorCheck(
                f"reservations of {name}",
                True,
                f"{RESERVATION_REQUIRED} is set: this agent writes under its reservation; driver "
                "2.0.0rc9 refuses other agents a single point, whatever they have reserved",
            )


def _reach(config: dict[str, Any], driver: str, device: str) -> str:
    """What to look at when the device does not answer."""
    inner = driver_entry_settings(config)
    address = ":".join(str(inner[key]) for key in ("device_address", "port") if key in inner)
    stored = f"`ven_control.sh vctl config get {driver} devices/{device}`"
    if driver_entry_type(config) == BACNET:
        proxy = inner.get("proxy_address") or BACNET_AGENT.identity
        return (
            f"Check that {proxy} runs and has this machine's own address, then power and network "
            f"of the device at {address} and its device_id: {stored}"
        )
    return f"Check power and network of the device at {address or '?'}, and its address: {stored}"


def _driver_config(patient: DoctorCheckSubject, device: str) -> dict[str, Any] | None:
    """The driver's entry for a device; None where there is none."""
    if device not in patient.driver_configs:
        driver, name = patient.agent.driver_identity, f"devices/{device}"
        store = _config_store(patient.paths)
        config = None
        if name in rpc.call_volttron_rpc(patient.paths, store, "list_configs", driver):
            text = rpc.call_volttron_rpc(patient.paths, store, "get_config", driver, name)
            config = _object(text, f"the entry {name} of {driver}")
        patient.driver_configs[device] = config
    return patient.driver_configs[device]


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise OpsError(f"{what} is no JSON object", "Store it again: `ven_control.sh load-config`.")
    return config


def _used_points(agent: AgentConfig) -> dict[str, set[str]]:
    """The points that the agent reads, by device."""
    panel = agent.panel
    used: dict[str, set[str]] = {device: set() for device in agent.devices()}
    used[panel.device] |= {
        name
        for name in (
            *panel.power_points,
            panel.voltage_point,
            panel.current_point,
            panel.battery_soc_point,
        )
        if name
    }
    for circuit in agent.circuits:
        used[agent.device_of(circuit)].update(circuit.power_points)
        control = agent.control_device_of(circuit)
        used[control].update(circuit.points_of_control)
        if circuit.soc_point is not None:
            used[agent.soc_device_of(circuit)].add(circuit.soc_point)
        if circuit.guard_point is not None:
            used[agent.guard_device_of(circuit)].add(circuit.guard_point)
    return used


# --- actuator ----------------------------------------------------------------------------------


def volttron_actuator_checks(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """The actuator reaches every point that an event would write; it is only asked to read."""
    agent = patient.agent
    for identity in (agent.driver_identity, agent.actuator_identity):
        if identity in patient.absent:
            yield DoctorCheck("actuator", None, f"not asked while {identity} does not run")
            return
    panel = agent.build_panel()
    topics = [c.point for c in panel.circuits if c.control is not PanelCircuitControl.NONE]
    if not topics:
        yield DoctorCheck(
            "actuator", None, "no circuit can be switched or limited: all are only measured"
        )
        return
    answer = rpc.call_volttron_rpc(
        patient.paths, agent.actuator_identity, "get_multiple_points", topics
    )
    results, errors = answer if isinstance(answer, list) and len(answer) == 2 else ({}, {})
    # 11 names each by its full topic
    results, errors = (
        {t.removeprefix("devices/"): v for t, v in d.items()} for d in (results, errors)
    )
    failed = {t: errors.get(t, "no value") for t in topics if results.get(t) is None}
    if failed:
        topic, why = next(iter(failed.items()))
        yield DoctorCheck(
            "actuator",
            False,
            f"{len(failed)} of {len(topics)} points cannot be reached: {topic}: {why}",
            "First mend the devices above; then the points' names: `ven_control.sh check-config`.",
        )
    else:
        yield DoctorCheck("actuator", True, f"reaches all {len(topics)} points that events write")
