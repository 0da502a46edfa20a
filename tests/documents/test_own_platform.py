"""The commands of docs/install.md, in a VOLTTRON 10 that nobody's `start` made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ops.host.condition import wait_for_condition
from tests.config.builders import ROOT
from tests.documents.pages import Command
from tests.documents.play import each, play
from tests.documents.reader import Reader, process
from tests.documents.site import a_panel
from tests.documents.tables import OWN_PLATFORM


@pytest.fixture(scope="module")
def platform() -> Iterator[Reader]:
    """A bare VOLTTRON 10 that somebody runs already, a panel, and a broker."""
    reader = Reader("v")
    home = reader.folder / "volttron"
    reader.environment["VOLTTRON_HOME"] = str(home)
    home.mkdir()
    mqtt_port = reader.ports["VEN_BROKER_PORT"]
    mine = json.loads((ROOT / "config").read_text())
    mine["ven_id"] = "my_ven"
    mine["broker"]["port"] = mqtt_port
    mine["web"] = {"port": reader.ports["WEB_PORT"]}
    (reader.clone / "my-config.json").write_text(json.dumps(mine))
    driver = reader.clone / "MeterDriverConfigs/simulated_panel/driver.json"
    address = json.loads(driver.read_text())
    address["driver_config"]["port"] = reader.ports["VEN_PANEL_PORT"]
    driver.write_text(json.dumps(address))
    with ExitStack() as stack:
        stack.enter_context(a_panel(reader))
        broker = [os.environ["MOSQUITTO"], "-p", str(mqtt_port)]
        stack.enter_context(process(broker, stderr=reader.log("broker")))
        environment = reader.surroundings("volttron ")
        vip = f"tcp://127.0.0.1:{reader.ports['VEN_VIP_PORT']}"
        command = ["env", "--default-signal=INT", "volttron", "-v", "--vip-address", vip]
        command += ["--agent-monitor-frequency", "3", "-l", str(reader.folder / "volttron.log")]
        output = reader.log("volttron")
        stack.enter_context(process(command, env=environment, cwd=home, stdout=output))
        assert wait_for_condition((home / "VOLTTRON_PID").exists, 60)
        assert wait_for_condition(lambda: _answers(reader), 120)
        yield reader
        reader.run("vctl shutdown --platform")


def _answers(reader: Reader) -> bool:
    """A platform that begins may take longer than vctl waits, when the machine is busy."""
    try:
        reader.run("vctl status")
    except AssertionError:
        return False
    return True


@each(OWN_PLATFORM)
def test_a_command_does_what_its_page_says_in_a_volttron_of_ones_own(
    platform: Reader, command: Command
) -> None:
    play(platform, command)


def test_the_agent_reads_the_panel_and_is_connected(platform: Reader) -> None:
    url = f"http://127.0.0.1:{platform.ports['WEB_PORT']}/api/status"

    def context() -> str:
        return str(json.loads(platform.run(f"curl -s {url}"))["health_context"])

    assert wait_for_condition(lambda: "meter live" in context(), 60), context()
    assert "connected to" in context()


def test_a_command_is_told_which_volttron_is_meant(platform: Reader) -> None:
    """docs/operations.md: `--volttron-home PATH` to any command; docs/devices.md: a site's own."""
    home = platform.environment["VOLTTRON_HOME"]
    page = f"http://127.0.0.1:{platform.ports['WEB_PORT']}"

    def ran(command: str, after: str = "") -> str:
        door = f"env -u VOLTTRON_HOME ./scripts/ven_control.sh {command} --volttron-home {home}"
        return " ".join(platform.run(door + after).split())

    def post(path: str, body: str) -> None:
        token = '$(curl -s PAGE/api/session | sed \'s/.*csrf_token":"//; s/".*//\')'
        headers = f'-H "X-CSRF-Token: {token}" -H "Content-Type: application/json"'
        platform.run(f"curl -sf {headers} -d '{body}' PAGE{path}".replace("PAGE", page))

    site = platform.clone / "mysite"
    site.mkdir()
    (site / "devices.json").write_text('{"site/building/second": {"model": "simulated_panel"}}')
    assert "devices/site/building/second" in ran("load-config mysite")
    assert "devices/site/building/second" in ran("vctl config list platform.driver")
    assert "devices/site/building/third" in ran(
        "load-config simulated_panel --device site/building/third"
    )
    for device in ("second", "third"):
        ran(f"vctl config delete platform.driver devices/site/building/{device}")
    assert "venagent" in ran("logs --no-follow -n 200")

    post("/api/opt-out", '{"reason": "guests", "duration_sec": 3600}')
    assert "takes part in no events, until" in ran("status", " || true")
    assert "takes part: in no events, until" in ran("doctor", " || true")
    assert "ended with 1" in _refused(lambda: ran("send-event --shed-kw 1"))
    assert "the site takes part in no events, until" in ran("events")
    post("/api/opt-in", "{}")
    assert "the site takes part in no events" not in ran("events")


def _refused(run: Callable[[], str]) -> str:
    """What a command that fails said."""
    with pytest.raises(AssertionError) as failure:
        run()
    return " ".join(str(failure.value).split())
