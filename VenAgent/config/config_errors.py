"""What is wrong with a configuration, said so that a person can mend it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from VenAgent.config.config_block import config_holds_secret


class ConfigError(ValueError):
    """The configuration cannot be used; the text names each field and what is wrong with it."""


def telling_config_errors(error: ValidationError) -> list[Any]:
    """pydantic's findings. One that there are no circuits is left out beside what is wrong with
    them."""
    findings = error.errors(include_url=False)
    inside_circuits = any(f["loc"][:1] == ("circuits",) and len(f["loc"]) > 1 for f in findings)
    return [each for each in findings if not (each["type"] == "too_short" and inside_circuits)]


def explain_config_errors(error: ValidationError) -> str:
    """All findings on one line each: where, what, and what stood there."""
    lines = []
    for finding in telling_config_errors(error):
        where = ""
        for part in finding["loc"]:
            where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
        text = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "missing":
            text = "is missing"
        elif finding["type"] == "extra_forbidden":
            text = "is not a setting of VenAgent: correct its name or remove it"
        elif isinstance(finding["input"], (str, int, float)) and not config_holds_secret(finding):
            text += f" (got {finding['input']!r})"
        lines.append(f"{where}: {text}" if where else text)
    return "; ".join(lines)
