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
class CommandEntry:
    """One line of the table."""

    module: str
    """Of ops.cli."""
    function: str
    summary: str
    """The first line of the function's docstring; tests/ops/cli/test_command_table.py holds it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Click's context settings."""


COMMANDS: Mapping[str, CommandEntry] = {
    "start": CommandEntry(
        "site_commands",
        "start_command",
        "Bring up broker, simulated panel, VOLTTRON and VenAgent.",
    ),
    "stop": CommandEntry(
        "site_commands", "stop_command", "End VOLTTRON with its agents, panel and broker."
    ),
    "restart": CommandEntry("site_commands", "restart_command", "Stop, then start."),
    "status": CommandEntry(
        "status_command",
        "status_command",
        "What runs, its health, the power now, the active event and those that wait.",
    ),
    "send-event": CommandEntry(
        "ven_commands",
        "send_event_command",
        "Send a demand-response event, wait for its ack and show it.",
    ),
    "restore": CommandEntry(
        "ven_commands", "ven_restore_command", "End an event and restore its circuits."
    ),
    "ping": CommandEntry("ven_commands", "ven_ping_command", "Ask the VEN for a sign of life."),
    "shadow": CommandEntry(
        "ven_commands", "shadow_command", "The device's state as its shadow reports it, as JSON."
    ),
    "telemetry": CommandEntry(
        "ven_commands", "telemetry_command", "Follow the VEN's telemetry until Ctrl-C."
    ),
    "events": CommandEntry(
        "events_command",
        "events_command",
        "The events that wait, the running one and the last ones: when, how much, what came of it.",
    ),
    "register": CommandEntry(
        "ven_commands",
        "register_command",
        "Register the VEN with the operator's backend (BACKEND_URL, or the one that runs here).",
    ),
    "backend": CommandEntry(
        "backend_commands", "backend_app", "The operator's side: API, console, dispatch, ingest."
    ),
    "provision": CommandEntry(
        "provision_commands", "provision_command", "Give this site its identity in AWS IoT Core."
    ),
    "provision-sign": CommandEntry(
        "provision_commands",
        "provision_sign_command",
        "Have a site's request signed by AWS: the operator's half of `provision --csr-only`.",
    ),
    "doctor": CommandEntry(
        "diagnosis_commands",
        "doctor_command",
        "Look at everything a working VEN needs; say what is wrong and what to do.",
    ),
    "check-config": CommandEntry(
        "diagnosis_commands",
        "check_config_command",
        "Check driver configurations, registries and an agent's configuration.",
    ),
    "diagnostics": CommandEntry(
        "diagnosis_commands",
        "diagnostics_command",
        "Write an archive for a person who helps, with all secrets removed.",
    ),
    "watch": CommandEntry(
        "diagnosis_commands",
        "watch_command",
        "Power, event, circuits and connection on this terminal, live, until q or Ctrl-C.",
    ),
    "completion": CommandEntry(
        "completion_command", "completion_command", "Print tab completion for a shell."
    ),
    "logs": CommandEntry(
        "logs_command",
        "logs_command",
        "Follow a log until Ctrl-C; VOLTTRON's as short lines, without banners and repetitions.",
    ),
    "vctl": CommandEntry(
        "volttron_commands",
        "vctl_command",
        "VOLTTRON's own control command, for the VOLTTRON that runs here.",
        {**PASSED_ON, "help_option_names": []},  # vctl has its own
    ),
    "load-config": CommandEntry(
        "volttron_commands",
        "load_config_command",
        "Load driver configurations into VOLTTRON's config store.",
    ),
}
