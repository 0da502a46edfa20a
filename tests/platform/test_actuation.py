"""What the actuator's answers to a reservation mean; its own behaviour is in test_faults.py."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from tests.platform.site import ROOT, VEN
from VenAgent.config import AgentConfig
from VenAgent.site.actuation import Actuation

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
SUCCESS = {"result": "SUCCESS", "data": {}, "info": ""}
CONFLICT = "CONFLICTS_WITH_EXISTING_SCHEDULES"


class Answered:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get(self, timeout: float) -> Any:
        assert timeout > 0
        return self._answer


class Actuator:
    """Its schedule: who holds the panel's one device, as which task."""

    def __init__(self, holder: str | None, task: str) -> None:
        self.held = {} if holder is None else {holder: {task: [["device", "start", "end"]]}}

    def call(self, peer: str, method: str, *args: Any) -> Answered:
        assert peer == "platform.actuator"
        if method == "request_cancel_schedule":
            self.held.get(VEN, {}).pop(args[1], None)
            self.held = {owner: tasks for owner, tasks in self.held.items() if tasks}
            return Answered(SUCCESS)
        if self.held:
            return Answered({"result": "FAILURE", "data": deepcopy(self.held), "info": CONFLICT})
        self.held = {VEN: {args[1]: args[3]}}
        return Answered(SUCCESS)


def actuation(actuator: Any) -> Actuation:
    return Actuation(actuator, CONFIG, VEN)


def test_a_reservation_of_ours_that_was_forgotten_is_given_back_and_made_anew() -> None:
    actuator = Actuator(VEN, "of an event that is over")
    assert actuation(actuator).reserve("now", until_ts=200.0, now=100.0) is None
    assert set(actuator.held[VEN]) == {"now"}


def test_a_reservation_of_another_agent_is_left_alone_and_named() -> None:
    actuator = Actuator("other.agent", "theirs")
    refusal = actuation(actuator).reserve("now", until_ts=200.0, now=100.0)
    assert refusal is not None
    assert "other.agent as theirs" in refusal
    assert set(actuator.held) == {"other.agent"}


@pytest.mark.parametrize("data", [None, "", [], {}])
def test_whatever_the_actuator_sends_along_a_refusal_is_a_sentence(data: Any) -> None:
    class Malformed:
        def call(self, *args: Any) -> Answered:
            return Answered({"result": "FAILURE", "data": data, "info": "MALFORMED_REQUEST"})

    refusal = actuation(Malformed()).reserve("now", until_ts=200.0, now=100.0)
    assert refusal == "the actuator refused the reservation: MALFORMED_REQUEST"
