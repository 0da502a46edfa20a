"""The shadow's reported state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.builders import NOW, a_circuit, a_telemetry, parse
from tests.support.each_case import each_case
from tests.support.example_count import example_count
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.contract.command_reader import CommandNotRead
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.shadow_document import (
    MAX_SHADOW_BYTES,
    NAMED_BUDGET,
    read_shadow_document,
    reported_shadow_document,
    shadow_document_budget,
    shadow_document_refusals,
    shadow_document_update,
    split_shadow_document,
)


def reported(**fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "available": {"ev1": True},
        "active_event": None,
        "report_interval_sec": 5.0,
    }
    telemetry = fields.pop("telemetry", None) or a_telemetry(
        used_power_kw=17.6, shed_power_kw=5.0, baseline_power_kw=22.6
    )
    return reported_shadow_document(telemetry, **{**known, **fields})


def test_the_reported_state_has_exactly_the_fields_of_the_contract() -> None:
    assert reported() == {
        "schemaVersion": "1.0",
        "power_kw": 17.6,
        "shed_kw": 5.0,
        "base_power_kw": 22.6,
        "panel_amperage": 200,
        "panel_voltage": 240,
        "panel_max_kw": 48.0,
        "circuits": [
            {
                "id": "ev1",
                "name": "EV Charger",
                "enabled": True,
                "available": True,
                "current_kw": 7.2,
                "breaker_amps": 50.0,
                "current_amps": 30.0,
                "critical": False,
            }
        ],
        "active_event": None,
        "availability": {"state": "available", "until_ts": None, "reason_code": None},
        "report_interval_sec": 5.0,
        "timestamp": NOW,
    }


def test_a_circuit_of_which_nothing_is_known_is_not_available() -> None:
    state = reported(available={"other": True})
    assert state["circuits"][0]["available"] is False


def test_a_running_event_is_reported() -> None:
    event = {"event_id": "e1", "shed_kw": 5.0, "end_ts": NOW + 60.0}
    assert reported(active_event=event)["active_event"] == event


def test_what_was_not_read_is_null() -> None:
    circuit = a_circuit("ev1", current_kw=None, current_amps=None, enabled=None)
    telemetry = a_telemetry(used_power_kw=None, voltage=None, circuits=(circuit,))
    state = reported(telemetry=telemetry)
    assert state["power_kw"] is None
    assert state["panel_voltage"] == 240
    assert state["circuits"][0]["enabled"] is None
    assert state["circuits"][0]["current_kw"] is None


def test_the_update_is_the_reported_state_only() -> None:
    assert shadow_document_update({"a": 1}) == {"state": {"reported": {"a": 1}}}


def test_the_shadow_of_a_house_stays_below_the_limit() -> None:
    circuits = tuple(a_circuit(f"circuit-{i}", name="A circuit with a name") for i in range(24))
    state = reported(telemetry=a_telemetry(circuits=circuits))
    assert len(encode_json(shadow_document_update(state))) <= MAX_SHADOW_BYTES == 8192


def test_an_update_may_clear_what_is_done_with_under_a_version() -> None:
    document = shadow_document_update({"a": 1}, cleared=["circuits"], version=7, token="t")
    assert document == {
        "state": {"reported": {"a": 1}, "desired": {"circuits": None}},
        "version": 7,
        "clientToken": "t",
    }


@settings(deadline=None, max_examples=example_count(60))
@given(
    count=st.integers(1, 300),
    name=st.text(UNICODE_CHARACTERS, max_size=128),
    unread=st.booleans(),
    id_length=st.integers(4, 64),
)
def test_every_document_of_every_panel_stays_below_8_kb_with_a_wish_for_each_circuit(
    count: int, name: str, unread: bool, id_length: int
) -> None:
    ids = [f"{number:04}".ljust(id_length, "x") for number in range(count)]
    read = {"current_kw": None, "current_amps": None, "enabled": None} if unread else {}
    circuits = tuple(a_circuit(circuit_id, name=name, **read) for circuit_id in ids)
    event = {"event_id": "e" * 256, "shed_kw": 5.0, "end_ts": NOW + 60.0}
    state = reported(telemetry=a_telemetry(circuits=circuits), active_event=event)
    totals, named = split_shadow_document(state, shadow_document_budget(ids))
    parts = list(named.values()) or [totals]
    assert [circuit["id"] for part in parts for circuit in part["circuits"]] == ids
    assert all(len(encode_json({"reported": part})) <= MAX_SHADOW_BYTES for part in parts)
    assert all(len(encode_json(part)) <= NAMED_BUDGET for part in named.values())
    if named:
        assert totals["circuits"] is None
        assert totals["circuit_shadows"] == list(named)
    wish = {"circuits": [{"id": each, "enabled": False} for each in ids]}
    if len(encode_json({"desired": wish})) < MAX_SHADOW_BYTES - 2_100:
        assert len(encode_json({"reported": totals, "desired": wish})) <= MAX_SHADOW_BYTES


def test_what_was_not_read_is_absent_inside_a_list_and_null_above() -> None:
    circuit = a_circuit("ev1", current_kw=None, enabled=None)
    state = reported(telemetry=a_telemetry(used_power_kw=None, circuits=(circuit,)))
    totals, _ = split_shadow_document(state, MAX_SHADOW_BYTES)
    assert totals["power_kw"] is None  # it deletes what was reported before
    assert not {"current_kw", "enabled"} & totals["circuits"][0].keys()


def test_refusals_are_few_and_short() -> None:
    assert shadow_document_refusals([]) is None
    many = shadow_document_refusals((f"circuits.c{n}", "x" * 1_000) for n in range(200))
    assert many is not None
    assert len(encode_json({"refused": many})) < 1_600
    assert many[-1] == {"item": "\u2026", "reason": "and 194 more"}


def times(ts: int) -> dict[str, Any]:
    return {"circuits": [{"id": {"timestamp": ts}, "enabled": {"timestamp": ts}}]}


def test_the_same_wish_made_again_is_told_apart_by_the_time_it_was_made() -> None:
    desired = {"circuits": [{"id": "ev1", "enabled": False}]}
    (first,) = read_shadow_document(desired, times(1), version=5)
    (same,) = read_shadow_document(desired, times(1), version=6)
    (again,) = read_shadow_document(desired, times(2), version=7)
    assert first == same
    assert first.mark != again.mark
    assert first.correlation_id != again.correlation_id


@each_case("times_known", [True, False])
def test_without_times_two_versions_have_commands_of_their_own(times_known: bool) -> None:
    metadata = times(1) if times_known else {}
    desired = {"circuits": [{"id": "ev1", "enabled": False}]}
    (first,) = read_shadow_document(desired, metadata, version=5)
    (second,) = read_shadow_document(desired, metadata, version=6)
    assert first.mark == second.mark
    assert (first.correlation_id == second.correlation_id) is times_known


def test_a_whole_entry_of_the_reported_circuits_may_be_written_back() -> None:
    entry = reported()["circuits"][0]
    (section,) = read_shadow_document({"circuits": [{**entry, "enabled": False}]}, {}, version=1)
    (wish,) = section.wishes
    assert wish.fields == {"op": "setLoad", "loadId": "ev1", "enabled": False}
    assert wish.refusal is None


@given(
    st.dictionaries(
        st.sampled_from(["circuits", "loads", "report_interval_sec", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(UNICODE_CHARACTERS, max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["id", "loadId", "enabled"]), inner, max_size=3)
            ),
        ),
    )
)
def test_any_desired_state_is_read_or_refused(desired: dict[str, Any]) -> None:
    for section in read_shadow_document(desired, {}, version=1):
        for wish in section.wishes:
            assert wish.refusal or wish.fields["op"] in ("setLoad", "setConfig")


# ---- what is desired, and what is not understood of it ---------------------------------------

DESIRED: list[tuple[str, dict[str, Any], list[dict[str, Any]], list[str]]] = [
    ("on", {"circuits": [{"id": "a", "enabled": True}]}, [{"loadId": "a", "enabled": True}], []),
    (
        "off",
        {"loads": [{"loadId": "a", "enabled": False}]},
        [{"loadId": "a", "enabled": False}],
        [],
    ),
    ("interval", {"report_interval_sec": 10}, [{"report_interval_sec": 10}], []),
    (
        "the whole list written back",
        {"circuits": [{**reported()["circuits"][0], "enabled": False}]},
        [{"loadId": "ev1", "enabled": False}],
        [],
    ),
    ("own field", {"circuits": [{"id": "a", "enabled": True, "x_why": 1}]}, [{"loadId": "a"}], []),
    ("a slip", {"circuits": [{"id": "a", "enabeld": True}]}, [], ["enabeld", "enabled"]),
    (
        "what cannot be desired",
        {"loads": [{"id": "a", "enabled": True, "priority": 2}]},
        [],
        ["priority", "only enabled"],
    ),
    ("a text", {"circuits": [{"id": "a", "enabled": "off"}]}, [], ["enabled", "true or false"]),
    ("a number", {"circuits": [{"id": "a", "enabled": 0}]}, [], ["enabled"]),
    ("nothing", {"circuits": [{"id": "a"}]}, [], ["enabled"]),
    ("no id", {"circuits": [{"enabled": True}]}, [], ["id"]),
    ("no list", {"circuits": {"a": True}}, [], ["list"]),
    ("another key", {"circuit": [{"id": "a", "enabled": True}]}, [], ["circuits, loads"]),
    (
        "twice",
        {"circuits": [{"id": "a", "enabled": True}, {"id": "a", "enabled": False}]},
        [],
        ["twice"],
    ),
]


@each_case(
    ("desired", "fields", "words"), [case[1:] for case in DESIRED], ids=[c[0] for c in DESIRED]
)
def test_what_is_desired_is_a_command_or_refused_by_name(
    desired: dict[str, Any], fields: list[dict[str, Any]], words: list[str]
) -> None:
    wishes = [wish for section in read_shadow_document(desired, {}, 1) for wish in section.wishes]
    obeyed = [wish.fields for wish in wishes if wish.refusal is None]
    assert len(obeyed) == len(fields)
    for got, expected in zip(obeyed, fields, strict=True):
        assert {**got, **expected} == got
        parse(dict(got))
    refusals = " ".join(wish.refusal or "" for wish in wishes)
    for word in words:
        assert word in refusals


@each_case("value", [True, "often", "1_0", None, [], "\u0661"])
def test_an_interval_that_is_no_number_is_refused_by_the_commands_reader(value: Any) -> None:
    for section in read_shadow_document({"report_interval_sec": value}, {}, 1):
        for wish in section.wishes:
            with pytest.raises(CommandNotRead):
                parse(dict(wish.fields))
