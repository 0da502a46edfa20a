"""One test over many cases says which failed."""

from __future__ import annotations

import pytest

from tests.support.each_case import CasesFailed, each_case


@pytest.fixture
def limit() -> int:
    return 2


def test_every_case_is_tried_and_each_that_failed_is_named() -> None:
    tried = []

    @each_case(("number", "word"), [(1, "one"), (2, "two"), (3, "three")], ids=["a", "b", "c"])
    def check(number: int, word: str) -> None:
        tried.append((number, word))
        assert number == 2, f"{word} is odd"
        pytest.fail("the second")

    with pytest.raises(CasesFailed) as caught:
        check()
    assert tried == [(1, "one"), (2, "two"), (3, "three")]
    heading, *lines = str(caught.value).splitlines()
    assert heading == "3 of 3 cases failed:"
    assert [line[:4] for line in lines if line.startswith("[")] == ["[a]:", "[b]:", "[c]:"]
    assert "one is odd" in caught.value.lines[0]
    assert f"{__file__}:" in caught.value.lines[0]
    assert "the second" in caught.value.lines[1]


def test_written_twice_it_tries_each_with_each() -> None:
    tried = []

    @each_case("place", "xy", ids=str)
    @each_case("number", [1, 2])
    def check(number: int, place: str) -> None:
        tried.append((place, number))
        assert (place, number) != ("y", 1)

    with pytest.raises(CasesFailed, match=r"\[y\] - \[1\]: "):
        check()
    assert tried == [("x", 1), ("x", 2), ("y", 1), ("y", 2)]


@each_case("number", [1, 2])
def test_a_fixture_can_be_used_beside(limit: int, number: int) -> None:
    assert number <= limit


def test_no_cases_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="no cases of number"):
        each_case("number", [])
