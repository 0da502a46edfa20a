"""A site on VOLTTRON 11, as its engineer has it: vctl, a panel, a broker, and the agent's log."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.documents import tables
from tests.documents.pages import commands
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("VENAGENT_V11", "volttron11"))
DEVICE = "site/building/panel"
DRIVER, VEN, VEN_ID = "platform.driver", "ven.agent", "site-on-11"
ASKING_AGENT = Path(__file__).with_name("asking_agent.py")
CONTROL, HEALTH, STORE = "platform.control", "platform.health", "platform.config_store"
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, timeout_sec: float = 120.0) -> T:
    """The first truthy result of `condition`; AssertionError that names `what` if none comes."""
    deadline = time.monotonic() + timeout_sec
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_sec:g} s: {what}"
        time.sleep(0.05)
    return result


@contextmanager
def process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of the tests' own, ended by its pid."""
    running = subprocess.Popen(command, text=True, **{"stdin": subprocess.DEVNULL, **options})
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(60)


@contextmanager
def simulated_panel(*options: str) -> Iterator[tuple[int, SimulatedPanelControl]]:
    """The steady panel on free ports: its Modbus port, and its control."""
    command = [sys.executable, "-m", "simulator", "--steady", "--port", "0", "--control-port", "0"]
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
        "persistence false\nlog_dest none\n"
    )
    with process([os.environ.get("MOSQUITTO", "mosquitto"), "-c", str(config)]):

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listening, "mosquitto listens")
        yield port


class Operator:
    """The operator's end of the broker: sends commands, keeps what the VEN says."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._sent = 0
        subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._keep
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([("ven/ack/#", 1), ("volttron/metering", 1)])
        assert subscribed.wait(30)

    def _keep(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            self._messages.append((message.topic, json.loads(message.payload)))

    def messages(self, topic: str) -> list[dict[str, Any]]:
        with self._lock:
            return [body for name, body in self._messages if name == topic]

    def send(self, op: str, **fields: Any) -> str:
        """Publish a command, dated as our own senders do; its correlationId."""
        self._sent += 1
        correlation_id = f"c-{os.getpid()}-{self._sent}"
        dated = {"issued_ts": time.time()} if op == "event" else {}
        body = {"op": op, "correlationId": correlation_id, **dated, **fields}
        self._client.publish(f"ven/cmd/{VEN_ID}", json.dumps(body), qos=1).wait_for_publish(30)
        return correlation_id

    def ack(self, **wanted: Any) -> dict[str, Any]:
        """The first ack that has all of these fields."""

        def found() -> dict[str, Any] | None:
            acks = self.messages(f"ven/ack/{VEN_ID}")
            return next((a for a in acks if wanted.items() <= a.items()), None)

        return wait_for(found, f"an ack with {wanted}")

    def command(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a command, and its first ack."""
        return self.ack(correlationId=self.send(op, **fields))

    def next_telemetry(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first telemetry from now on that meets `condition`."""
        since = len(self.messages("volttron/metering"))

        def found() -> dict[str, Any] | None:
            later = self.messages("volttron/metering")[since:]
            return next((each for each in later if condition(each)), None)

        return wait_for(found, "such a telemetry")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Refused(Exception):
    """What an RPC of the asking agent ended in: the exception's name and text."""


class AskingAgent:
    """Another agent, which stays on the bus: `vctl` takes a second for each call."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self.identity = self._next_line()

    def _next_line(self) -> Any:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        assert line, "the asking agent has ended"
        return json.loads(line)

    def ask(self, peer: str, method: str, arguments: Any, named: Mapping[str, Any]) -> Any:
        """Its answer; raises Refused."""
        assert self._running.stdin is not None
        self._running.stdin.write(json.dumps([peer, method, arguments, named]) + "\n")
        self._running.stdin.flush()
        said = self._next_line()
        if "error" in said:
            raise Refused(said["error"])
        return said["answer"]


class Site11:
    """`vctl`, the operator's end, and the panel behind the driver."""

    def __init__(self, folder: Path, broker_port: int, modbus_port: int) -> None:
        self.folder = folder
        self.home = folder / "h"
        self.config = json.loads((ROOT / "config").read_text()) | {
            "ven_id": VEN_ID,
            "report_interval_sec": 2.0,
            "broker": {"host": "127.0.0.1", "port": broker_port},
            "web": {"enabled": False},
            "event": {"restore_stagger_sec": 0.0, "rebound_sec": 0.0},
        }
        self.modbus_port = modbus_port
        self._asker: AskingAgent | None = None
        shutil.copytree(VENV / "project", self.home)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VENAGENT_HOME")}
        return kept | {"VOLTTRON_HOME": str(self.home)}

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(VENV / "bin" / program), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def vctl(self, *arguments: str) -> str:
        """What it printed. On a busy machine vctl may give up before the platform answers (exit
        75): it is asked again, but for an installation, which the platform goes on with."""
        installs = arguments[0] == "install"
        identity = arguments[arguments.index("--vip-identity") + 1] if installs else ""
        before = self.uuid(identity)
        for _ in range(3):
            done = self.run("vctl", *arguments)
            if done.returncode != 75:
                break
            if installs:
                self._wait_for_installation(identity, before)
                if "--start" in arguments and self.pid(identity) is None:
                    self.start(identity)
                return done.stdout
        assert done.returncode == 0, f"vctl {arguments}: {done.stdout}\n{done.stderr}\n{self.log()}"
        return done.stdout

    def _wait_for_installation(self, identity: str, before: str | None) -> None:
        def installed() -> bool:
            agents = [each["identity"] for each in self.call(CONTROL, "list_agents")]
            return self.uuid(identity) not in (None, before) and identity in agents

        wait_for(installed, f"{identity} is installed", 180.0)

    def uuid(self, identity: str) -> str | None:
        """Another one after each installation."""
        file = self.home / "agents" / identity / "UUID"
        return file.read_text() if identity and file.is_file() else None

    def log(self) -> str:
        """The last of the platform's log."""
        file = self.folder / "volttron.log"
        return file.read_text(errors="replace")[-4000:] if file.exists() else ""

    @contextmanager
    def platform(self) -> Iterator[None]:
        command = [str(VENV / "bin" / "volttron"), "-l", str(self.folder / "volttron.log")]
        command += ["--agent-monitor-frequency", "3"]
        with process(command, env=self.environment, cwd=self.folder) as running:

            def up() -> bool:
                assert running.poll() is None, f"VOLTTRON ended: {self.log()}"
                return self.run("vctl", "status").returncode == 0

            wait_for(up, "VOLTTRON 11 answers vctl", 180.0)
            try:
                with self._asking_agent() as self._asker:
                    yield
            finally:
                self.run("vctl", "shutdown", "--platform")

    @contextmanager
    def _asking_agent(self) -> Iterator[AskingAgent]:
        command = [str(VENV / "bin" / "python"), str(ASKING_AGENT)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with process(command, env=self.environment, cwd=ROOT, **pipes) as running:
            yield AskingAgent(running)

    def file(self, name: str, contents: Mapping[str, Any]) -> str:
        path = self.folder / name
        path.write_text(json.dumps(contents))
        return str(path)

    def follow_the_page(self) -> None:
        """Driver, device and agent by the commands of docs/install-volttron11.md, as they stand."""
        model = ROOT / "MeterDriverConfigs" / "simulated_panel"
        driver = json.loads((model / "driver.json").read_text())
        driver["driver_config"]["port"] = self.modbus_port
        driver["interval"] = 1
        ours = {
            "MeterDriverConfigs/simulated_panel/driver.json": self.file("driver.json", driver),
            "--agent-config config": "--agent-config " + self.file("agent.json", self.config),
            "my-config.json": self.file("agent.json", self.config),
        }
        for command in commands(ROOT / tables.ON_11[0]):
            if tables.is_left_out(command.text):
                continue
            text = command.text
            for theirs, mine in ours.items():
                text = text.replace(theirs, mine)
            program, *arguments = shlex.split(text)
            assert program == "vctl", command
            self.vctl(*arguments)

    def install_agent(self) -> None:
        """From the repository's root, as the README says."""
        file = self.file("agent.json", self.config)
        self.vctl("install", str(ROOT), "--vip-identity", VEN, "--agent-config", file)

    def store_config(self, **changes: Any) -> None:
        self.store(VEN, "config", self.config | changes)

    def store(self, identity: str, name: str, contents: Mapping[str, Any]) -> None:
        """As `vctl config store` does it."""
        text = json.dumps(contents)
        try:
            self.call(STORE, "set_config", identity, name, text, config_type="json")
        except Refused as refused:  # of a slow device: it is stored when the store answers late
            if "Timeout" not in str(refused):
                raise

    def delete(self, identity: str, name: str) -> None:
        """As `vctl config delete` does it."""
        self.call(STORE, "delete_config", identity, name)

    def publish(self, topic: str, message: list[Any]) -> None:
        """As another agent of the platform."""
        self.call("pubsub", topic, message)

    def row(self, identity: str) -> str | None:
        """Its line of `vctl status`."""
        lines = self.vctl("status").splitlines()
        return next((line for line in lines if f" {identity} " in line), None)

    def pid(self, identity: str) -> int | None:
        """Of an agent that runs."""
        for _, _, (pid, ended), agent in self.call(CONTROL, "status_agents"):
            if agent == identity and ended is None:
                return int(pid)
        return None

    def start(self, identity: str) -> None:
        """And wait until it is on the bus."""
        self.call(CONTROL, "start_agent", self.installed(identity))
        wait_for(lambda: identity in self.peers(), f"{identity} is on the bus")

    def stop(self, identity: str) -> None:
        self.call(CONTROL, "stop_agent", self.installed(identity))

    def installed(self, identity: str) -> str:
        """Its UUID."""
        uuid = self.uuid(identity)
        assert uuid is not None, f"{identity} is not installed"
        return uuid

    def remove(self, identity: str) -> None:
        row = self.row(identity)
        assert row is not None, f"{identity} is not installed"
        self.vctl("remove", row.split()[0])

    def peers(self) -> list[str]:
        return list(self.call("peerlist", ""))

    def health(self) -> str:
        """The agent's, as `vctl status` shows it."""
        return str(self.call(HEALTH, "get_platform_health").get(VEN, {}).get("message"))

    def wait_for_health(self, health: str) -> None:
        wait_for(lambda: self.health() == health, f"health {health}")

    def ask(self, method: str, *arguments: Any) -> Any:
        """What another agent of the platform is answered by the driver."""
        return self.call(DRIVER, method, *arguments)

    def refusal(self, method: str, *arguments: Any) -> str:
        """Why the driver refuses it another agent; empty if it does not."""
        try:
            self.ask(method, *arguments)
        except Refused as refused:
            return str(refused)
        return ""

    def call(self, peer: str, method: str, *arguments: Any, **named: Any) -> Any:
        """What another agent of the platform is answered by `peer`. Raises Refused."""
        assert self._asker is not None
        return self._asker.ask(peer, method, arguments, named)
