"""Panels that are too large for one shadow: their circuits are in named ones."""

from __future__ import annotations

from tests.cloud.shadow_house import House, off
from tests.support.each_case import each_case


def test_a_panel_of_a_hundred_circuits_has_its_circuits_in_named_shadows() -> None:
    house = House(circuits=100)
    house.connect()
    house.desire(circuits=off(*house.closed))  # all of them at once must fit beside
    assert not house.shadow.rejected
    assert set(house.closed.values()) == {False}
    reported = house.held("reported")
    assert reported["power_kw"] == 7.2
    assert "circuits" not in reported
    names = reported["circuit_shadows"]
    parts = [house.held("reported", name) for name in names]
    circuits = [circuit for part in parts for circuit in part["circuits"]]
    assert [(c["id"], c["enabled"]) for c in circuits] == [(f"c{n}", False) for n in range(100)]
    assert [(part["part"], part["parts"]) for part in parts] == [
        (number + 1, len(names)) for number in range(len(names))
    ]


def test_very_large_panels_report_their_named_shadows_in_turn() -> None:
    house = House(circuits=1000)
    house.connect()
    names = house.held("reported")["circuit_shadows"]
    assert len(names) > 16
    for _ in range(len(names) // 8):
        before = len(house.store.names("site-1"))
        house.report()
        assert len(house.store.names("site-1")) <= before + 8
    assert house.store.names("site-1") == sorted(names)


def test_a_panel_that_became_smaller_leaves_no_circuits_behind() -> None:
    house = House(circuits=100)
    house.connect()
    assert house.store.names("site-1")
    smaller = House(circuits=3, store=house.store)  # after a restart
    smaller.connect()
    assert house.store.names("site-1") == []
    assert len(smaller.held("reported")["circuits"]) == 3
    assert "circuit_shadows" not in smaller.held("reported")


@each_case("name", ["#", "+", "../x", "other", "circuits-", "circuits-1/get", "", 7])
def test_names_that_another_client_put_into_the_shadow_lead_us_nowhere(name: object) -> None:
    """To a topic that does not exist a message can never be sent, and none behind it."""
    house = House()
    house.operator({"state": {"reported": {"circuit_shadows": [name, "circuits-9"]}}})
    house.connect()
    named = {topic.split("/")[5] for topic in house.topics if "/name/" in topic}
    assert named == {"circuits-9"}


def test_a_document_that_is_too_large_after_all_is_made_smaller() -> None:
    """Another client fills the desired part: the circuits move out, and nothing is lost."""
    house = House(circuits=30)
    house.connect()
    assert len(house.held("reported")["circuits"]) == 30
    house.busy = True
    house.desire(note="x" * 2500)
    house.closed["c0"] = None
    house.closed = {f"a-longer-name-than-before-{name}": True for name in house.closed}
    house.report()
    assert house.shadow.rejected["413"] >= 1
    assert house.held("reported")["circuit_shadows"]
    assert house.shadow.trouble is None
