"""Who is asked for how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.dispatch.shed_allocation import (
    ShedAllocationChanges,
    ShedAllocationDraw,
    ShedAllocationRoom,
    ShedAllocationShare,
    adjust_shed_allocation,
    allocate_shed,
    allocate_shed_under_limit,
)

ROOMS = st.dictionaries(
    st.integers(0, 10_000).map("v{}".format), st.floats(0, 50), min_size=0, max_size=40
).map(lambda rooms: [ShedAllocationRoom(ven_id, room_kw) for ven_id, room_kw in rooms.items()])


def part(
    ven_id: str, assigned: float, expected: float, room: float = 0.0, free: bool = True
) -> ShedAllocationShare:
    return ShedAllocationShare(ven_id, assigned, expected, room, free)


def test_shares_are_in_proportion_to_what_each_can_shed() -> None:
    assert allocate_shed(
        6, [ShedAllocationRoom("a", 1), ShedAllocationRoom("b", 2), ShedAllocationRoom("c", 9)]
    ) == {"a": 0.5, "b": 1.0, "c": 4.5}


def test_nobody_is_asked_for_more_than_it_can_shed() -> None:
    assert allocate_shed(
        100, [ShedAllocationRoom("a", 1), ShedAllocationRoom("b", 2), ShedAllocationRoom("none", 0)]
    ) == {"a": 1.0, "b": 2.0}


def test_a_ven_whose_room_is_not_known_is_left_out_of_a_program_event() -> None:
    assert allocate_shed(1, [ShedAllocationRoom("a", 2), ShedAllocationRoom("quiet", None)]) == {
        "a": 1.0
    }


def test_a_person_may_ask_a_ven_for_more_than_it_says() -> None:
    assert allocate_shed(5, [ShedAllocationRoom("a", 3)], in_full=True) == {"a": 5.0}
    assert allocate_shed(5, [ShedAllocationRoom("a", None)], in_full=True) == {"a": 5.0}
    assert allocate_shed(
        5, [ShedAllocationRoom("a", 3), ShedAllocationRoom("quiet", None)], in_full=True
    ) == {"a": 3.0, "quiet": 2.0}
    assert allocate_shed(
        4, [ShedAllocationRoom("a", 0), ShedAllocationRoom("b", 0)], in_full=True
    ) == {
        "a": 2.0,
        "b": 2.0,
    }


def test_a_small_request_goes_to_few_with_the_most_room() -> None:
    rooms = [ShedAllocationRoom(f"v{n}", 1 + n) for n in range(100)]
    assert set(allocate_shed(0.25, rooms, least_share_kw=0.1)) == {"v99", "v98"}
    assert allocate_shed(0.05, rooms, least_share_kw=0.1) == {"v99": 0.05}


def test_among_equals_each_event_chooses_others() -> None:
    rooms = [ShedAllocationRoom(f"v{n}", 5) for n in range(100)]
    chosen = {frozenset(allocate_shed(0.3, rooms, seed=f"e{n}")) for n in range(5)}
    assert len(chosen) == 5


@given(st.floats(0.001, 500), ROOMS, st.booleans())
def test_the_shares_make_up_the_request(
    kw: float, rooms: list[ShedAllocationRoom], in_full: bool
) -> None:
    shares = allocate_shed(kw, rooms, in_full=in_full)
    can = sum(int((room.room_kw or 0) * 1000 + 1e-6) for room in rooms)
    asked = round(sum(shares.values()) * 1000)
    wanted = round(kw * 1000)
    if in_full and rooms:
        assert asked == wanted
    else:
        assert asked <= min(wanted, can)
        assert len(shares) < len(rooms) or asked == min(wanted, can) or wanted < 100
        by_id = {room.ven_id: room.room_kw or 0 for room in rooms}
        assert all(share <= by_id[ven_id] + 1e-9 for ven_id, share in shares.items())


def test_what_falls_short_is_asked_of_others_with_room() -> None:
    parts = [part("a", 5, 2), part("b", 5, 5, room=10)]
    assert adjust_shed_allocation(10, parts, []).changed == {"b": 8.0}


def test_a_newcomer_takes_what_is_short_first() -> None:
    changes = adjust_shed_allocation(
        10, [part("a", 5, 2), part("b", 5, 5, room=10)], [ShedAllocationRoom("new", 20)]
    )
    assert changes.joined == {"new": 3.0}
    assert changes.changed == {}
    short = adjust_shed_allocation(
        10, [part("a", 5, 2), part("b", 5, 5, room=10)], [ShedAllocationRoom("small", 3)]
    )
    assert short.joined == {"small": 3.0}
    assert short.changed == {}


def test_a_newcomers_promise_takes_nothing_from_those_who_deliver() -> None:
    changes = adjust_shed_allocation(
        5, [part("a", 5, 5, room=5)], [ShedAllocationRoom("b", 900_000)]
    )
    assert changes == ShedAllocationChanges({}, {})


def test_those_who_are_not_trusted_are_asked_last() -> None:
    claims = ShedAllocationRoom("claims", 900_000, trusted=False)
    known = [ShedAllocationRoom("a", 1), ShedAllocationRoom("b", 2)]
    assert allocate_shed(3, [claims, *known]) == {"a": 1.0, "b": 2.0}
    assert allocate_shed(4, [claims, *known]) == {"a": 1.0, "b": 2.0, "claims": 1.0}
    assert allocate_shed(4, [claims]) == {"claims": 4.0}
    assert allocate_shed(3, [claims, *known], in_full=True).keys() >= {"claims"}


def test_a_delivery_within_tolerance_is_left_alone() -> None:
    changes = adjust_shed_allocation(10, [part("a", 5, 4.8, room=3), part("b", 5, 4.9, room=3)], [])
    assert (changes.joined, changes.changed) == ({}, {})


def test_coarse_circuits_that_shed_more_than_asked_are_left_alone() -> None:
    assert adjust_shed_allocation(10, [part("a", 10, 14)], []).changed == {}


def test_a_ven_that_has_not_settled_is_not_changed() -> None:
    assert adjust_shed_allocation(10, [part("a", 5, 2, room=9, free=False)], []).changed == {}


@pytest.mark.parametrize("short", [0.6, 3.0, 40.0])
@given(rooms=st.lists(st.floats(0, 20), min_size=1, max_size=20))
def test_a_raise_never_exceeds_the_room(short: float, rooms: list[float]) -> None:
    parts = [part(f"v{n}", 1, 1, room) for n, room in enumerate(rooms)]
    changed = adjust_shed_allocation(len(parts) + short, parts, []).changed
    for one in parts:
        assert changed.get(one.ven_id, 1.0) - 1 <= one.room_kw + 1e-6
    assert sum(kw - 1 for kw in changed.values()) <= short + 1e-6


def test_a_claim_of_a_ven_that_is_not_trusted_takes_nothing_of_a_limit() -> None:
    honest = [ShedAllocationDraw("a", 5.0, 8.0), ShedAllocationDraw("b", 3.0, 8.0)]
    liar = ShedAllocationDraw("liar", 900_000.0, 900_000.0, trusted=False)
    assert allocate_shed_under_limit(12.0, [*honest, liar]) == {"a": 5.0, "b": 3.0, "liar": 4.0}
    small = ShedAllocationDraw("small", 1.0, 1.0, trusted=False)
    assert allocate_shed_under_limit(9.0, [*honest, small]) == {"a": 5.0, "b": 3.0, "small": 1.0}
    assert allocate_shed_under_limit(9.0, [liar]) == {"liar": 9.0}


def test_nobody_that_is_named_is_asked_for_more_than_its_rating() -> None:
    big = ShedAllocationRoom("big", 8.0, rated_kw=48.0)
    small = ShedAllocationRoom("small", 4.0, rated_kw=10.0)
    shares = allocate_shed(100.0, [big, small], in_full=True)
    assert shares == {"big": 48.0, "small": 10.0}
    shares = allocate_shed(50.0, [big, small], in_full=True)
    assert shares == {"big": 40.0, "small": 10.0}
    unsaid = [ShedAllocationRoom("a", None, rated_kw=10.0), ShedAllocationRoom("b", None)]
    assert allocate_shed(30.0, unsaid, in_full=True) == {"a": 10.0, "b": 20.0}


def test_a_draw_that_no_rating_bears_out_takes_nothing_of_a_limit_either() -> None:
    rated = [ShedAllocationDraw("a", 5.0, 8.0, rated=True), ShedAllocationDraw("b", 3.0, 4.0)]
    watts_for_kw = ShedAllocationDraw("w", 900_000.0, 900_000.0)
    shares = allocate_shed_under_limit(16.0, [*rated, watts_for_kw])
    assert shares == {"a": 5.0, "b": 3.0, "w": 8.0}  # as much as one with a rating ever drew
    idle = [ShedAllocationDraw("a", 0.0, 8.0, rated=True), ShedAllocationDraw("b", 7.2, 8.0)]
    assert allocate_shed_under_limit(8.0, idle) == {"a": 0.8, "b": 7.2}
    # Where nobody tells a rating, what is out of all proportion is not believed.
    nobody = [ShedAllocationDraw("a", 5.0, 8.0), ShedAllocationDraw("b", 3.0, 4.0)]
    shares = allocate_shed_under_limit(13.0, [*nobody, watts_for_kw])
    assert shares == {"a": 5.0, "b": 3.0, "w": 5.0}
    homes = [ShedAllocationDraw(f"h{n}", 1.0, 1.0) for n in range(10)]
    office = ShedAllocationDraw("office", 90.0, 90.0)
    assert allocate_shed_under_limit(100.0, [*homes, office])["office"] == 90.0
    assert allocate_shed_under_limit(9.0, [watts_for_kw]) == {"w": 9.0}


def test_a_site_that_gives_nothing_is_not_asked_for_more_than_it_has() -> None:
    """It was asked for 4 kW and could shed 5 in all."""
    assert adjust_shed_allocation(4, [part("a", 4, 0, room=5)], []).changed == {"a": 5.0}
    assert adjust_shed_allocation(4, [part("a", 5, 0, room=5)], []).changed == {}
