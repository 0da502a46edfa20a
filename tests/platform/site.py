"""A whole site for the tests: panel, broker, VOLTTRON with driver, actuator and VenAgent."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gevent
import paho.mqtt.client as mqtt
import psutil
from gevent import subprocess
from paho.mqtt.enums import CallbackAPIVersion

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.platform.patient_platform import (
    CONTROL,
    PatientPlatform,
    end_volttron_processes,
    start_volttron,
)
from tests.support.ports import free_port
from VenAgent.volttron_compat import RPC_FAILURES, VolttronCompatCalls

ROOT = Path(__file__).resolve().parents[2]
VEN_ID = "test_thing"
DEVICE = "site/building/panel"
DRIVER, ACTUATOR, VEN = "platform.driver", "platform.actuator", "ven.agent"
CONFIG_STORE = "platform.config_store"
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, timeout_sec: float = 120.0) -> T:
    """The first truthy result of `condition`; AssertionError that names `what` if none comes."""
    deadline = time.monotonic() + timeout_sec
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {timeout_sec:g} s: {what}"
        gevent.sleep(0.01)


@contextmanager
def process(command: list[str], **kwargs: Any) -> Iterator[subprocess.Popen]:
    """A process of the tests' own, ended by its pid."""
    running = subprocess.Popen(command, text=True, **kwargs)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(60)


@contextmanager
def simulated_panel(*options: str) -> Iterator[tuple[int, SimulatedPanelControl]]:
    """The steady panel on free ports: its Modbus port, and its control."""
    python = os.environ["VENAGENT_TOOLS_PYTHON"]
    command = [python, "-m", "simulator", "--steady", "--port", "0", "--control-port", "0"]
    command += options
    with process(command, cwd=ROOT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        ports = [int(re.findall(r":(\d+)", running.stdout.readline())[0]) for _ in range(2)]
        with SimulatedPanelControl(ports[1]) as control:
            yield ports[0], control


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto of its own: its port."""
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
        f"persistence false\nlog_dest none\n"
    )
    with process([os.environ.get("MOSQUITTO", "mosquitto"), "-c", str(config)]):

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listening, "mosquitto listens")
        yield port


def broker_process(port: int) -> psutil.Process:
    """The mosquitto that these tests started on this port."""
    for child in psutil.Process().children():
        line = child.cmdline()
        if line[1:2] == ["-c"] and f"listener {port} " in Path(line[2]).read_text():
            return child
    raise AssertionError(f"no broker of ours on port {port}")


class Cloud:
    """The operator's end of the broker: sends commands, keeps what the VEN says."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._messages: list[tuple[str, dict[str, Any], float]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_socket_open = lambda _client, _data, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._client.on_message = self._keep
        self._client.connect("127.0.0.1", port)
        topics = ("ven/+/+", "ven/bus/+/out", "volttron/metering", "$aws/things/#")
        self._client.subscribe([(topic, 1) for topic in topics])
        self._client.loop_start()
        self._count = 0

    def _keep(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        if not message.topic.startswith("ven/cmd/"):
            with self._lock:
                self._messages.append((message.topic, json.loads(message.payload), time.time()))

    def messages(self, topic: str) -> list[dict[str, Any]]:
        with self._lock:
            return [body for name, body, _ in self._messages if name == topic]

    def forget(self) -> None:
        with self._lock:
            self._messages.clear()

    def publish(self, payload: bytes | dict[str, Any]) -> None:
        self.publish_to(f"ven/cmd/{VEN_ID}", payload)

    def publish_to(self, topic: str, payload: bytes | dict[str, Any], qos: int = 1) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, data, qos=qos)

    def acks(self, **wanted: Any) -> list[dict[str, Any]]:
        """The acks that have all of these fields."""
        return [
            ack
            for ack in self.messages(f"ven/ack/{VEN_ID}")
            if all(ack.get(name) == value for name, value in wanted.items())
        ]

    def ack(self, timeout_sec: float = 60.0, **wanted: Any) -> dict[str, Any]:
        return wait_for(lambda: self.acks(**wanted), f"ack {wanted}", timeout_sec)[0]

    def command(self, op: str, timeout_sec: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Send a command and return its first ack."""
        self._count += 1
        correlation_id = f"test-{os.getpid()}-{self._count}"
        self.publish({"op": op, "correlationId": correlation_id, **fields})
        return self.ack(timeout_sec, correlationId=correlation_id)

    def telemetry(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next telemetry that meets `condition`."""
        since = len(self.messages("volttron/metering"))

        def found() -> dict[str, Any] | None:
            later = self.messages("volttron/metering")[since:]
            return next((message for message in later if condition(message)), None)

        return wait_for(found, "such a telemetry")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Site:
    """Everything at hand: `cloud`, `panel`, `rpc` to the agents, and the agents themselves."""

    def __init__(
        self,
        volttron: PatientPlatform,
        cloud: Cloud,
        panel: SimulatedPanelControl,
        config: dict,
        modbus_port: int,
    ) -> None:
        self.modbus_port = modbus_port
        self.volttron = volttron
        self.cloud = cloud
        self.panel = panel
        self.config = config
        self.uuids: dict[str, str] = {}
        self._calls = VolttronCompatCalls(volttron.dynamic_agent)
        self._events = 0

    def rpc(
        self, peer: str, method: str, *args: Any, timeout_sec: float = 20.0, **named: Any
    ) -> Any:
        return self._calls.call(peer, method, *args, **named).get(timeout=timeout_sec)

    def rpc_twice(self, peer: str, method: str, **named: Any) -> list[Any]:
        """The same call two times at once, as VOLTTRON Central makes it; both answers."""
        calls = [self._calls.call(peer, method, **named) for _ in range(2)]
        return [call.get(timeout=60.0) for call in calls]

    def event_id(self) -> str:
        self._events += 1
        return f"evt-{self._events}"

    def install(self, identity: str, what: str, config: dict[str, Any] | None = None) -> None:
        """`vctl install`, as a site engineer does it; started, and enabled for later starts."""
        command = ["install", what, "--vip-identity", identity, "--enable", "--start"]
        if config is not None:
            file = Path(self.volttron.volttron_home) / f"{identity}.json"
            file.write_text(json.dumps(config))
            command += ["--agent-config", str(file)]
        self.vctl(*command)
        agents = self.rpc(CONTROL, "list_agents")
        self.uuids[identity] = next(a["uuid"] for a in agents if a["identity"] == identity)

    def vctl(self, *arguments: str) -> str:
        """The output of a vctl command; AssertionError with it if it fails."""
        done = subprocess.run(
            [Path(sys.executable).with_name("vctl"), *arguments],
            env=self.volttron.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def pid(self, identity: str) -> int | None:
        """The agent's process; None when it is not running."""
        pid, exit_status = self.rpc(CONTROL, "agent_status", self.uuids[identity])
        return pid if exit_status is None else None

    def wait_until_it_answers(self, identity: str) -> None:
        """Its process is there before it is on the bus."""

        def answered() -> bool:
            try:
                self.rpc(identity, "health.get_status", timeout_sec=2.0)
            except RPC_FAILURES:
                return False
            return True

        wait_for(answered, f"{identity} answers", 60.0)

    def start(self, identity: str) -> None:
        self.rpc(CONTROL, "start_agent", self.uuids[identity])

    def stop(self, identity: str) -> None:
        self.rpc(CONTROL, "stop_agent", self.uuids[identity])

    def wait_until_the_driver_reads(self) -> None:
        """It is on the bus before it has its devices."""

        def reads() -> bool:
            try:
                return bool(self.rpc(DRIVER, "scrape_all", DEVICE, timeout_sec=5.0))
            except RPC_FAILURES:
                return False

        wait_for(reads, "the driver reads the panel")

    def kill(self, identity: str) -> int:
        """At once, by SIGKILL; returns the pid that it had."""
        pid = self.pid(identity)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_successor(self, identity: str, pid: int) -> int:
        """The process that the platform's monitor started in the place of `pid`, at work."""

        def at_work() -> int | None:
            now = self.pid(identity)
            if now in (None, pid):
                return None
            try:
                self.rpc(identity, "health.get_status", timeout_sec=2.0)
            except RPC_FAILURES:
                return None
            return now

        return wait_for(at_work, f"the monitor starts {identity} again", 120.0)

    @contextmanager
    def broker_silent(self) -> Iterator[None]:
        """The broker neither answers nor hangs up, as when a network fails."""
        process = broker_process(self.config["broker"]["port"])
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def power_cut(self) -> None:
        """Every process of the platform is killed at once; `power_on` starts it again."""
        end_volttron_processes(self.volttron)
        self.volttron.dynamic_agent.core.stop(timeout=5)

    def power_on(self) -> None:
        """As the site's service manager does it: the platform starts, and its agents with it."""
        start_volttron(self.volttron, perform_preauth_service_agents=False)
        self._calls = VolttronCompatCalls(self.volttron.dynamic_agent)

    def ensure_power(self) -> None:
        """What a test that failed between `power_cut` and `power_on` leaves to the next one."""
        if self.volttron.p_process.poll() is not None:
            self.power_on()

    def store(self, identity: str, name: str, contents: Any, kind: str = "json") -> None:
        """What `vctl config store` does."""
        raw = contents if isinstance(contents, str) else json.dumps(contents)
        self.rpc(CONFIG_STORE, "set_config", identity, name, raw, kind)

    def status(self) -> dict[str, Any]:
        return self.rpc(VEN, "status")

    def wait_for_health(self, health: str, *words: str, timeout_sec: float = 120.0) -> str:
        seen: dict[str, Any] = {}

        def shown() -> str | None:
            try:
                seen["last"] = status = self.rpc(VEN, "health.get_status")
            except RPC_FAILURES as error:
                seen["last"] = repr(error)
                return None  # it is being started
            sentence = str(status.get("context"))
            right = status.get("status") == health and all(word in sentence for word in words)
            return sentence if right else None

        try:
            return wait_for(shown, f"health {health} with {words}", timeout_sec)
        except AssertionError as error:
            raise AssertionError(f"{error}; it was {seen}") from None

    def contactors(self) -> dict[str, bool]:
        return self.panel.state()["contactors"]

    def open_contactors(self) -> set[str]:
        return {name for name, closed in self.contactors().items() if not closed}

    def limits(self) -> dict[str, int]:
        return self.panel.state()["limits_percent"]

    def wait_until_normal(self) -> None:
        """No event, all contactors closed, all limits open."""

        def normal() -> bool:
            state = self.panel.state()
            return all(state["contactors"].values()) and all(
                limit == 100 for limit in state["limits_percent"].values()
            )

        wait_for(normal, "the panel is as it was")
        # An agent that is being started answers, and does not know yet.
        wait_for(lambda: self.status().get("active_event", ...) is None, "no event runs")
