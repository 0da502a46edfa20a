"""The device's end of the shadow, against a service that follows AWS's documentation."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cloud.shadow_house import PREFIX, TOPICS, House, off
from tests.support.example_count import example_count
from VenAgent.cloud.shadow_client import REFUSAL_REPORTED_SEC, ShadowClient
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import ReasonCode
from VenAgent.contract.shadow_document import MAX_SHADOW_BYTES


@pytest.fixture
def house() -> House:
    house = House()
    house.connect()
    return house


def test_at_the_first_connection_there_is_no_shadow_and_the_report_makes_it(house: House) -> None:
    assert [c["id"] for c in house.held("reported")["circuits"]] == ["c0", "c1", "c2"]
    assert house.held("desired") == {}
    assert house.shadow.trouble is None
    assert not house.shadow.rejected


def test_a_desired_circuit_is_switched_reported_and_cleared(house: House) -> None:
    house.desire(circuits=off("c1"))
    assert [fields for _, fields in house.commands] == [
        {"op": "setLoad", "loadId": "c1", "enabled": False}
    ]
    reported = {c["id"]: c["enabled"] for c in house.held("reported")["circuits"]}
    assert reported == {"c0": True, "c1": False, "c2": True}
    assert house.held("desired") == {}


def test_loads_and_the_interval_may_be_desired_together(house: House) -> None:
    house.desire(loads=[{"loadId": "c0", "enabled": False}], report_interval_sec=10)
    assert house.closed["c0"] is False
    assert house.held("reported")["report_interval_sec"] == 10
    assert house.held("desired") == {}


def test_a_delta_is_acted_on_once_however_often_it_is_published(house: House) -> None:
    """Every report of ours brings the delta again, under a new version, until it is cleared."""
    house.busy = True
    house.desire(circuits=off("c1"))
    for _ in range(3):
        house.report()
    assert house.held("desired") == {"circuits": off("c1")}, "it is not cleared before it is done"
    house.busy = False
    house.finish()
    house.settle()
    assert len(house.commands) == 1
    assert house.held("desired") == {}


def test_the_same_wish_later_is_a_new_one(house: House) -> None:
    house.desire(circuits=off("c1"))
    house.closed["c1"] = True  # by a person at the site
    house.desire(circuits=off("c1"))
    assert len(house.commands) == 2
    assert house.closed["c1"] is False


@pytest.mark.parametrize("busy", [False, True])
def test_on_off_on_within_a_second_is_three_wishes(house: House, busy: bool) -> None:
    """The service's times are whole seconds: the document's version tells them apart."""
    house.busy = busy
    for enabled in (False, True, False):
        house.desire(circuits=[{"id": "c1", "enabled": enabled}])
    house.busy = False
    house.finish()
    house.settle()
    assert [fields["enabled"] for _, fields in house.commands] == [False, True, False]
    assert len({correlation_id for correlation_id, _ in house.commands}) == 3
    assert house.closed["c1"] is False
    assert house.held("desired") == {}
    house.report()
    assert len(house.commands) == 3


def test_an_older_delta_changes_nothing(house: House) -> None:
    house.desire(circuits=off("c1"))
    for version in (0, 1, 2):
        old = {"version": version, "state": {"circuits": off("c2")}, "metadata": {}}
        received = house.shadow.receive(f"{PREFIX}/update/delta", encoded(old), house.now)
        assert received.sections == ()


def test_a_delta_that_waited_at_the_broker_does_not_count_once_it_is_withdrawn(
    house: House,
) -> None:
    house.hears = False
    house.desire(circuits=off("c1"))
    house.desire(circuits=None)
    house.connect()
    assert house.commands == []
    assert house.closed["c1"] is True


def test_what_was_desired_while_the_site_was_away_is_done_at_the_connection(house: House) -> None:
    house.hears = False
    house.desire(circuits=off("c1"))
    house.downward.clear()  # the session was lost too
    house.connect()
    assert house.closed["c1"] is False
    assert house.held("desired") == {}


def test_a_newer_wish_that_comes_while_the_old_one_is_cleared_is_not_cleared_unread(
    house: House,
) -> None:
    newer = {"state": {"desired": {"circuits": off("c2")}}, "clientToken": "operator"}
    house.between = lambda: house.operator(newer)  # just before our update that clears
    house.desire(circuits=off("c1"))
    assert house.closed == {"c0": True, "c1": False, "c2": False}
    assert house.held("desired") == {}
    assert house.shadow.rejected == {"409": 1}
    assert house.shadow.trouble is None


def test_a_conflict_with_an_update_that_wishes_nothing_is_resolved_at_once(house: House) -> None:
    other = {"state": {"reported": {"note": "by another client"}}, "clientToken": "other"}
    house.between = lambda: house.operator(other)
    house.desire(circuits=off("c1"))
    assert house.shadow.rejected == {"409": 1}
    assert house.held("desired") == {}
    assert len(house.commands) == 1


def test_an_older_wish_that_ends_late_does_not_clear_the_newer_one(house: House) -> None:
    house.busy = True
    house.desire(circuits=off("c1"))
    older = house.working.pop()
    house.now += 1
    house.desire(circuits=off("c2"))
    house.shadow.done(older, [], house.now)
    house.report()
    assert house.held("desired") == {"circuits": off("c2")}


def test_a_refused_wish_is_reported_with_its_reason_and_cleared(house: House) -> None:
    house.refusing["c1"] = "c1 is critical: it is not switched from outside"
    house.desire(circuits=[*off("c0", "c1"), {"id": "c2"}], power_kw=5)
    assert house.closed == {"c0": False, "c1": True, "c2": True}
    refused = {entry["item"]: entry["reason"] for entry in house.held("reported")["refused"]}
    assert refused == {
        "circuits.c1": "c1 is critical: it is not switched from outside",
        "circuits.c2": "enabled must be true or false",
        "power_kw": "this cannot be desired here: use circuits, loads or report_interval_sec",
    }
    assert house.held("desired") == {}
    house.desire(circuits=off("c2"))
    house.desire(power_kw=None)
    assert [entry["item"] for entry in house.held("reported")["refused"]] == ["power_kw"]


def test_a_refusal_ends_when_its_circuit_is_switched_by_the_other_section(house: House) -> None:
    house.desire(circuits=off("c1", "c2"), loads=[{"id": "c1", "enabled": True}])
    assert {"circuits.c1", "loads.c1"} == refused_items(house)
    house.refusing["c1"] = "c1 is critical"
    house.desire(circuits=off("c1"))
    assert {"circuits.c1", "loads.c1"} == refused_items(house)
    house.refusing.clear()
    house.desire(circuits=off("c1"))
    assert refused_items(house) == set()
    assert house.closed["c1"] is False


def test_what_can_never_be_desired_is_reported_for_a_day(house: House) -> None:
    """AWS's console puts `welcome` into each shadow that it makes."""
    house.desire(welcome="aws-iot")
    house.now += REFUSAL_REPORTED_SEC - 60
    house.report()
    assert refused_items(house) == {"welcome"}
    house.now += 60
    house.report()
    assert refused_items(house) == set()


def refused_items(house: House) -> set[str]:
    return {entry["item"] for entry in house.held("reported").get("refused") or ()}


def test_contradictory_wishes_change_nothing(house: House) -> None:
    house.desire(circuits=[*off("c0"), {"id": "c0", "enabled": True}], loads=off("c1"))
    house.desire(circuits=off("c2"), loads=[{"id": "c2", "enabled": True}])
    assert house.closed == {"c0": True, "c1": False, "c2": True}


@pytest.mark.parametrize(
    "desired",
    [
        {"circuits": 5},
        {"circuits": [5, {}, {"id": 7, "enabled": True}]},
        {"loads": {"a": {"b": 1}}},
    ],
)
def test_a_malformed_wish_is_refused_and_cleared(house: House, desired: dict[str, Any]) -> None:
    house.desire(**desired)
    assert house.commands == []
    assert house.held("reported")["refused"]
    assert house.held("desired") == {}


def test_after_a_restart_a_wish_that_was_done_but_not_cleared_has_the_same_command(
    house: House,
) -> None:
    house.busy = True
    house.desire(circuits=off("c1"))
    section = house.working[0]  # done, and then the process was killed
    again = House(store=house.store)
    again.connect()
    assert [correlation_id for correlation_id, _ in again.commands] == [section.correlation_id]
    assert again.held("desired") == {}


def test_the_operators_own_updates_and_gets_are_not_taken_for_ours(house: House) -> None:
    house.operator({"state": "wrong", "clientToken": "operator"})
    house.serve(f"{PREFIX}/get", b'{"clientToken":"operator"}')
    house.settle()
    assert house.shadow.trouble is None
    assert not house.shadow.rejected
    theirs = {
        "state": {"desired": {"circuits": off("c1")}},
        "version": 1,
        "clientToken": "operator",
    }
    assert not house.shadow.receive(f"{PREFIX}/get/accepted", encoded(theirs), house.now).sections


def test_a_rejected_update_is_told_once_and_is_over_with_the_next_accepted(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    house.store.faults = [(403, "Forbidden")] * 3
    for _ in range(3):
        house.report()
    assert house.shadow.trouble == "the shadow's update was rejected: 403 Forbidden"
    assert house.shadow.rejected == {"403": 3}
    assert len(caplog.records) == 1
    house.report()
    assert house.shadow.trouble is None
    assert len(caplog.records) == 2


def test_when_the_service_has_too_many_requests_reports_pause(house: House) -> None:
    house.store.faults = [(429, "Too many requests"), (429, "Too many requests")]
    house.report()
    version = house.store.document("site-1").version
    house.now += 59
    house.report()
    assert house.store.document("site-1").version == version
    house.now += 2
    house.report()
    house.now += 61
    house.report()
    assert house.store.document("site-1").version == version, "it waits twice as long now"
    house.now += 60
    house.report()
    assert house.store.document("site-1").version == version + 1


def test_a_get_without_an_answer_is_asked_again_later_each_time() -> None:
    shadow = ShadowClient(TOPICS, "boot", ["c0"])
    house = House()
    asked = [message.topic for message in shadow.connected(0.0)]
    for now in range(1, 61):
        asked += [m.topic for m in shadow.report(house.reported(), float(now)) if "get" in m.topic]
    assert asked == [f"{PREFIX}/get"] * 3  # at 0, 10 and 30 s


def test_when_a_service_that_was_silent_speaks_it_is_asked_again_at_once(house: House) -> None:
    house.send(house.shadow.connected(house.now))
    house.upward.clear()  # the request was lost
    house.desire(circuits=off("c1"))
    assert house.closed["c1"] is True, "the document decides, and it has not come"
    house.now += 11
    house.desire(circuits=off("c1", "c2"))
    assert house.closed == {"c0": True, "c1": False, "c2": False}
    assert house.held("desired") == {}


def test_a_shadow_that_was_deleted_and_made_anew_is_followed_again(house: House) -> None:
    for _ in range(5):
        house.report()
    house.store.delete_for_good("site-1")
    house.report()
    house.desire(circuits=off("c1"))
    assert house.closed["c1"] is False
    assert house.held("desired") == {}


def test_what_was_not_read_is_not_reported(house: House) -> None:
    house.closed["c1"] = None
    house.report()
    circuits = {circuit["id"]: circuit for circuit in house.held("reported")["circuits"]}
    assert "enabled" not in circuits["c1"]
    assert circuits["c0"]["enabled"] is True


@pytest.mark.parametrize(
    ("suffix", "payload", "kind"),
    [
        ("update/delta", b"{", ReasonCode.NOT_JSON),
        ("update/delta", b"{}", ReasonCode.BAD_FIELD),
        ("update/delta", b'{"version":99,"state":5}', ReasonCode.BAD_FIELD),
        ("update/delta", b'{"version":true,"state":{}}', ReasonCode.BAD_FIELD),
        ("update/delta", b'{"version":99,"state":{"a":1,"a":2}}', ReasonCode.DUPLICATE_KEY),
        ("update/accepted", b"[]", ReasonCode.NOT_AN_OBJECT),
        ("update/documents", b"{}", ReasonCode.BAD_TOPIC),
    ],
)
def test_what_is_no_message_of_the_service_is_refused(
    house: House, suffix: str, payload: bytes, kind: ReasonCode
) -> None:
    with pytest.raises(MessageRefused) as caught:
        house.shadow.receive(f"{PREFIX}/{suffix}", payload, house.now)
    assert caught.value.code is kind


WISHES = st.one_of(
    st.lists(st.sampled_from(["c0", "c1", "c2"]), unique=True).map(lambda names: off(*names)),
    st.lists(st.sampled_from(["c0", "c1"]), unique=True).map(
        lambda names: [{"id": name, "enabled": True} for name in names]
    ),
)
STEPS = st.one_of(
    st.tuples(st.just("desire"), WISHES),
    st.tuples(st.sampled_from(["report", "busy", "finish", "away", "connect"]), st.none()),
    st.tuples(st.just("race"), WISHES),
)


@settings(deadline=None, max_examples=example_count(150))
@given(steps=st.lists(STEPS, max_size=14))
def test_whatever_happens_the_last_wish_is_done_each_once_and_nothing_stays_desired(
    steps: list[tuple[str, Any]],
) -> None:
    house = House()
    house.connect()
    for step, wish in steps:
        house.now += 1.0  # the service stamps wishes by the second
        if step == "desire":
            house.desire(circuits=wish)
        elif step == "race":
            newer = {"state": {"desired": {"circuits": wish}}, "clientToken": "operator"}
            house.between = lambda newer=newer: house.operator(newer)  # type: ignore[misc]
        elif step == "report":
            house.report()
        elif step == "busy":
            house.busy = True
        elif step == "finish":
            house.busy = False
            house.finish()
            house.settle()
        elif step == "away":
            house.hears = False
        else:
            house.connect()
    house.busy = False
    house.between = lambda: None
    wanted = {entry["id"]: entry["enabled"] for entry in house.held("desired").get("circuits", [])}
    house.connect()
    house.finish()
    house.settle()
    house.report()
    assert house.held("desired") == {}
    assert {name: house.closed[name] for name in wanted} == wanted
    assert len(json.dumps(house.store.document("site-1").state)) <= MAX_SHADOW_BYTES
    given = [(mark, fields["loadId"]) for mark, fields in house.commands]
    assert len(given) == len(set(given)), "a wish was carried out twice"


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()
