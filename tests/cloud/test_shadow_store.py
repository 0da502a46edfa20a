"""The tests' shadow service itself: what AWS's documentation says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.shadow_store import ShadowStore

NOW = 1_760_000_000.0
THING = "site-1"


class Caller:
    """Requests, and the messages that answer them by topic."""

    def __init__(self) -> None:
        self.store = ShadowStore()

    def __call__(self, operation: str, body: Any = None, now: float = NOW) -> dict[str, Any]:
        payload = body if isinstance(body, bytes) else b"" if body is None else encoded(body)
        return dict(self.store.handle(THING, None, operation, payload, now))

    def update(self, now: float = NOW, **state: Any) -> dict[str, Any]:
        return self("update", {"state": state}, now)

    def refusal(self, body: Any) -> tuple[int, str]:
        answers = self("update", body)
        assert list(answers) == ["update/rejected"]
        return answers["update/rejected"]["code"], answers["update/rejected"]["message"]


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_an_update_is_accepted_documented_and_its_difference_published(call: Caller) -> None:
    answers = call.update(desired={"a": 1, "l": [{"x": 1}]}, reported={"a": 2, "b": 3})
    assert answers["update/accepted"]["version"] == 1
    assert answers["update/delta"] == {
        "state": {"a": 1, "l": [{"x": 1}]},
        "metadata": {"a": {"timestamp": int(NOW)}, "l": [{"x": {"timestamp": int(NOW)}}]},
        "version": 1,
        "timestamp": int(NOW),
    }
    assert answers["update/documents"]["previous"]["state"] == {}
    assert answers["update/documents"]["current"]["state"]["reported"] == {"a": 2, "b": 3}
    assert "update/delta" not in call.update(reported={"a": 1, "l": [{"x": 1}]})


def test_a_delta_keeps_the_time_at_which_its_wish_was_made(call: Caller) -> None:
    call.update(desired={"a": 1})
    answers = call.update(now=NOW + 60, reported={"b": 1})
    assert answers["update/delta"]["metadata"] == {"a": {"timestamp": int(NOW)}}


def test_objects_are_merged_lists_replaced_and_null_deletes(call: Caller) -> None:
    call.update(reported={"o": {"a": 1, "b": 2}, "l": [1, 2], "x": 1})
    call.update(reported={"o": {"b": 3, "c": 4}, "l": [3], "x": None})
    assert call("get")["get/accepted"]["state"] == {
        "reported": {"o": {"a": 1, "b": 3, "c": 4}, "l": [3]}
    }
    call.update(reported=None)
    assert call("get")["get/accepted"]["state"] == {}


def test_a_version_must_be_the_current_one(call: Caller) -> None:
    call.update(reported={"a": 1})
    assert call.refusal({"state": {}, "version": 0}) == (409, "Version conflict")
    assert "update/accepted" in call("update", {"state": {"reported": {"a": 2}}, "version": 1})


def test_desired_and_reported_together_may_have_8_kb(call: Caller) -> None:
    room = 8_192 - len('{"reported":{"a":""}}')
    assert "update/accepted" in call.update(reported={"a": "x" * room})
    assert call.refusal({"state": {"desired": {"b": 1}}})[0] == 413
    assert call("get")["get/accepted"]["version"] == 1


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"{", 400, "Invalid JSON"),
        (b"\xff", 415, "Unsupported documented encoding; supported encoding is UTF-8"),
        ({}, 400, "Missing required node: state"),
        ({"state": None}, 400, "State node must be an object"),
        ({"state": {"desired": 5}}, 400, "Desired node must be an object"),
        ({"state": {"reported": [1]}}, 400, "Reported node must be an object"),
        ({"state": {"other": {}}}, 400, "State contains an invalid node"),
        ({"state": {"reported": {"a": [None]}}}, 400, "State contains an invalid node"),
        ({"state": {"reported": {"a": [{"b": None}]}}}, 400, "State contains an invalid node"),
        ({"state": {}, "version": "1"}, 400, "Invalid version"),
        ({"state": {}, "clientToken": "x" * 65}, 400, "Invalid clientToken"),
        (
            {"state": {"reported": {"a": {"b": {"c": {"d": {}}}}}}},
            400,
            "JSON contains too many levels of nesting; maximum is 6",
        ),
    ],
)
def test_what_is_wrong_is_rejected_with_awss_words(
    call: Caller, body: Any, code: int, message: str
) -> None:
    assert call.refusal(body) == (code, message)


def test_answers_carry_the_client_token(call: Caller) -> None:
    answers = call("update", {"state": {"desired": {"a": 1}}, "clientToken": "t"})
    assert {message["clientToken"] for message in answers.values()} == {"t"}
    answers = call("update", {"state": 5, "clientToken": "t"})
    assert answers["update/rejected"]["clientToken"] == "t"


def test_there_is_nothing_to_get_before_the_first_update_and_after_a_delete(call: Caller) -> None:
    assert call("get")["get/rejected"]["code"] == 404
    call.update(reported={"a": 1})
    assert call("delete")["delete/accepted"]["version"] == 1
    assert call("get")["get/rejected"]["code"] == 404
    assert call.update(reported={"a": 1})["update/accepted"]["version"] == 2


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        boto3.client("iot", "eu-west-1").create_thing(thingName=THING)
        yield boto3.client("iot-data", "eu-west-1")


@pytest.mark.long
def test_moto_comes_to_the_same_documents(call: Caller, moto: Any) -> None:
    """moto knows neither the limit nor the checks, but it merges on its own."""
    for state in (
        {"desired": {"a": 1, "l": [{"x": 1}]}, "reported": {"a": 2}},
        {"reported": {"a": 1, "o": {"p": 1, "q": 2}}},
        {"desired": {"o": {"p": 5}}},
        {"desired": {"a": None, "l": None}, "reported": {"l": [1]}},
        {"reported": {"o": {"p": 5, "q": None}}},
    ):
        call.update(**state)
        moto.update_thing_shadow(thingName=THING, payload=encoded({"state": state}))
        theirs = json.loads(moto.get_thing_shadow(thingName=THING)["payload"].read())
        ours = call("get")["get/accepted"]
        assert ours["state"] == theirs["state"]
        assert ours["version"] == theirs["version"]
