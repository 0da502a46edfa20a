"""Acks: what each must say."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from tests.support.each_case import each_case
from VenAgent.contract.acks import AckStatus, ack_circuit, ack_reason_fields, build_ack
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.reasons import Reason, ReasonCode

STATUSES = {
    "accepted": True,
    "scheduled": True,
    "measured": True,
    "adjusted": True,
    "completed": True,
    "rebound": True,
    "opted_out": True,
    "success": True,
    "superseded": False,
    "failed": False,
    "rejected": False,
}


def test_the_statuses_are_those_of_the_contract() -> None:
    assert {status.value: status.ok for status in AckStatus} == STATUSES


@each_case("status", AckStatus)
def test_every_ack_has_the_fields_of_every_ack(status: AckStatus) -> None:
    body = build_ack(op="shedPanel", status=status, ven_id="v1", ts=1.23456, correlation_id="c1")
    assert json.loads(encode_json(body)) == {
        "op": "shedPanel",
        "status": status.value,
        "ok": STATUSES[status.value],
        "venId": "v1",
        "ts": 1,
        "ts_ms": 1235,
        "correlationId": "c1",
        "data": {},
    }


def test_an_ack_to_a_command_without_an_id_says_null() -> None:
    body = build_ack(op="x", status=AckStatus.REJECTED, ven_id="v1", ts=1.0, correlation_id=None)
    assert body["correlationId"] is None


def test_further_fields_stand_beside_the_usual_ones() -> None:
    body = build_ack(
        op="get",
        status=AckStatus.SUCCESS,
        ven_id="v1",
        ts=1.0,
        correlation_id="c1",
        data={"a": 1},
        reason="because",
    )
    assert body["data"] == {"a": 1}
    assert body["reason"] == "because"
    assert body["op"] == "get"


def test_a_curtailed_circuit_is_told_under_all_its_names() -> None:
    entry = ack_circuit(
        circuit_id="ev1",
        name="EV Charger",
        breaker_amps=50.0,
        original_kw=7.2,
        final_kw=6.7199,
        critical=False,
    )
    assert entry == {
        "id": "ev1",
        "loadId": "ev1",
        "name": "EV Charger",
        "breaker_amps": 50.0,
        "original_kw": 7.2,
        "curtailed_kw": 0.48,
        "shedKw": 0.48,
        "final_kw": 6.72,
        "critical": False,
    }


@given(original_kw=st.floats(0.0, 100.0), share=st.floats(0.0, 1.0))
def test_the_figures_of_a_curtailed_circuit_agree(original_kw: float, share: float) -> None:
    entry = ack_circuit(
        circuit_id="a",
        name="A",
        breaker_amps=30.0,
        original_kw=original_kw,
        final_kw=original_kw * share,
        critical=True,
    )
    assert entry["curtailed_kw"] == entry["shedKw"]
    assert abs(entry["original_kw"] - entry["final_kw"] - entry["shedKw"]) <= 0.0016
    assert entry["shedKw"] >= 0.0


def test_a_reason_stands_with_its_code() -> None:
    reason = Reason(ReasonCode.UNKNOWN_EVENT, "there is no event e1")
    assert ack_reason_fields(reason) == {
        "reason": "there is no event e1",
        "reason_code": "unknown_event",
    }
    assert ack_reason_fields(None) == {}


def test_codes_are_snake_case_and_each_stands_once() -> None:
    codes = [code.value for code in ReasonCode.__members__.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", code) for code in codes)
    assert all(name == code.value.upper() for name, code in ReasonCode.__members__.items())
