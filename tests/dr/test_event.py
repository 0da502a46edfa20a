"""An event: its transition table, its record, its acks and its summary."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dr.builders import NOW, VEN_ID, house_panel, switch
from tests.support.each_case import each_case
from tests.support.example_count import example_count
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.baseline.measured_power import MeasuredPower
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.circuit_selection import CircuitSelectionAction
from VenAgent.dr.command_replies import CommandReplies
from VenAgent.dr.event import Event, EventEndedBy, PendingEventModification
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.event_completion import event_completion_summary
from VenAgent.dr.event_request import EventRequest, EventRequestKind, EventRequestLevel
from VenAgent.dr.event_state import TRANSITIONS, EventState
from VenAgent.dr.panel import PanelCircuitControl
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.storage.event_record import from_event_record, to_event_record

PATHS = {
    EventState.RECEIVED: [],
    EventState.SCHEDULED: [EventState.SCHEDULED],
    EventState.SHEDDING: [EventState.SHEDDING],
    EventState.ACTIVE: [EventState.SHEDDING, EventState.ACTIVE],
    EventState.RESTORING: [EventState.SHEDDING, EventState.RESTORING],
    EventState.COMPLETED: [EventState.SHEDDING, EventState.RESTORING, EventState.COMPLETED],
    EventState.CANCELLED: [EventState.SCHEDULED, EventState.CANCELLED],
    EventState.REJECTED: [EventState.REJECTED],
}
"""How each state is reached."""

FIGURE = {
    ("received", "scheduled"),
    ("received", "shedding"),
    ("received", "rejected"),
    ("scheduled", "shedding"),
    ("scheduled", "cancelled"),
    ("scheduled", "completed"),
    ("shedding", "active"),
    ("shedding", "restoring"),
    ("shedding", "rejected"),
    ("active", "shedding"),
    ("active", "restoring"),
    ("active", "scheduled"),
    ("active", "completed"),
    ("restoring", "completed"),
}
"""The event's life as the design draws it; `rejected` from shedding: nothing could be shed.

An active event sheds again when it is changed; one of higher precedence preempts it, and another
takes over what it has shed at its end.
"""


REPLIES = CommandReplies(VEN_ID)
REQUEST = EventRequest("event", "c1", 5.0, start_ts=NOW, end_ts=NOW + 600.0)


def event_of(**fields: object) -> Event:
    known: dict[str, object] = {"event_id": "e1", "request": REQUEST}
    return Event(**{**known, **fields})  # type: ignore[arg-type]


def steered_by(baseline_kw: float) -> EventBaseline:
    return EventBaseline(baseline_kw, baseline_kw, "pre_event_mean")


def shed_circuit(circuit_id: str = "dryer1", shed_kw: float = 3.0, **fields: object) -> ShedCircuit:
    action = CircuitSelectionAction(
        circuit_id, PanelCircuitControl.SWITCH, False, 3.0, 3.0 - shed_kw
    )
    made = ShedCircuit.newly_shed(action, house_panel().by_id[circuit_id], True)
    return replace(made, **fields)  # type: ignore[arg-type]


# ---- states -----------------------------------------------------------------------------------


def test_the_table_is_the_figure_of_the_design() -> None:
    pairs = {(a.value, b.value) for a, following in TRANSITIONS.items() for b in following}
    assert pairs == FIGURE
    assert set(TRANSITIONS) == set(EventState)


@each_case("state", EventState)
def test_every_state_can_be_reached(state: EventState) -> None:
    event = event_of()
    for following in PATHS[state]:
        event.to(following)
    assert event.state is state


@each_case("state", EventState)
@each_case("following", EventState)
def test_only_the_transitions_of_the_table_are_possible(
    state: EventState, following: EventState
) -> None:
    event = event_of(state=state)
    if (state.value, following.value) in FIGURE:
        event.to(following)
        assert event.state is following
    else:
        with pytest.raises(ValueError, match="e1"):
            event.to(following)
        assert event.state is state


@each_case("state", EventState)
def test_an_event_is_over_where_nothing_follows(state: EventState) -> None:
    assert state.over is (state.value in {"completed", "cancelled", "rejected"})


@each_case("state", [s for s in EventState if not s.over])
def test_every_state_that_is_not_over_leads_to_one_that_is(state: EventState) -> None:
    reached, seen = {state}, set[EventState]()
    while reached - seen:
        seen |= reached
        reached |= {following for s in reached for following in TRANSITIONS[s]}
    assert any(s.over for s in reached)


@each_case(
    ("state", "active_ts", "shedding"),
    [
        (EventState.SHEDDING, None, False),
        (EventState.ACTIVE, NOW, True),
        (EventState.RESTORING, NOW, True),
        (EventState.RESTORING, None, False),
        (EventState.COMPLETED, NOW, False),
    ],
)
def test_an_event_counts_in_telemetry_from_confirmed_to_restored(
    state: EventState, active_ts: float | None, shedding: bool
) -> None:
    assert event_of(state=state, active_ts=active_ts).shedding is shedding


# ---- records ----------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(UNICODE_CHARACTERS, max_size=8)
SHED = st.builds(
    ShedCircuit,
    circuit_id=TEXTS,
    name=TEXTS,
    breaker_amps=NUMBERS,
    critical=st.booleans(),
    point=TEXTS,
    before=st.booleans() | NUMBERS,
    value=st.booleans() | NUMBERS,
    original_kw=NUMBERS,
    final_kw=NUMBERS,
    confirmed=st.none() | st.booleans(),
    failure=st.none() | TEXTS,
    restored=st.booleans(),
)
REQUESTS = st.builds(
    EventRequest,
    op=TEXTS,
    correlation_id=st.none() | TEXTS,
    shed_kw=NUMBERS,
    start_ts=NUMBERS,
    end_ts=NUMBERS | st.just(math.inf),
    modification=st.integers(0, 99),
    circuit_id=st.none() | TEXTS,
    priority=st.none() | st.integers(0, 9),
    kind=st.sampled_from(EventRequestKind),
    levels=st.lists(st.builds(EventRequestLevel, NUMBERS, NUMBERS), max_size=2).map(tuple),
    raise_kw=NUMBERS,
    import_kw=st.none() | NUMBERS,
    window_sec=NUMBERS,
    failsafe_kw=st.none() | NUMBERS,
    heartbeat_sec=st.none() | NUMBERS,
    failsafe_min_sec=NUMBERS,
    start_delay_sec=NUMBERS,
    is_test=st.booleans(),
    content=st.dictionaries(TEXTS, NUMBERS),
)
NAMES = st.lists(TEXTS, max_size=2).map(tuple)
EVENTS = st.builds(
    Event,
    event_id=TEXTS,
    request=REQUESTS,
    state=st.sampled_from(EventState),
    task_id=TEXTS,
    baseline=st.none()
    | st.builds(
        EventBaseline,
        NUMBERS,
        NUMBERS,
        TEXTS,
        st.none() | st.integers(0, 9),
        st.none() | NUMBERS,
        st.none() | TEXTS,
    ),
    circuits=st.lists(SHED, max_size=2).map(tuple),
    active_ts=st.none() | NUMBERS,
    ended_ts=st.none() | NUMBERS,
    metered=st.builds(
        MeasuredPower,
        st.integers(0, 9),
        NUMBERS,
        NUMBERS,
        st.none() | NUMBERS,
        NUMBERS,
        NUMBERS,
        st.none() | NUMBERS,
    ),
    measured_kw=st.none() | NUMBERS,
    acked=st.booleans(),
    duplicate_correlation_ids=NAMES,
    pending=st.none() | st.builds(PendingEventModification, REQUESTS, NAMES),
    ended_by=st.none() | st.builds(EventEndedBy, TEXTS, st.none() | TEXTS, st.booleans()),
    end_reason=st.none() | st.builds(Reason, st.sampled_from(ReasonCode), TEXTS),
    opted_out=st.booleans(),
    preempted_by=st.none() | TEXTS,
    rebound_until_ts=st.none() | NUMBERS,
    rebound_kw=st.none() | NUMBERS,
)


@settings(deadline=None, max_examples=example_count(40))
@given(event=EVENTS)
def test_an_event_survives_its_record(event: Event) -> None:
    record = to_event_record(event)
    assert record["done"] is event.done
    read = from_event_record(json.loads(json.dumps(record)))
    assert read == event
    assert read.state is event.state
    for circuit, known in zip(read.circuits, event.circuits, strict=True):
        assert type(circuit.before) is type(known.before)  # True is not 1.0 to a device
        assert type(circuit.value) is type(known.value)


def test_a_snapshot_stands_still_when_the_event_goes_on() -> None:
    event = event_of(circuits=(shed_circuit(),))
    snapshot = event.snapshot()
    event.to(EventState.SHEDDING)
    event.put([replace(event.circuits[0], restored=True)])
    event.meter(NOW, 1.0, 90.0)
    event.note_duplicate("c2")
    event.postpone(REQUEST)
    assert snapshot == event_of(circuits=(shed_circuit(),))
    assert event != snapshot


@each_case(("part", "field"), [("event", "state"), ("circuit", "restored"), ("request", "shed_kw")])
def test_no_one_writes_a_field_but_by_a_method_that_names_the_change(part: str, field: str) -> None:
    event = event_of(circuits=(shed_circuit(),))
    owner = {"event": event, "circuit": event.circuits[0], "request": event.request}[part]
    with pytest.raises(FrozenInstanceError):
        setattr(owner, field, None)


@each_case(
    "broken",
    [{}, {"state": "asleep"}, {"request": {}}, {"circuits": [{"circuit_id": "a"}]}],
    ids=["empty", "state", "request", "circuit"],
)
def test_what_is_no_record_is_refused(broken: dict[str, object]) -> None:
    record = {**to_event_record(event_of()), **broken} if broken else {}
    with pytest.raises((TypeError, KeyError, ValueError)):
        from_event_record(record)


# ---- circuits ---------------------------------------------------------------------------------


def test_a_circuit_is_written_back_to_what_it_was() -> None:
    circuit = shed_circuit(before=80.0, value=56.0)
    assert circuit.write().value == 56.0
    assert circuit.write_back().value == 80.0
    assert circuit.write().point == circuit.write_back().point == "site/panel/dryer1_switch"


def test_only_confirmed_circuits_count_as_shed() -> None:
    event = event_of(
        circuits=(
            shed_circuit("dryer1", 3.0, confirmed=True),
            shed_circuit("range1", 2.4, confirmed=False),
            shed_circuit("heater1", 1.0),
        )
    )
    assert event.predicted_kw == pytest.approx(3.0)
    body = REPLIES.event_ack(event, AckStatus.ACCEPTED, NOW)
    assert [entry["id"] for entry in body["circuits_curtailed"]] == ["dryer1"]
    assert body["actual_shed_kw"] == 3.0
    assert body["shed_basis"] == "predicted"


# ---- acks -------------------------------------------------------------------------------------


def test_an_ack_of_an_event_says_all_that_the_contract_asks_for() -> None:
    event = event_of(
        request=replace(REQUEST, modification=2),
        baseline=steered_by(22.6),
        circuits=(shed_circuit(confirmed=True),),
    )
    assert REPLIES.event_ack(event, AckStatus.ACCEPTED, NOW + 1.0) == {
        "op": "event",
        "status": "accepted",
        "ok": True,
        "venId": VEN_ID,
        "ts": NOW + 1.0,
        "ts_ms": (NOW + 1.0) * 1_000,
        "correlationId": "c1",
        "data": {},
        "event_id": "e1",
        "requested_shed_kw": 5.0,
        "actual_shed_kw": 3.0,
        "shed_basis": "predicted",
        "baseline_kw": 22.6,
        "end_ts": NOW + 600.0,
        "modification": 2,
        "circuits_curtailed": [
            {
                "id": "dryer1",
                "loadId": "dryer1",
                "name": "Dryer1",
                "breaker_amps": 30.0,
                "original_kw": 3.0,
                "curtailed_kw": 3.0,
                "shedKw": 3.0,
                "final_kw": 0.0,
                "critical": False,
            }
        ],
    }


def test_an_ack_says_what_was_measured_once_it_was() -> None:
    event = event_of(circuits=(shed_circuit(confirmed=True),), measured_kw=2.75)
    body = REPLIES.event_ack(event, AckStatus.MEASURED, NOW)
    assert (body["actual_shed_kw"], body["shed_basis"]) == (2.75, "measured")


def test_a_measured_shed_of_nothing_is_still_measured() -> None:
    event = event_of(circuits=(shed_circuit(confirmed=True),), measured_kw=0.0)
    body = REPLIES.event_ack(event, AckStatus.MEASURED, NOW)
    assert (body["actual_shed_kw"], body["shed_basis"]) == (0.0, "measured")


# ---- measuring and the summary ----------------------------------------------------------------


def test_the_summary_tells_what_the_event_delivered() -> None:
    event = event_of(
        baseline=steered_by(22.0),
        active_ts=NOW + 1.0,
        ended_ts=NOW + 1801.0,
    )
    for ts, power_kw in ((1.0, 18.0), (901.0, 16.0), (1801.0, 12.0)):
        event.meter(NOW + ts, power_kw, 900.0)
    assert event_completion_summary(event) == {
        "start_ts": NOW + 1.0,
        "end_ts": NOW + 1801.0,
        "baseline_kw": 22.0,
        "avg_kw": 17.0,
        "delivered_kwh": 2.5,  # 5 kW for half an hour
        "requested_shed_kw": 5.0,
        "achieved_shed_kw": 5.0,
        "shed_percent": 100.0,
        "samples": 3,
        "unseen_sec": 0.0,
        "settlement_note": None,
        "baseline_method": "pre_event_mean",
        "baseline_samples": None,
        "baseline_rrmse_percent": None,
        "baseline_note": None,
        "rebound_kw": None,
    }


def test_a_summary_of_an_event_that_was_not_metered_invents_nothing() -> None:
    summary = event_completion_summary(
        event_of(baseline=steered_by(22.0), active_ts=NOW, ended_ts=NOW + 600.0)
    )
    assert summary["samples"] == 0
    for key in ("avg_kw", "delivered_kwh", "achieved_shed_kw", "shed_percent"):
        assert summary[key] is None
    encode_json(summary)


def test_without_a_baseline_no_shed_is_made_of_what_was_metered() -> None:
    event = event_of(active_ts=NOW, ended_ts=NOW + 600.0)
    event.meter(NOW, 12.5, 90.0)
    summary = event_completion_summary(event)
    assert summary["avg_kw"] == 12.5
    for key in ("delivered_kwh", "achieved_shed_kw", "shed_percent"):
        assert summary[key] is None


def test_more_power_than_the_baseline_is_a_negative_shed() -> None:
    event = event_of(baseline=steered_by(10.0), active_ts=NOW, ended_ts=NOW + 3600.0)
    for ts in (0.0, 1800.0, 3600.0):
        event.meter(NOW + ts, 12.5, 1800.0)
    summary = event_completion_summary(event)
    assert summary["achieved_shed_kw"] == -2.5
    assert summary["shed_percent"] == -50.0
    assert summary["delivered_kwh"] == -2.5


def test_names_come_from_the_panel() -> None:
    action = CircuitSelectionAction("a", PanelCircuitControl.SWITCH, False, 2.0, 0.0)
    circuit = ShedCircuit.newly_shed(action, switch("a", 40.0, critical=True), True)
    assert (circuit.name, circuit.breaker_amps, circuit.critical) == ("A", 40.0, True)
