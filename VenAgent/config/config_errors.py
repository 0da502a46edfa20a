"""What is wrong with a configuration, said so that a person can mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from VenAgent.config.config_block import config_holds_secret
from VenAgent.contract.finding_text import finding_text

CONFIG_PATTERNS = {
    r"^[a-zA-Z0-9:_-]{1,128}$": "letters, digits, `:`, `_` and `-`, 1 to 128 of them",
    r"^[A-Za-z0-9_.:-]{1,64}$": "letters, digits, `_`, `.`, `:` and `-`, 1 to 64 of them",
    r"^[^+#\x00]*$": "a topic without `+` and `#`",
    r"^[^/\s]+(/[^/\s]+)*$": "like campus/building/meter: no blanks, no / at the ends",
    r"^[^/\s+#$\x00][^/+#\x00]*(/[^/+#\x00]+)*$": (
        "like campus/building: no `+` and `#`, no / at the ends"
    ),
    r"^[A-Za-z0-9/_+=.@:-]{1,2048}$": "the secret's name or its ARN",
    r"^[a-z0-9-]{1,64}$": "a region like eu-central-1",
    r"^/[!-~]{0,255}$": "a path like /mqtt",
    r"^\S+$": "a name or an address without blanks",
    r"^(/[A-Za-z0-9._~-]{1,64}){0,8}$": "a path like /site-1",
    r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$": "a time of day like 07:30",
}
"""What a text of the configuration must be, by its pattern."""


class ConfigError(ValueError):
    """The configuration cannot be used; the text names each field and what is wrong with it."""


def telling_config_errors(error: ValidationError) -> list[Any]:
    """pydantic's findings. One that there are no circuits is left out beside what is wrong with
    them."""
    findings = error.errors(include_url=False)
    inside_circuits = any(f["loc"][:1] == ("circuits",) and len(f["loc"]) > 1 for f in findings)
    return [each for each in findings if not (each["type"] == "too_short" and inside_circuits)]


def config_finding_text(finding: Mapping[str, Any]) -> str:
    """What is wrong with the setting, to stand after its name."""
    if finding["type"] == "extra_forbidden":
        return "is not a setting of VenAgent"
    if finding["type"] == "string_pattern_mismatch":
        return f"must be {CONFIG_PATTERNS[finding['ctx']['pattern']]}"
    return finding_text(finding)


def explain_config_errors(error: ValidationError) -> str:
    """All findings on one line each: where, what, and what stood there."""
    lines = []
    for finding in telling_config_errors(error):
        where = ""
        for part in finding["loc"]:
            where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
        text = config_finding_text(finding)
        if finding["type"] == "extra_forbidden":
            text += ": correct its name or remove it"
        elif (
            finding["type"] != "missing"
            and isinstance(finding["input"], (str, int, float))
            and not config_holds_secret(finding)
        ):
            text += f" (got {finding['input']!r})"
        lines.append(f"{where}: {text}" if where else text)
    return "; ".join(lines)
