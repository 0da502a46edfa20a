"""The commands reach a broker as the agent does: login, websockets, TLS, an HTTP proxy."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ops.clients.mqtt_client import OperatorMqttClient
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings, save_site_settings
from tests.ops.conftest import REPO, mosquitto
from tests.support.authority import Authority
from tests.support.connect_proxy import ThreadedConnectProxy
from tests.support.ports import free_port

pytestmark = pytest.mark.long

PASSWORD = "pass word of ours"


@dataclass
class Doors:
    """A broker that wants a login at each of its doors, and who answers behind it."""

    plain: int
    websockets: int
    secure_websockets: int
    authority: str


@pytest.fixture
def doors(tmp_path: Path, settings: SiteSettings) -> Iterator[Doors]:
    authority, ca_cert = Authority(), tmp_path / "ca.pem"
    ca_cert.write_text(authority.pem)
    certificate, key = authority.issue("broker").write(tmp_path, "broker")
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "site", PASSWORD], check=True)
    websockets, secure = free_port(), free_port()
    access = (
        f"user root\npassword_file {passwords}\n"
        f"listener {websockets} 127.0.0.1\nprotocol websockets\n"
        f"listener {secure} 127.0.0.1\nprotocol websockets\n"
        f"certfile {certificate}\nkeyfile {key}\n"
    )
    with mosquitto(tmp_path, access, anonymous=False) as plain, ven(settings, plain):
        yield Doors(plain, websockets, secure, str(ca_cert))


@contextmanager
def ven(settings: SiteSettings, port: int) -> Iterator[None]:
    """Says it is there, answers each command, and reports now and then."""
    target = settings.ven_target()
    topics = target.topics
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("site", PASSWORD)

    def on_message(client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        command = json.loads(message.payload)
        status = "success" if command["op"] == "ping" else "accepted"
        ack = {
            "op": command["op"],
            "status": status,
            "ok": True,
            "venId": target.ven_id,
            "ts": int(time.time()),
            "correlationId": command["correlationId"],
            "data": {},
        }
        client.publish(topics.ack, json.dumps(ack), qos=1)
        telemetry = {"venId": target.ven_id, "usedPowerKw": 12.5, "quality": "good"}
        client.publish(topics.metering, json.dumps(telemetry), qos=1, retain=True)

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.subscribe(topics.command, qos=1)
    client.loop_start()
    online = {"venId": target.ven_id, "status": "online"}
    client.publish(topics.status, json.dumps(online), qos=1, retain=True).wait_for_publish(10)
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def started_with(paths: Paths, settings: SiteSettings, port: int, **broker: Any) -> dict[str, str]:
    """The environment in which the commands find a VEN with this broker."""
    block = {"host": "127.0.0.1", "port": port, "username": "site", **broker}
    config = {**settings.agent_config, "broker": block}
    save_site_settings(paths, replace(settings, agent_config=config, variables={}))
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **kept,
        "VENAGENT_HOME": str(paths.home),
        "VENAGENT_USER": paths.user,
        "PYTHONPATH": str(REPO),
        "COLUMNS": "100",
    }


def ran(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def watched(environment: dict[str, str], until: str) -> str:
    """What `watch` shows on a terminal, until it shows that."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ops", "watch"],
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as watching:
        os.close(theirs)
        shown, deadline = "", time.monotonic() + 60.0
        try:
            while until not in shown and time.monotonic() < deadline:
                if select.select([ours], [], [], 1.0)[0]:
                    shown += os.read(ours, 65_536).decode(errors="replace")
        finally:
            watching.kill()
            os.close(ours)
    return shown


def test_over_websockets_with_a_login(
    doors: Doors, paths: Paths, settings: SiteSettings, tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(f"{PASSWORD}\n")
    login = {"password_file": str(password_file), "transport": "websockets"}
    environment = started_with(paths, settings, doors.websockets, **login)
    ping = ran(environment, "ping")
    assert ping.returncode == 0, ping.stderr
    telemetry = ran(environment, "telemetry", "--count", "1", "--json")
    assert json.loads(telemetry.stdout)["usedPowerKw"] == 12.5, telemetry.stderr


def test_over_websockets_and_tls_through_a_proxy_that_wants_a_login(
    doors: Doors, paths: Paths, settings: SiteSettings
) -> None:
    with ThreadedConnectProxy("YTpiOmM=") as proxy:  # a:b:c
        environment = started_with(
            paths,
            settings,
            doors.secure_websockets,
            password=PASSWORD,
            transport="websockets",
            tls={"ca_cert": doors.authority},
            proxy=f"http://a:b%3Ac@127.0.0.1:{proxy.port}",
        )
        event = ran(environment, "send-event", "--shed-kw", "5", "--duration", "60", "--json")
        assert event.returncode == 0, event.stderr
        assert json.loads(event.stdout)["status"] == "accepted"
        assert "12.5" in watched(environment, "12.5")
    wanted = f"CONNECT 127.0.0.1:{doors.secure_websockets} HTTP/1."
    assert all(line.startswith(wanted) for line in proxy.asked)
    assert len(proxy.asked) >= 2


def test_a_broker_that_hangs_is_said_to_say_nothing(
    settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.clients.mqtt_client.CONNECT_WITHIN_SEC", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        block = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        target = replace(settings, agent_config={**settings.agent_config, "broker": block})
        with pytest.raises(OpsError, match=r"says nothing within .*; nothing was sent") as caught:
            OperatorMqttClient(target.ven_target({})).__enter__()
    assert "CERT" not in " ".join(caught.value.advice)


def test_what_stands_in_the_way_is_named_and_no_secret_shown(
    doors: Doors, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_threads: list[Any] = []
    monkeypatch.setattr("threading.excepthook", in_threads.append)

    def why(port: int, **broker: Any) -> str:
        block = {"host": "127.0.0.1", "port": port, "username": "site", **broker}
        target = replace(settings, agent_config={**settings.agent_config, "broker": block})
        with pytest.raises(OpsError) as caught, OperatorMqttClient(target.ven_target({})):
            pass
        assert "wr0ng" not in f"{caught.value} {caught.value.advice}"
        return str(caught.value)

    with ThreadedConnectProxy("YTpiOmM=") as proxy:
        url = f"http://a:wr0ng@127.0.0.1:{proxy.port}"
        assert "407" in why(doors.plain, password=PASSWORD, proxy=url)
    assert "proxy" in why(doors.plain, password=PASSWORD, proxy=url)  # it is gone
    assert "speaks no MQTT" in why(doors.websockets, password="wr0ng")
    assert "refuses us" in why(doors.plain, password="wr0ng")
    assert why(doors.plain, password=PASSWORD, transport="websockets")
    assert in_threads == []
