"""The local page of a real site in a real Chromium: MQTT, VOLTTRON, driver, panel and all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gevent
import pytest
from gevent import socket, subprocess

from tests.platform.site import DEVICE, ROOT, VEN, Site, process, wait_for
from VenAgent.baseline.settlement import LEAST_SAMPLES


class Browser:
    """tests/browser/remote.py in the tools' environment."""

    def __init__(self, running: Any) -> None:
        self._running = running

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self._running.stdin.write(json.dumps({"do": name, "with": arguments}) + "\n")
            self._running.stdin.flush()
            answer = json.loads(self._running.stdout.readline())
            assert "error" not in answer, answer["error"]
            return answer["result"]

        return call


@pytest.fixture
def browser() -> Iterator[Browser]:
    command = [os.environ["VENAGENT_TOOLS_PYTHON"], "-m", "tests.browser.remote"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with process(command, cwd=ROOT, **pipes) as running:
        browser = Browser(running)
        yield browser
        running.stdin.close()
        running.wait(60)


def address(site: Site) -> str:
    return f"http://127.0.0.1:{site.config['web']['port']}"


def ask(site: Site, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
    """One request to the page's API, as a script makes it; (status, answer)."""
    port = site.config["web"]["port"]
    data = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    with closing(socket.create_connection(("127.0.0.1", port), timeout=40)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


def circuit(name: str) -> str:
    return f"#circuits tr:has([role=switch][aria-label='{name}'])"


def wait_for_readings(site: Site, count: int) -> None:
    """So many publications of the driver more, each of which the agent has."""
    heard: list[str] = []
    pubsub = site.volttron.dynamic_agent.vip.pubsub
    pubsub.subscribe(
        "pubsub", f"devices/{DEVICE}/all", lambda *message: heard.append(message[3])
    ).get(timeout=60)
    try:
        wait_for(lambda: len(heard) >= count, f"{count} readings")
    finally:
        pubsub.unsubscribe("pubsub", f"devices/{DEVICE}/all", None).get(timeout=60)
    site.status()  # on the same way to the agent, after them


def test_an_event_is_triggered_seen_to_begin_and_restored(site: Site, browser: Browser) -> None:
    browser.visit(address(site))
    browser.see("#power", "22.6")
    browser.see("#sentence", "All is well.")
    browser.see("#technical", "connected to 127.0.0.1")
    browser.fill("#shed-kw", "5")
    browser.fill("#minutes", "10")
    browser.click("#trigger button")
    browser.click("#ask-yes")
    browser.see("#event-state", "Running")
    browser.see("#requested", "5.0")
    browser.see("#measured", "5.")
    browser.see("#left", "9:")
    browser.see("#power", "17.")
    browser.see(circuit("Water Heater"), "Shed")
    browser.see(circuit("EV Charger"), "Limited")
    browser.see(circuit("Refrigerator"), "critical")
    assert site.open_contactors() == {"heater1"}
    assert site.limits()["ev1"] < 100
    browser.picture("real-event")
    wait_for_readings(site, LEAST_SAMPLES + 1)  # or the record says that it was not measured
    browser.click("#restore")
    browser.see("#next", "No event is running.")
    browser.see("#events tr", "Completed")
    browser.see("#events tr", "kWh")
    browser.see("#power", "22.6")
    assert site.open_contactors() == set()
    assert browser.look("window.shifted") == []
    assert browser.noted() == []
    browser.picture("real-after")


def test_an_event_begins_and_ends_while_the_page_is_pressed(site: Site) -> None:
    """Requests sent ahead by the thousand: the event does not wait until they are answered."""
    ahead, answered = 1_000, []
    request = f"GET /api/circuits HTTP/1.1\r\nHost: 127.0.0.1:{site.config['web']['port']}\r\n\r\n"

    def press() -> None:
        port = site.config["web"]["port"]
        with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
            gevent.spawn(connection.sendall, request.encode() * ahead)
            while part := connection.recv(65_536):
                answered.extend([1] * part.count(b"HTTP/1.1 200 OK"))

    pressing = [gevent.spawn(press) for _ in range(8)]
    try:
        wait_for(lambda: answered, "the page answers")
        event_id = site.event_id()
        ack = site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
        assert ack["status"] == "accepted"
        assert site.open_contactors() == {"heater1"}
        assert site.cloud.command("restore", event_id=event_id)["ok"]
        site.wait_until_normal()
        assert not any(greenlet.ready() for greenlet in pressing)
        assert 0 < len(answered) < ahead * len(pressing)
    finally:
        gevent.killall(pressing)


def test_an_event_of_the_cloud_shows_at_once(site: Site, browser: Browser) -> None:
    browser.visit(address(site))
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=12)
    browser.see(f"#event-id[title='{event_id}']", "From the cloud")
    browser.see(f"#events tr[title*='{event_id}']", "Completed")


def test_a_circuit_is_switched_off_and_on_by_hand(site: Site, browser: Browser) -> None:
    browser.visit(address(site))
    browser.click(f"{circuit('Dryer')} [role=switch]")
    browser.click("#ask-yes")
    browser.see("#said", "Dryer is switched off")
    assert site.open_contactors() == {"dryer1"}
    browser.see(circuit("Dryer"), "Off")
    browser.click(f"{circuit('Dryer')} [role=switch]")
    browser.see("#said", "Dryer is switched on")
    assert site.open_contactors() == set()
    browser.see(circuit("Dryer"), "3.00 kW")


def test_a_person_opts_out_in_mid_event(site: Site, browser: Browser) -> None:
    browser.visit(address(site))
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    browser.see(f"#event-id[title='{event_id}']", "From the cloud")
    browser.click("#opt")
    browser.fill("#ask-reason", "guests")
    browser.click("#ask-yes")
    browser.see("#sentence", "guests")
    site.wait_until_normal()
    assert site.cloud.ack(event_id=event_id, status="opted_out")
    refused = site.cloud.command("event", event_id=site.event_id(), shed_kw=1.0)
    assert refused["status"] == "opted_out"
    browser.click("#opt")
    browser.see("#part", "takes part")


def test_the_agent_is_lost_and_comes_back(site: Site, browser: Browser) -> None:
    browser.visit(address(site))
    browser.see("#technical", "meter live")
    seen_before = ask(site, "/api/history")[1]["ts"]
    site.kill(VEN)
    browser.see("#live", "Disconnected")
    browser.see("#sentence", "The agent does not answer")
    browser.picture("real-disconnected")
    wait_for(lambda: site.pid(VEN), "the platform starts it again", 60.0)
    browser.see("#technical", "meter live")
    browser.see("#power", "22.6")
    assert ask(site, "/api/history")[1]["ts"][0] == seen_before[0]  # the hour is not lost
    browser.click("#trigger button")  # with the new agent's CSRF token
    browser.click("#ask-yes")
    browser.see("#event-state", "Running")


def test_a_lost_broker_is_on_the_page_while_the_site_goes_on(site: Site) -> None:
    broker = {**site.config["broker"], "port": 1}
    site.store(VEN, "config", {**site.config, "broker": broker})

    def lost() -> Any:
        status = ask(site, "/api/status")[1]
        return status if "nothing listens" in status["cloud"]["why"] else None

    status = wait_for(lost, "the page says so")
    assert status["cloud"]["online"] is False
    assert status["power_kw"] == pytest.approx(22.6, rel=0.01)
    # What the page's process was told is good for a moment: health may be of the moment before.
    wait_for(lambda: ask(site, "/healthz")[0] == 503, "a monitor sees it")


def test_the_api_tells_and_does_the_same(site: Site) -> None:
    csrf = ask(site, "/api/session")[1]["csrf_token"]
    refused, why = ask(site, "/api/events", {"shed_kw": 3.0})
    assert (refused, "X-CSRF-Token" in why["error"]) == (403, True)
    event_id = site.event_id()
    wanted = {"shed_kw": 3.0, "duration_sec": 60, "event_id": event_id}
    status, ack = ask(site, "/api/events", wanted, X_CSRF_Token=csrf)
    assert (status, ack["status"]) == (200, "accepted")
    by_id = {c["id"]: c for c in ask(site, "/api/circuits")[1]["circuits"]}
    assert by_id["dryer1"]["state"] == "shed"
    assert by_id["dryer1"]["shed"]["shed_kw"] == pytest.approx(3.0, rel=0.05)
    assert "venagent_event_requested_kw 3.0" in ask(site, "/metrics")[1]
    assert ask(site, "/api/restore", {}, X_CSRF_Token=csrf)[0] == 200
    past = wait_for(
        lambda: [
            e
            for e in ask(site, "/api/events")[1]["events"][:1]
            if e["event_id"] == event_id and e["summary"]
        ],
        "it is the latest, with its summary",
    )
    assert past[0]["state"] == "completed"
    status, ack = ask(site, "/api/events", {"shed_kw": 500}, X_CSRF_Token=csrf)
    assert (status, ack["status"]) == (409, "rejected")
    history = ask(site, "/api/history")[1]
    assert history["power_kw"]


def test_a_port_in_use_is_a_finding_and_the_site_goes_on(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        site.store(VEN, "config", {**site.config, "web": {"port": port}})
        site.wait_for_health("BAD", f"cannot be served at 127.0.0.1:{port}", "another program")
        ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=3.0, duration_sec=60)
        assert ack["status"] == "accepted"
        assert site.cloud.command("restore")["status"] == "success"
    site.wait_for_health("GOOD")
