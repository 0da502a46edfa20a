"""An ack is never larger than a broker takes."""

from __future__ import annotations

import json
from typing import Any

from tests.support.each_case import each_case
from VenAgent.contract import MAX_PAYLOAD_BYTES
from VenAgent.contract.acks import AckStatus, ack_circuit, build_ack, encode_ack
from VenAgent.contract.json_codec import encode_json


def an_ack(status: AckStatus = AckStatus.SUCCESS, **fields: Any) -> dict[str, Any]:
    return build_ack(
        op="event", status=status, ven_id="site-1", ts=1.0, correlation_id="c-1", **fields
    )


def curtailed(count: int) -> list[dict[str, Any]]:
    return [
        ack_circuit(
            circuit_id=f"circuit-{number}",
            name=f"Circuit of the floor {number}",
            breaker_amps=20.0,
            original_kw=1.0,
            final_kw=0.0,
            critical=False,
        )
        for number in range(count)
    ]


def test_one_that_fits_is_as_it_was() -> None:
    body = an_ack(circuits_curtailed=curtailed(100), data={"a": 1})
    assert encode_ack(body) == encode_json(body)


def test_of_a_thousand_circuits_it_names_what_fits_and_counts_the_rest() -> None:
    circuits = curtailed(1_000)
    encoded = encode_ack(an_ack(AckStatus.ACCEPTED, circuits_curtailed=circuits, end_ts=5.0))
    assert MAX_PAYLOAD_BYTES * 0.95 < len(encoded) <= MAX_PAYLOAD_BYTES
    body = json.loads(encoded)
    kept = len(body["circuits_curtailed"])
    assert body["circuits_curtailed"] == circuits[:kept]
    assert body["circuits_omitted"] == 1_000 - kept > 0
    assert (body["status"], body["correlationId"], body["end_ts"]) == ("accepted", "c-1", 5.0)


def test_an_answer_that_is_too_large_has_failed_and_says_so() -> None:
    encoded = encode_ack(
        an_ack(data=[{"id": f"c{number}", "name": "x" * 200} for number in range(1_000)])
    )
    body = json.loads(encoded)
    assert (body["status"], body["ok"], body["correlationId"]) == ("failed", False, "c-1")
    assert "more than 100000" in body["reason"]
    assert body["data"] == {}
    assert body["reason_code"] == "too_large"


@each_case("fields", [{"reason": "x" * 200_000}, {"data": "ü" * 200_000}])
def test_it_is_small_whatever_made_it_large(fields: dict[str, Any]) -> None:
    assert len(encode_ack(an_ack(AckStatus.REJECTED, **fields))) <= MAX_PAYLOAD_BYTES
