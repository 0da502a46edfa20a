"""What two answers to the same call must have in common."""

from __future__ import annotations

import re
from typing import Any


def answer_shape(answer: Any) -> Any:
    """Its structure: names and types, without what differs from call to call."""
    if isinstance(answer, dict):
        return {key: answer_shape(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [answer_shape(value) for value in answer]
    is_moment = isinstance(answer, str) and re.match(r"\d{4}-\d\d-\d\d[ T]", answer)
    return "moment" if is_moment else answer if isinstance(answer, str) else type(answer).__name__
