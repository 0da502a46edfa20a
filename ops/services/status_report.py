"""What runs, and how it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ops.clients.command_sender import send_command_to_own_ven
from ops.host import processes, terminal
from ops.host.event_words import event_words
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.host.terminal import terminal_clock_text, terminal_kw_text, terminal_opted_out_text
from ops.services import local_broker as broker
from ops.services import simulated_panel_service as panel
from ops.volttron import vctl
from ops.volttron import volttron_platform as platform
from ops.volttron.agent_health import agent_health, needed_agents
from ops.volttron.agent_install import BACNET_AGENT
from ops.volttron.config_store import AGENT
from ops.volttron.volttron_platform import volttron_platform_pid

RUNNING, FAULTY, STOPPED = 0, 1, 3
"""Exit codes."""
ANSWER_WITHIN_SEC = 5.0
SCHEDULED_SHOWN = 5


def site_status_report(paths: Paths, settings: SiteSettings) -> dict[str, Any]:
    """A report: `state`, `exit_code`, `parts` for people, and the facts by name."""
    report: dict[str, Any] = {"venId": settings.ven_target().ven_id, "parts": [], "problems": []}
    if not _anything_left(paths):
        report.update(state="stopped", exit_code=STOPPED)
        _part(report, "VenAgent", None, "stopped")
        return report
    _look_at_broker(paths, settings, report)
    _look_at_panel(paths, settings, report)
    if _look_at_platform(paths, report):
        _look_at_agents(paths, report)
    _ask_agent(paths, settings, report)
    faulty = any(part["ok"] is False for part in report["parts"]) or report["problems"]
    report.update(state="faulty" if faulty else "running", exit_code=FAULTY if faulty else RUNNING)
    return report


def _anything_left(paths: Paths) -> bool:
    if paths.existing:
        return volttron_platform_pid(paths) is not None
    records = (
        processes.recorded_process(paths, name) for name in (broker.NAME, panel.NAME, platform.NAME)
    )
    return any(record is not None and processes.processes_of_session(record) for record in records)


def _part(report: dict[str, Any], name: str, ok: bool | None, text: str) -> None:
    report["parts"].append({"name": name, "ok": ok, "text": text})


def _process(paths: Paths, name: str) -> dict[str, Any]:
    record = processes.running_process(paths, name)
    return {"running": record is not None, "pid": record.pid if record else None}


def _look_at_broker(paths: Paths, settings: SiteSettings, report: dict[str, Any]) -> None:
    target = settings.ven_target()
    address = target.broker
    ours = paths.existing is None and broker.is_local_broker(settings)
    report["broker"] = {"host": target.broker_host, "port": target.broker_port, "local": ours}
    if not ours:
        _part(report, "broker", None, f"{address}, not ours")
        return
    report["broker"].update(_process(paths, broker.NAME))
    ok = report["broker"]["running"]
    _part(report, "broker", ok, f"{address}{_pid(report['broker'])}")


def _look_at_panel(paths: Paths, settings: SiteSettings, report: dict[str, Any]) -> None:
    if not panel.simulated_panel_service_is_wanted(settings):
        report["panel"] = None
        return
    port = panel.simulated_panel_service_port(paths, settings)
    report["panel"] = {"port": port, **_process(paths, panel.NAME)}
    text = f"simulated, 127.0.0.1:{port}{_pid(report['panel'])}"
    _part(report, "panel", report["panel"]["running"], text)


def _look_at_platform(paths: Paths, report: dict[str, Any]) -> bool:
    pid = volttron_platform_pid(paths)
    report["platform"] = {"running": pid is not None, "pid": pid, "generation": paths.generation}
    ok = report["platform"]["running"]
    _part(
        report,
        "VOLTTRON",
        ok,
        f"{paths.generation}, {paths.volttron_home}{_pid(report['platform'])}",
    )
    return bool(ok)


def _pid(process: dict[str, Any]) -> str:
    return f" (process {process['pid']})" if process["running"] else ": does not run"


def _look_at_agents(paths: Paths, report: dict[str, Any]) -> None:
    report["agents"] = {}
    try:
        installed = vctl.vctl_status(paths)
    except OpsError as error:
        report["problems"].append(error.what)
        return
    needed = needed_agents(paths)
    for identity in (*needed, *sorted(set(installed) - set(needed))):
        agent = installed.get(identity)
        if agent is None:
            report["agents"][identity] = {"status": "", "health": "", "context": "not installed"}
            _part(report, identity, False, "is not installed")
            continue
        said = (agent.health, agent.context)
        if agent.is_running and not agent.is_good:
            said = agent_health(paths, identity) or said
        state = agent.status if agent.is_running else "does not run"
        report["agents"][identity] = {"status": agent.status, "health": said[0], "context": said[1]}
        # the proxy is there only where `start` found a BACnet device
        counts = identity in (*needed, BACNET_AGENT.identity)
        ok = agent.is_running and said[0] == "GOOD" if counts else None
        sentence = said[1] if not ok else ""
        _part(report, identity, ok, "  ".join(filter(None, (state, said[0], sentence))))


def _ask_agent(paths: Paths, settings: SiteSettings, report: dict[str, Any]) -> None:
    """Power and event, from the agent itself."""
    target = settings.ven_target()
    began = time.monotonic()
    try:
        answer = send_command_to_own_ven(paths, target, "status", ANSWER_WITHIN_SEC)
    except OpsError as error:
        report["ven"] = None
        report["problems"].append(error.what)
        return
    report["answer_ms"] = round((time.monotonic() - began) * 1000, 1)
    data = answer.get("data")
    report["ven"] = data if isinstance(data, dict) else {}
    _part(report, "power now", None, _power(report["ven"]))
    _part(report, "active event", None, _event(report["ven"].get("active_event")))
    opted_out = terminal_opted_out_text(
        report["ven"].get("opted_out"), report["ven"].get("opted_out_until_ts")
    )
    if opted_out:
        _part(report, "takes part", None, opted_out)
    for text in status_report_also_active(report["ven"]):
        _part(report, "also active", None, text)
    for text in status_report_scheduled(report["ven"]):
        _part(report, "scheduled", None, text)
    sentence = str(report["ven"].get("health_context") or "")
    for part in report["parts"]:
        if part["name"] == AGENT and sentence and sentence not in part["text"]:
            part["text"] += f"  {sentence}"
    page_url = report["ven"].get("page_url", target.page_url)
    if page_url:
        _part(report, "local page", None, page_url)
    if report["ven"].get("health") == "BAD":
        report["problems"].append(
            str(report["ven"].get("health_context") or "VenAgent is not well")
        )


def _power(ven: dict[str, Any]) -> str:
    text = terminal_kw_text(ven.get("power_kw"))
    if ven.get("shed_kw"):
        text += f", shed {terminal_kw_text(ven['shed_kw'])}"
    if ven.get("quality") not in (None, "good"):
        text += f" (meter {ven['quality']})"
    return text


def status_report_scheduled(ven: dict[str, Any]) -> list[str]:
    """The next scheduled events, a line each, and how many more; the VEN may have hundreds."""
    joined, listed = _listed(ven, is_active=True), _listed(ven, is_active=False)
    shown = sorted(listed, key=lambda each: float(each.get("start_ts") or 0.0))[:SCHEDULED_SHOWN]
    texts = [f"{_event(each)}, from {terminal_clock_text(each.get('start_ts'))}" for each in shown]
    count = int(ven.get("scheduled_count") or len(joined) + len(listed))
    more = count - len(joined) - len(shown)
    return [*texts, f"and {more} more"] if more > 0 else texts


def status_report_also_active(ven: dict[str, Any]) -> list[str]:
    """The limits that the active event keeps along with its own, a line each."""
    return [_event(each) for each in _listed(ven, is_active=True)]


def _listed(ven: dict[str, Any], *, is_active: bool) -> list[dict[str, Any]]:
    listed = [each for each in ven.get("scheduled_events") or [] if isinstance(each, dict)]
    return [each for each in listed if (each.get("state") == "active") is is_active]


def _event(event: Any) -> str:
    if not isinstance(event, dict):
        return "none"
    kind = str(event.get("kind") or "shed")
    power_kw = event.get("import_kw") if kind == "limit" else event.get("requested_kw")
    is_export = kind == "limit" and power_kw is None
    words = event_words(
        kind,
        event.get("export_kw") if is_export else power_kw,
        event.get("end_ts"),
        is_test=event.get("test") is True,
        is_failsafe=event.get("failsafe") is True,
        is_export=is_export,
        also_fed_in_kw=None if is_export else event.get("export_kw"),
    )
    parts = [str(event.get("event_id", "?")), *filter(None, [event.get("state")]), words]
    return ", ".join(map(str, parts))


_MARKS = {True: ("✓", "bold green"), False: ("✗", "bold red"), None: ("·", "dim")}


def print_status_report(report: Mapping[str, Any]) -> None:
    """What `status` found, one line a part."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    for part in report["parts"]:
        mark, style = _MARKS[part["ok"]]
        table.add_row(Text(mark, style=style), part["name"], Text(part["text"]))
    terminal.out.print(table)
    for problem in report["problems"]:
        terminal.out.print(Text.assemble(("! ", "bold red"), problem), soft_wrap=True)
