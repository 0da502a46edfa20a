"""The agent's configuration for editors (JSON Schema) and for people, made from its model.

python -m ops.check_config.config_reference    writes docs/config.schema.json and configuration.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.check_config.setting_meanings import MEANINGS
from VenAgent.config import AgentConfig
from VenAgent.config.environment import VARIABLES

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA_FILE, REFERENCE_FILE = DOCS / "config.schema.json", DOCS / "configuration.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

EXAMPLES: dict[str, Any] = {
    "broker": {
        "host": "prefix-ats.iot.eu-central-1.amazonaws.com",
        "port": 8883,
        "tls": {
            "ca_cert": "/etc/ven/ca.pem",
            "client_cert": "/etc/ven/client.crt",
            "private_key": "/etc/ven/client.key",
        },
    },
    "outbox": {"max_mb": 512, "backlog_per_sec": 20},
    "topics": {"metering": "sites/metering"},
    "streams": {"telemetry": False, "loads": False},
    "calendar": {"timezone": "Europe/Berlin"},
    "opt_schedule": [
        {"days": ["mon", "fri"], "from_time": "08:00", "to_time": "12:00", "reason": "baking"},
        {"dates": ["2026-12-24"]},
        {"holidays": True},
    ],
    "panel": {
        "device": "site/building/panel",
        "amperage": 200,
        "voltage": 240,
        "power_point": "total_kw",
        "voltage_point": "voltage",
    },
    "circuits": [
        {
            "id": "heater1",
            "name": "Water Heater",
            "type": "heater",
            "breaker_amps": 30,
            "priority": 5,
            "control": "switch",
            "power_point": "heater1_kw",
            "switch_point": "heater1_contactor",
        },
        {
            "id": "ev1",
            "name": "EV Charger",
            "type": "ev",
            "breaker_amps": 50,
            "priority": 4,
            "control": "limit",
            "power_point": "ev1_watts",
            "power_scale": 0.001,
            "limit_point": "ev1_limit",
            "limit_unit": "amps",
        },
    ],
    "event": {"max_duration_sec": 14_400, "task_priority": "LOW_PREEMPT"},
    "leases": [
        {
            "device": "site/building/panel",
            "heartbeat_point": "heartbeat",
            "timeout_point": "heartbeat_timeout_sec",
            "timeout_sec": 120,
        }
    ],
    "quirks": [
        {
            "device": "site/building/panel",
            "sentinels": [-32768],
            "scale_points": {"total_kw": "power_scale_factor"},
            "settle_sec": 8,
            "frozen_after_sec": 120,
            "renew_sec": 20,
        }
    ],
    "web": {"host": "0.0.0.0", "port": 8080, "token": "put-a-random-token-here"},
    "bus_bridge": {"enabled": True, "forward": ["analysis/weather"]},
}
"""One of each block; test_config_reference.py holds them against the model."""


def config_reference_schema() -> dict[str, Any]:
    """The JSON Schema of the config store's entry."""
    made = AgentConfig.model_json_schema()
    for name, block in {**made["$defs"], "AgentConfig": made}.items():
        for setting, meaning in MEANINGS.get(name, {}).items():
            block["properties"][setting].setdefault("description", meaning)
    return {
        "$schema": DIALECT,
        **made,
        "title": "VenAgent's configuration",
        "description": "The entry `config` of the agent in VOLTTRON's config store.",
    }


def config_reference() -> str:
    """The same as a page, with an example of each block."""
    whole = config_reference_schema()
    parts = [_INTRODUCTION, _table(whole, whole)]
    for name, block in _blocks(whole, whole):
        parts.append(f"## `{name}`\n")
        parts.append(f"{_plain(block.get('description', ''))}\n")
        parts.append(_table(block, whole))
        if name in EXAMPLES:
            example = json.dumps({name: EXAMPLES[name]}, indent=2)
            parts.append(f"```json\n{example}\n```\n")
    parts.append(_variables())
    return "\n".join(parts)


_INTRODUCTION = """# Configuration

The entry `config` of `ven.agent` in VOLTTRON's config store; the file `config` is what a new agent
begins with. A change takes effect without a restart. A bad one leaves the last good one in force,
over restarts too, and the agent's health names each field and what is wrong with it. For editors
and scripts there is [config.schema.json](config.schema.json). This page is made from the model:
`python -m ops.check_config.config_reference`.

Only `ven_id`, `panel` and `circuits` must be there.
"""


def _variables() -> str:
    rows = [f"| `{name}` | `{'.'.join(path)}` |" for name, path in sorted(VARIABLES.items())]
    return "\n".join(
        [
            "## Environment variables",
            "",
            "Those of the platform's environment win over the configuration.",
            "",
            "| variable | setting |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _blocks(
    block: Mapping[str, Any], whole: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every block below `block`, depth first, under its path."""
    for name, field in block["properties"].items():
        inner = _block_of(field, whole)
        if inner is not None:
            yield f"{path}{name}", inner
            yield from _blocks(inner, whole, f"{path}{name}.")


def _block_of(field: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The block that a field holds, or a list of them."""
    for form in (field, *field.get("anyOf", ()), field.get("items", {})):
        found = _resolved(form, whole)
        if "properties" in found:
            return found
    return None


def _resolved(form: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    named = form.get("$ref")
    return whole["$defs"][named.rpartition("/")[2]] if named else form


def _table(block: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    required = block.get("required", ())
    lines = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    for name, field in block["properties"].items():
        inner = _block_of(field, whole)
        meaning = field.get("description") or (inner or {}).get("description", "")
        default = "must be given" if name in required else _default(field, inner)
        cells = (f"`{name}`", _value(field, whole), default, _plain(meaning))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _default(field: Mapping[str, Any], inner: Mapping[str, Any] | None) -> str:
    default = field.get("default")
    if default is None or default == []:
        return "none"
    return "as below" if inner is not None else f"`{json.dumps(default)}`"


def _value(field: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    forms = [_resolved(form, whole) for form in field.get("anyOf", (field,))]
    return " or ".join(_form(form, whole) for form in forms if form.get("type") != "null")


def _form(form: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    if "enum" in form:
        return ", ".join(f"`{json.dumps(each)}`" for each in form["enum"])
    if form.get("type") == "array":
        return f"list of {_form(_resolved(form.get('items', {}), whole), whole)}"
    if "properties" in form:
        return "block"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {form[name]:.10g}" for name, sign in limits.items() if name in form]
    return ", ".join([str(form.get("type", "value")), *said])


def _plain(text: str) -> str:
    """A docstring on one line."""
    return " ".join(text.split())


def _write() -> None:
    SCHEMA_FILE.write_text(
        json.dumps(config_reference_schema(), indent=2, ensure_ascii=False) + "\n"
    )
    REFERENCE_FILE.write_text(config_reference())


if __name__ == "__main__":
    _write()
