"""What a test does otherwise than the documents say, and what it looks for. All of it is here."""

from __future__ import annotations

from collections.abc import Iterable

SITE = (
    "README.md",
    "docs/quick-start.md",
    "docs/flexibility.md",
    "docs/local-page.md",
    "docs/operations.md",
    "docs/troubleshooting.md",
    "docs/volttron.md",
    "docs/devices.md",
    "MeterDriverConfigs/README.md",
    "docs/dispatch.md",
    "docs/accounts.md",
    "docs/alerts.md",
    "docs/scale.md",
    "docs/rest-api.md",
    "docs/backend.md",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/performance.md",
    "docs/baselines.md",
    "docs/reliability.md",
    "CONTRIBUTING.md",
    "MeterDriverConfigs/bacnet_panel/README.md",
    "MeterDriverConfigs/bacnet_thermostat/README.md",
    "simulator/README.md",
    "docs/openadr.md",
)
"""Pages whose commands are run, in this order, beside a site that their `start` brought up."""

OWN_PLATFORM = ("docs/install.md",)
"""Beside a bare VOLTTRON 10, which nobody's `start` made."""

ON_11 = ("docs/install-volttron11.md",)
"""On a real VOLTTRON 11: tests/platform11."""

BY_HAND = ("docs/install-volttron9.md", "docs/volttron-central.md")
"""VOLTTRON 9 is not on PyPI: run by hand, on the day that the page names."""

CLOUD = ("docs/cloud.md",)
"""With AWS IoT Core (moto) and a broker that behaves like it."""

LAST = ("./scripts/ven_control.sh backend stop", "./scripts/ven_control.sh stop")
"""Put off to the end, each time it stands somewhere: the other pages need what it ends."""

NOT_RUN = {
    "./scripts/test.sh": "it is what runs this",
    "./scripts/test.sh lint unit": "it is what runs this",
    "./scripts/test.sh long": "it is what runs this",
    "./scripts/test.sh browser": "it is what runs this",
    "./scripts/test.sh platform -- -k test_event": "it is what runs this",
    "./scripts/test.sh platform -- -k rise_from_12 -rP": "it is what runs this",
    "./scripts/ven_control.sh start --volttron 11": "tests/platform11/test_control11.py runs it",
    "poetry --directory $VOLTTRON_HOME remove venagent": "tests/platform11 runs it by itself",
    "vctl install . --force --vip-identity ven.agent --agent-config config --s…": "in platform11",
    "vctl install . --force": "a name in a sentence",
    "pip check": "a name in a sentence",
    "vctl install": "a name in a sentence",
    "vctl remove": "a name in a sentence",
    "vctl install volttron-listener": "a name in a sentence",
    "pip freeze > installed.txt": "for the agents of others, run by hand on the day that is named",
    "pip install -c installed.txt …": "the same; some minutes each",
    "vctl install volttron-listener …": "the same, run by hand",
    "vctl install volttron-ilc …": "the same, run by hand",
    "vctl install volttron-openadr-ven …": "the same, run by hand",
    "vctl ……": "a name in a sentence",
    "./scripts/ven_control.sh vctl": "a name in a sentence",
    "scripts/benchmark.sh baselines": "measures, and has no options",
    "python3.11 -m venv ~/volttron11": "scripts/environment.sh makes it",
    ". ~/volttron11/bin/activate": "scripts/environment.sh makes it",
    "pip install -r ops/requirements-volttron11.txt …": "scripts/environment.sh does it, locked",
    "python ops/volttron/poetry_project.py …": "scripts/environment.sh does it",
    "volttron -l volttron.log …": "the fixture starts it, so that it can end it",
    "aws cloudformation deploy …": "needs an AWS account; tests/deploy reads the template",
    "export OPENADR_…": "set for the command that follows them",
    "python -m tests.openadr.vtn3": "runs until it is ended; tests/openadr has the same VTN",
    "python -m tests.openadr.vtn20b": "runs until it is ended; tests/openadr has the same VTN",
    "python -m backend openadr": "needs a utility's VTN; tests/openadr/test_process.py runs it",
    "ssh -L 8080:127.0.0.1:8080 …": "needs a second machine",
    "docker build …": "needs a container engine",
    "docker run …": "needs a container engine",
    "./scripts/ven_control.sh start --steady": "what runs keeps what it was started with",
    "./scripts/ven_control.sh start --devices ~/mysite …": "the same as the two lines above it",
    "VEN_BACNET_ADDRESS=…": "needs the site's network; tests/platform/test_bacnet.py has the proxy",
}
"""Why no test runs them; `…` stands for the rest of a command."""

HELP_ONLY = {
    "scripts/benchmark.sh": "measures for minutes",
    "scripts/register_ven.py": "names its options",
    "scripts/monitor_ven.py": "names its options",
    "scripts/test_mqtt_telemetry.py": "names its options",
    "scripts/test_e2e_event_flow.py": "names its options",
}
"""Commands that begin so are asked for their help: the options that are named must be there."""

SUBSTITUTIONS = {
    "127.0.0.1:8080": "127.0.0.1:{WEB_PORT}",
    "localhost:8000": "localhost:{API_PORT}",
    "/var/lib/venagent/": "{VENAGENT_HOME}/",
    "/etc/ven/": "~/",
    "…/agent.json": "{VENAGENT_HOME}/certificates/my-site/agent.json",
    "check-config FOLDER": "check-config ~/mysite",
    "load-config FOLDER": "load-config simulated_panel",
    "benchmark.sh NAME": "benchmark.sh link",
    "simulator.bacnet": "simulator.bacnet --address 127.0.0.1/8:{UDP_PORT}",
    "tests.web.fake_site": "tests.web.fake_site --port 0",
    "[--revision 0003]": "",
}
"""Placeholders, and places of this machine that belong to somebody else: what is typed here."""

UNTIL_INTERRUPTED = {
    "./scripts/ven_control.sh watch": r"online, [\s\S]*Water Heater",
    "./scripts/ven_control.sh logs": r"event \S+ completed",
    "python -m simulator.bacnet": r"panel listening",
    "python -m simulator.bacnet --device thermostat:2": r"2 \(thermostat\)",
    "python -m tests.web.fake_site": r"http://127\.0\.0\.1:\d+",
    "python -m backend ingest": r"connected",
    "python -m backend serve": r"[Uu]vicorn running|startup complete",
    "python -m backend dispatch": r"dispatch",
}
"""Commands that go on until Ctrl-C, and what they show by then."""

SAYS = {
    "./scripts/ven_control.sh start": r"health: [\w-]+ is online, all agents are GOOD",
    "./scripts/ven_control.sh send-event": r"accepted[\s\S]*Water Heater",
    "./scripts/ven_control.sh send-event --shed-kw 4 --dry-run": r"dry run: nothing was written",
    "./scripts/ven_control.sh send-event --limit-kw 15": r"limit 15\.00 kW, until further notice",
    "./scripts/ven_control.sh restore": r"success",
    "./scripts/ven_control.sh doctor": r"nothing is wrong",
    "./scripts/ven_control.sh status": r"VOLTTRON[\s\S]*power now",
    "./scripts/ven_control.sh events": r"evt-\S+ +completed",
    "./scripts/ven_control.sh logs --no-follow": r"event \S+",
    "./scripts/ven_control.sh vctl status": r"ven\.agent[\s\S]*GOOD",
    "./scripts/ven_control.sh vctl config list": r"devices/site/building/panel",
    "./scripts/ven_control.sh status --json": r'"certificate_expires_ts": \d+',
    "./scripts/ven_control.sh stop": r"stopp",
    "./scripts/ven_control.sh diagnostics": r"secrets removed",
    "./scripts/ven_control.sh check-config": r"nothing to correct",
    "./scripts/ven_control.sh load-config": r"stored for platform\.driver",
    "./scripts/ven_control.sh backend start": r"console",
    "env OPENADR_POLL_SEC=10 ./scripts/ven_control.sh backend start": r"backend-openadr started",
    "./scripts/ven_control.sh logs backend-openadr --no-follow": r"event of the VTN",
    "./scripts/ven_control.sh backend key add": r"ven_\S{20}",
    "./scripts/ven_control.sh backend key list": r"control-room",
    "./scripts/ven_control.sh register": r"registered volttron_thing",
    "./scripts/test_e2e_event_flow.py": r"PASSED",
    "vctl status": r"ven\.agent[\s\S]*GOOD",
    "vctl config list platform.driver": r"devices/site/building/panel",
    "./scripts/ven_control.sh backend status": r"1 of 1 VENs online",
    "curl -s http://127.0.0.1:8080/api/events": r'"status": ?"accepted"',
    "curl $API/api/stats/network": r'"onlineVens":1',
    "curl -X POST $API/api/events/ ": r'"status":"scheduled"',
    # it begins at once, as soon as the dispatcher's turn comes
    "curl $API/api/events/current": r'null|"status":"active"',
    "curl -X POST $API/api/events/ID/stop": r'"status":"(cancelled|completed)"',
    "python3 -c": r"\S{32}",
}
"""Commands that begin so say this (the longest that fits counts); of others only the exit code."""


def longest(text: str, beginnings: Iterable[str]) -> str | None:
    """The longest of `beginnings` that `text` begins with."""
    found = [beginning for beginning in beginnings if begins(text, beginning)]
    return max(found, key=len, default=None)


def is_left_out(text: str) -> bool:
    """No test runs it."""
    return any(covers(entry, text) for entry in NOT_RUN)


def covers(entry: str, text: str) -> bool:
    """An entry of NOT_RUN is about this command."""
    return text.startswith(entry[:-1]) if entry.endswith("…") else text == entry


def begins(text: str, beginning: str) -> bool:
    """`text` begins so, up to a word's end."""
    rest = text.removeprefix(beginning)
    return text.startswith(beginning) and not (rest and (beginning[-1:] + rest[0]).isalnum())


def place(text: str) -> int:
    """0, or later for what is put off."""
    found = longest(text, LAST)
    return 0 if found is None else 1 + LAST.index(found)
