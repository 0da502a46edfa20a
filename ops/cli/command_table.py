"""All commands of scripts/ven_control.sh: where each one is, and what it is for in a line.

A table, so that `--help` and a Tab load none of them, and a command loads itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PASSED_ON: Mapping[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For commands that hand their arguments on to another program."""


@dataclass(frozen=True)
class _CommandEntry:
    """One line of the table."""

    module: str
    """Of ops.cli."""
    function: str
    summary: str
    """The first line of the function's docstring; tests/ops/cli/test_command_table.py holds it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Click's context settings."""


COMMANDS: Mapping[str, _CommandEntry] = {
    "start": _CommandEntry(
        "site_commands",
        "site_start_command",
        "Bring up broker, simulated panel, VOLTTRON and VenAgent.",
    ),
    "stop": _CommandEntry(
        "site_commands", "site_stop_command", "End VOLTTRON with its agents, panel and broker."
    ),
    "restart": _CommandEntry("site_commands", "site_restart_command", "Stop, then start."),
    "status": _CommandEntry(
        "status_command",
        "status_command",
        "What runs, its health, the power now, the active event and those that wait.",
    ),
    "send-event": _CommandEntry(
        "ven_commands",
        "ven_send_event_command",
        "Send a demand-response event, a limit or more load, wait for its ack and show it.",
    ),
    "restore": _CommandEntry(
        "ven_commands", "ven_restore_command", "End an event and restore its circuits."
    ),
    "ping": _CommandEntry("ven_commands", "ven_ping_command", "Ask the VEN for a sign of life."),
    "shadow": _CommandEntry(
        "ven_commands",
        "ven_shadow_command",
        "The device's state as its shadow reports it, as JSON.",
    ),
    "telemetry": _CommandEntry(
        "ven_commands", "ven_telemetry_command", "Follow the VEN's telemetry until Ctrl-C."
    ),
    "events": _CommandEntry(
        "events_command",
        "events_command",
        "The events that wait, the running one and the last ones: when, how much, what came of it.",
    ),
    "register": _CommandEntry(
        "ven_commands",
        "ven_register_command",
        "Register the VEN with the operator's backend (BACKEND_URL, or the one that runs here).",
    ),
    "backend": _CommandEntry(
        "backend_commands", "backend_app", "The operator's side: API, console, dispatch, ingest."
    ),
    "provision": _CommandEntry(
        "provision_commands", "provision_command", "Give this site its identity in AWS IoT Core."
    ),
    "provision-sign": _CommandEntry(
        "provision_commands",
        "provision_sign_command",
        "Have a site's request signed by AWS: the operator's half of `provision --csr-only`.",
    ),
    "doctor": _CommandEntry(
        "doctor_commands",
        "doctor_command",
        "Look at everything a working VEN needs; say what is wrong and what to do.",
    ),
    "check-config": _CommandEntry(
        "check_config_command",
        "check_config_command",
        "Check driver configurations, registries and an agent's configuration.",
    ),
    "diagnostics": _CommandEntry(
        "doctor_commands",
        "diagnostics_command",
        "Write an archive for a person who helps, with all secrets removed.",
    ),
    "watch": _CommandEntry(
        "watch_command",
        "watch_command",
        "Power, event, circuits and connection on this terminal, live, until q or Ctrl-C.",
    ),
    "completion": _CommandEntry(
        "completion_command", "completion_command", "Print tab completion for a shell."
    ),
    "logs": _CommandEntry(
        "logs_command",
        "logs_command",
        "Follow a log until Ctrl-C; VOLTTRON's as short lines, without banners and repetitions.",
    ),
    "vctl": _CommandEntry(
        "volttron_commands",
        "volttron_vctl_command",
        "VOLTTRON's own control command, for the VOLTTRON that runs here.",
        {**PASSED_ON, "help_option_names": []},  # vctl has its own
    ),
    "load-config": _CommandEntry(
        "volttron_commands",
        "volttron_load_config_command",
        "Load driver configurations into VOLTTRON's config store.",
    ),
}
