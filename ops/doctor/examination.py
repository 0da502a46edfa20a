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
from http.client import HTTPException
from typing import Any

from ops.clients.command_sender import send_command_to_own_ven
from ops.doctor import broker_checks as doctor_tls
from ops.doctor import volttron_checks as doctor_volttron
from ops.doctor.doctor_check import LOOK_AT_LOGS, DoctorCheck, DoctorCheckSubject
from ops.doctor.openadr_checks import openadr_checks
from ops.host.ops_error import OpsError, ops_error_of_system, unreachable_words
from ops.host.paths import Paths
from ops.host.plain_user import plain_user_can_read
from ops.host.site_settings import SiteSettings
from ops.host.terminal import terminal_kw_text, terminal_opted_out_text
from ops.services import site_stack as bring_up
from ops.volttron.config_store import AGENT

MIN_FREE_MB = 500
MAX_SKEW_SEC = 5.0
ANSWER_WITHIN_SEC = 8.0
HTTP_WITHIN_SEC = 8.0
_SHADOW_GRACE_SEC = 30.0


def examination_of_site(paths: Paths, settings: SiteSettings) -> Iterator[DoctorCheck]:
    """All checks, in the order in which one needs the other; a later one never raises."""
    patient = DoctorCheckSubject(paths, settings)
    yield from _safely("disk", _disk, patient)
    yield from _safely("clock", _clock, patient)
    running = list(_safely("platform", doctor_volttron.volttron_platform_checks, patient))
    yield from running
    patient.platform_is_up = all(check.ok for check in running)
    yield from _safely("configuration", _configuration, patient)
    try:
        settings.agent()
    except OpsError:
        yield DoctorCheck("the rest", None, "not looked at without a usable configuration")
        return
    if patient.platform_is_up:
        yield from _safely("agents", doctor_volttron.volttron_agent_checks, patient)
        yield from _safely(
            "simulated panel", doctor_volttron.volttron_simulated_panel_checks, patient
        )
        yield from _safely("devices", doctor_volttron.volttron_device_checks, patient)
        yield from _safely("actuator", doctor_volttron.volttron_actuator_checks, patient)
    else:
        yield DoctorCheck(
            "agents, devices, actuator", None, "not looked at while VOLTTRON cannot be asked"
        )
    yield from _safely("broker", _broker, patient)
    yield from _safely("VenAgent", _answers, patient)
    yield from _safely("shadow", _shadow, patient)
    yield from _safely("backend", _backend, patient)
    yield from _safely("VTN", openadr_checks, patient)


def _safely(
    name: str,
    look: Callable[[DoctorCheckSubject], Iterator[DoctorCheck]],
    patient: DoctorCheckSubject,
) -> Iterator[DoctorCheck]:
    try:
        yield from look(patient)
    except OpsError as error:
        yield DoctorCheck(name, False, error.what, " ".join(error.advice) or LOOK_AT_LOGS)
    except OSError as error:
        told = ops_error_of_system(error)
        if told is None:
            raise
        yield DoctorCheck(name, False, told.what, " ".join(told.advice))


# --- this machine ------------------------------------------------------------------------------


def _disk(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    paths = patient.paths
    home = paths.home if paths.existing is None else paths.volttron_home
    try:
        usage = shutil.disk_usage(home)
    except FileNotFoundError:
        yield DoctorCheck(
            "disk", None, f"{home} is not there yet", "`ven_control.sh start` makes it."
        )
        return
    free_mb = usage.free // 1_000_000
    enough = free_mb >= MIN_FREE_MB
    yield DoctorCheck(
        "disk",
        enough,
        f"{free_mb:,} MB free below {home}",
        ""
        if enough
        else f"Free at least {MIN_FREE_MB} MB: journal and outbox need room, and an "
        "event that cannot be recorded is not begun.",
    )


def _clock(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """Against the backend's or the endpoint's HTTP date, else by what the system says of NTP."""
    variables = patient.settings.variables
    endpoint = variables.get("IOT_ENDPOINT")
    urls = [variables.get("BACKEND_URL"), f"https://{endpoint}/" if endpoint else None]
    remedy = "Switch time synchronisation on: timedatectl set-ntp true (or install chrony)."
    for url in filter(None, urls):
        skew_sec = _skew_to(url)
        if skew_sec is not None:
            good = abs(skew_sec) <= MAX_SKEW_SEC
            text = f"{skew_sec:+.1f} s from {url}"
            yield DoctorCheck("clock", good, text, "" if good else remedy)
            return
    synchronised = _ntp_synchronised()
    if synchronised is None:
        yield DoctorCheck("clock", None, "nothing here to compare it with")
    else:
        text = "synchronised" if synchronised else "not synchronised with any time server"
        yield DoctorCheck("clock", synchronised, text, "" if synchronised else remedy)


def _skew_to(url: str) -> float | None:
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


def _ntp_synchronised() -> bool | None:
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


def _configuration(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """The one in the config store; where that is refused, the others look by the last good one."""
    if patient.platform_is_up:
        newest = patient.settings
        if patient.paths.existing is None:
            newest = bring_up.site_stack_settings_in_force(patient.paths, patient.settings)
        newest.agent()
        patient.settings = newest
    agent = patient.agent
    where = "config store" if patient.settings.in_store else "the file it was installed with"
    yield DoctorCheck(
        "configuration", True, f"{agent.ven_id}, {len(agent.circuits)} circuits, from {where}"
    )


# --- the VEN and its cloud ---------------------------------------------------------------------


def _broker(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    return doctor_tls.broker_checks(
        patient.agent.broker,
        can_read=lambda file: plain_user_can_read(patient.paths, file),
    )


def _answers(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """VenAgent itself, asked through its broker, as the cloud would (with TLS: on the bus)."""
    patient.unanswered = True
    if AGENT in patient.absent:
        yield DoctorCheck("VenAgent", None, f"not asked while {AGENT} does not run")
        return
    began = time.monotonic()
    answer = send_command_to_own_ven(
        patient.paths, patient.settings.ven_target(), "status", ANSWER_WITHIN_SEC
    )
    patient.unanswered = False
    data = answer.get("data") or {}
    took_ms = (time.monotonic() - began) * 1000
    good = data.get("health") == "GOOD"
    sentence = str(data.get("health_context") or answer.get("reason") or "")
    yield DoctorCheck(
        "VenAgent",
        good,
        f"answers in {took_ms:.0f} ms" + ("" if good else f": {sentence}"),
        "" if good else "docs/troubleshooting.md says what to do about each such sentence.",
    )
    opted_out = terminal_opted_out_text(data.get("opted_out"), data.get("opted_out_until_ts"))
    if opted_out:
        yield DoctorCheck("takes part", None, opted_out)
    quality = data.get("quality")
    yield DoctorCheck(
        "meter",
        quality == "good",
        f"{quality or 'unknown'}, {terminal_kw_text(data.get('power_kw'))}",
        "" if quality == "good" else "The driver does not publish: see the devices above.",
    )
    depth = data.get("outbox_depth")
    if isinstance(depth, int):
        waiting = depth > 100
        yield DoctorCheck(
            "outbox",
            not waiting,
            f"{depth} messages wait",
            "The broker takes them too slowly, or refuses them: check its policy and limits."
            if waiting
            else "",
        )


def _shadow(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """What the agent reports is of now."""
    agent = patient.agent
    if not agent.streams.shadow:
        yield DoctorCheck("shadow", None, "switched off in the configuration (streams.shadow)")
        return
    if patient.unanswered:
        yield DoctorCheck("shadow", None, "not looked at while VenAgent does not answer")
        return
    answer = send_command_to_own_ven(
        patient.paths, patient.settings.ven_target(), "shadow", ANSWER_WITHIN_SEC
    )
    stamp = _find(answer.get("data"), "timestamp")
    if not isinstance(stamp, (int, float)):
        yield DoctorCheck(
            "shadow", False, "the agent reports no state", "See `ven_control.sh logs`."
        )
        return
    age_sec = time.time() - stamp
    fresh = age_sec <= 2 * agent.shadow_interval_sec + _SHADOW_GRACE_SEC
    yield DoctorCheck(
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


def _backend(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    url = patient.settings.variables.get("BACKEND_URL")
    if not url:
        yield DoctorCheck("backend", None, "none set (BACKEND_URL)")
        return
    address = url.rstrip("/") + "/health"
    try:
        with urllib.request.urlopen(_get(address), timeout=HTTP_WITHIN_SEC) as response:
            yield DoctorCheck("backend", True, f"{address} answers {response.status}")
    except urllib.error.HTTPError as error:
        yield DoctorCheck(
            "backend",
            False,
            f"{address} answers {error.code} {error.reason}",
            "It runs and is not well: see its log and its database.",
        )
    except (ValueError, HTTPException):  # its text would show what stands in the URL
        yield DoctorCheck(
            "backend", False, "BACKEND_URL is no usable URL", "Write https://HOST[:PORT]."
        )
    except OSError as error:
        yield DoctorCheck(
            "backend",
            False,
            f"{address} cannot be reached: {unreachable_words(error)}",
            "Check BACKEND_URL, and that the backend runs.",
        )
