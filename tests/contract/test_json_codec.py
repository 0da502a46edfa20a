"""What every message shares."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.each_case import each_case
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.contract.json_codec import (
    MAX_DEPTH,
    MAX_INPUT_BYTES,
    decode_json,
    encode_json,
    json_number,
)
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import ReasonCode

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(UNICODE_CHARACTERS)
    | st.floats(allow_nan=False, width=32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(UNICODE_CHARACTERS), inner, max_size=3)
    ),
    max_leaves=8,
)


@each_case("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_word_for_is_refused(value: float) -> None:
    for message in ({"a": value}, {"a": [{"b": value}]}):
        with pytest.raises(ValueError, match="JSON"):
            encode_json(message)


@given(message=st.dictionaries(st.text(UNICODE_CHARACTERS), JSON_VALUES, max_size=3))
def test_what_is_encoded_reads_the_same(message: dict[str, object]) -> None:
    try:
        payload = encode_json(message)
    except ValueError:
        assert "inf" in repr(message)
        return
    assert json.loads(payload.decode("utf-8")) == message


def test_there_are_no_blanks_on_the_wire() -> None:
    assert encode_json({"a": [1, 2], "b": None}) == b'{"a":[1,2],"b":null}'


@each_case(
    ("value", "expected"),
    [(1.23456, 1.235), (-0.0001, 0.0), (0.0, 0.0), (None, None), (5, 5.0)],
)
def test_values_are_rounded_for_the_wire(value: float | None, expected: float | None) -> None:
    assert json_number(value) == expected
    assert "-0.0" not in repr(json_number(value))


@each_case("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null_on_the_wire(value: float) -> None:
    assert json_number(value) is None


def test_the_digits_can_be_chosen() -> None:
    assert json_number(1.2345678, 6) == 1.234568
    assert json_number(99.96, 1) == 100.0


def refused(payload: bytes | str, **limits: int) -> MessageRefused:
    with pytest.raises(MessageRefused) as caught:
        decode_json(payload, **limits)
    return caught.value


@given(message=st.dictionaries(st.text(UNICODE_CHARACTERS), JSON_VALUES, max_size=3))
def test_what_is_encoded_is_decoded_the_same(message: dict[str, object]) -> None:
    try:
        payload = encode_json(message)
    except ValueError:
        return
    assert decode_json(payload) == message
    assert decode_json(payload.decode()) == message


def outcome(payload: bytes | str, **limits: int) -> dict[str, object] | MessageRefused:
    try:
        return decode_json(payload, **limits)
    except MessageRefused as error:
        return error


@given(payload=st.binary(max_size=300) | st.text(UNICODE_CHARACTERS, max_size=300))
def test_whatever_comes_is_an_object_or_refused(payload: bytes | str) -> None:
    result = outcome(payload)
    assert isinstance(result, dict) or (result.code in ReasonCode and str(result))


NESTED = st.recursive(
    st.text(alphabet='[]{}"\\', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text('[{"\\'), inner, max_size=2)
    ),
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, (dict, list)) else 0


@given(value=NESTED)
def test_the_depth_is_counted_as_json_nests(value: object) -> None:
    result = outcome(json.dumps({"a": value}), max_depth=3)
    too_deep = isinstance(result, MessageRefused) and result.code is ReasonCode.TOO_DEEP
    assert too_deep == (depth(value) > 2)


def test_the_size_is_bounded_to_the_byte() -> None:
    largest = b'{"a":"' + b"x" * (MAX_INPUT_BYTES - 8) + b'"}'
    assert len(decode_json(largest)["a"]) == MAX_INPUT_BYTES - 8
    assert refused(largest + b" ").code is ReasonCode.TOO_LARGE
    assert refused('{"a":"\u20ac"}', max_bytes=10).code is ReasonCode.TOO_LARGE
    assert refused(b'{"a":1}', max_bytes=6).code is ReasonCode.TOO_LARGE


def test_the_depth_is_bounded() -> None:
    deepest = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert decode_json(deepest)
    assert refused('{"a":' + deepest + "}").code is ReasonCode.TOO_DEEP


@each_case(
    "payload",
    [
        b"[" * MAX_INPUT_BYTES,
        b'{"a":' * (MAX_INPUT_BYTES // 5),
        b'"\\' * (MAX_INPUT_BYTES // 3),
        b'\\"' * (MAX_INPUT_BYTES // 2),
        b"[]," * (MAX_INPUT_BYTES // 3),
        b'{"a":' + b"9" * (MAX_INPUT_BYTES - 6) + b"}",
        b'{"a":0.' + b"9" * (MAX_INPUT_BYTES - 8) + b"}",
        b'{"a":1e' + b"9" * (MAX_INPUT_BYTES - 8) + b"}",
    ],
)
def test_no_payload_takes_long(payload: bytes) -> None:
    """Each of these is quadratic, or ends in a RecursionError, for a careless reader."""
    result = outcome(payload)
    assert len(str(result)) < 200 or isinstance(result, dict)


def test_a_bracket_in_a_text_is_no_depth() -> None:
    text = '[[[["' + "\\" + '"{{{{{{' * 20
    assert decode_json(encode_json({"a": text, "b": text}), max_depth=1) == {"a": text, "b": text}


@each_case("text", ['{"a":1,"a":1}', '{"b":{"a":1,"a":2}}', '{"b":[{"a":1,"\\u0061":2}]}'])
def test_a_key_twice_is_refused_at_any_depth(text: str) -> None:
    error = refused(text)
    assert error.code is ReasonCode.DUPLICATE_KEY
    assert "'a'" in str(error)
    assert "a" not in error.readable


@each_case("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 65])
def test_a_number_that_is_none_is_refused_and_its_field_named(number: str) -> None:
    error = refused(f'{{"id":"x","power":{number}}}')
    assert error.code is ReasonCode.BAD_NUMBER
    assert str(error).startswith("power: ")
    assert error.readable == {"id": "x"}
    assert refused(f'{{"id":"x","power":[{number}]}}').code is ReasonCode.BAD_NUMBER


def test_only_utf_8_is_read_with_or_without_its_mark() -> None:
    assert decode_json(b'\xef\xbb\xbf{"a":"\xc3\xa9"}') == {"a": "\u00e9"}
    assert refused('{"a":1}'.encode("utf-16")).code is ReasonCode.NOT_JSON
    assert refused(b'{"a":"\xff"}').code is ReasonCode.NOT_JSON
