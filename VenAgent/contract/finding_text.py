"""pydantic's findings in words for people, at every door: no Python type, no pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "missing": "is missing",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 18 digits",
    "int_from_float": "must be a whole number",
    "string_type": "must be a text",
    "string_unicode": "must be a text",
    "string_pattern_mismatch": "is not written as it must be",
    "date_type": "must be a date like 2026-12-24",
    "date_parsing": "must be a date like 2026-12-24",
    "date_from_datetime_parsing": "must be a date like 2026-12-24",
    "date_from_datetime_inexact": "must be a date like 2026-12-24, without a time",
}
_BOUNDS = {
    "greater_than": ("gt", "must be greater than"),
    "greater_than_equal": ("ge", "must be greater than or equal to"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be less than or equal to"),
}


def finding_text(finding: Mapping[str, Any]) -> str:
    """What is wrong with the field of one finding of a ValidationError, to stand after its name."""
    kind, context = finding["type"], finding.get("ctx") or {}
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]:.12g}" if name in context else words
    if kind in ("literal_error", "enum"):
        return f"must be {context['expected']}"
    if kind.endswith("too_short"):
        return f"must have at least {_counted(context['min_length'], finding)}"
    if kind.endswith("too_long"):
        return f"may have at most {_counted(context['max_length'], finding)}"
    return _WORDS.get(kind) or finding["msg"].removeprefix("Value error, ")


def _counted(count: int, finding: Mapping[str, Any]) -> str:
    is_text = finding["type"].startswith("string") or finding["ctx"].get("field_type") == "Value"
    one, more = ("character", "characters") if is_text else ("entry", "entries")
    return f"{count} {one if count == 1 else more}"
