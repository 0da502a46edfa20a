"""What every message shares."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from VenAgent.contract.wire import encode, rounded

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_word_for_is_refused(value: float) -> None:
    for message in ({"a": value}, {"a": [{"b": value}]}):
        with pytest.raises(ValueError, match="JSON"):
            encode(message)


@given(message=st.dictionaries(st.text(), JSON_VALUES, max_size=3))
def test_what_is_encoded_reads_the_same(message: dict[str, object]) -> None:
    try:
        payload = encode(message)
    except ValueError:
        assert "inf" in repr(message)
        return
    assert json.loads(payload.decode("utf-8")) == message


def test_there_are_no_blanks_on_the_wire() -> None:
    assert encode({"a": [1, 2], "b": None}) == b'{"a":[1,2],"b":null}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.23456, 1.235), (-0.0001, 0.0), (0.0, 0.0), (None, None), (5, 5.0)],
)
def test_values_are_rounded_for_the_wire(value: float | None, expected: float | None) -> None:
    assert rounded(value) == expected
    assert "-0.0" not in repr(rounded(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null_on_the_wire(value: float) -> None:
    assert rounded(value) is None


def test_the_digits_can_be_chosen() -> None:
    assert rounded(1.2345678, 6) == 1.234568
    assert rounded(99.96, 1) == 100.0
