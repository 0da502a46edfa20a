"""The line of each value of a JSON text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ops.check_config.checked_file import _value_lines
from tests.support.unicode_characters import UNICODE_CHARACTERS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(UNICODE_CHARACTERS, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(UNICODE_CHARACTERS, max_size=6), inner)
    ),
    max_leaves=8,
)


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@given(st.dictionaries(st.text(UNICODE_CHARACTERS, min_size=1, max_size=6), json_values))
def test_every_value_of_a_json_text_is_found_on_its_line(contents: dict[str, Any]) -> None:
    text = json.dumps(contents, indent=1)
    lines = text.splitlines()
    for path, line in _value_lines(text):
        value = at(contents, path)
        shown = json.dumps(value).splitlines()[0][:1]
        assert shown in lines[line - 1]
