"""The event engine: a shed of one load."""

from __future__ import annotations

import pytest

from tests.dr.house import House


def test_a_shed_of_one_load_touches_only_that_load(house: House) -> None:
    house.send("shedLoad", loadId="ev1", reduceKw=3.0, correlationId="c1", duration_sec=60)
    assert {write.circuit_id for write in house.written} == {"ev1"}
    assert house.limits["ev1"] == 35.0  # 4.2 of 12 kW
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(3.0)
    house.wait(100.0)
    assert house.limits["ev1"] == 100.0


def test_a_load_that_cannot_give_so_much_gives_all(house: House) -> None:
    house.send("shedLoad", circuitId="dryer1", amountKw=9.0, correlationId="c1")
    assert house.opened() == {"dryer1"}
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(3.0)


def test_a_failed_load_is_not_replaced_by_another(house: House) -> None:
    house.broken = {"dryer1"}
    house.send("shedLoad", loadId="dryer1", reduceKw=3.0, correlationId="c1")
    assert house.replies_to("c1") == ["failed"]
    assert {write.circuit_id for write in house.written} == {"dryer1"}


def test_a_shed_load_without_a_load_sheds_the_panel(house: House) -> None:
    house.send("shedLoad", amountKw=7.5, correlationId="c1")
    assert house.opened() == {"heater1", "dryer1"}


@pytest.mark.parametrize(
    ("load_id", "words"),
    [("pool1", ["pool1", "ev1"]), ("fridge1", ["critical"]), ("hvac1", ["critical"])],
    ids=["unknown", "critical switch", "critical limit"],
)
def test_a_load_that_may_not_be_shed_is_refused(
    house: House, load_id: str, words: list[str]
) -> None:
    (ack,) = house.send("shedLoad", loadId=load_id, reduceKw=1.0, correlationId="c1")
    assert (ack["status"], ack["ok"]) == ("rejected", False)
    assert all(word in ack["reason"] for word in words)
    assert house.written == []
