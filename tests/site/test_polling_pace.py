"""Devices that are polled faster than they answer are named, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from VenAgent.site.polling_pace import PolledDevice, polling_paces_too_fast

UNIT1 = {
    "name": "site/unit1",
    "gateway": "10.0.0.9:502",
    "interval_sec": 1.0,
    "reading_sec": 1.6,
    "fruitless_sec": None,
    "published_each_sec": 3.2,
    "silent_sec": 2.0,
}
UNIT2 = {**UNIT1, "name": "site/unit2"}


def said(*devices: dict[str, Any]) -> list[str]:
    return [str(pace) for pace in polling_paces_too_fast(PolledDevice(**each) for each in devices)]


def test_two_units_of_one_connection_are_named_with_interval_and_round() -> None:
    assert said(UNIT1, UNIT2) == [
        "site/unit1, site/unit2 are polled each 1 s, but one round takes 3.2 s: what events ask for"
        ' waits in the driver. Write an "interval" of 7 or more in their entries devices/… of the '
        "driver"
    ]


def test_a_round_is_not_longer_than_the_time_between_two_readings() -> None:
    """Where polls wait in a queue, an answer has waited too."""
    queued = {"reading_sec": 20.0}
    assert "one round takes 3.2 s" in said({**UNIT1, **queued}, {**UNIT2, **queued})[0]


def test_what_was_never_read_is_named_by_how_long_that_took() -> None:
    """The driver of VOLTTRON 11 gives up after its own 30 s, and publishes nothing."""
    never = {
        "reading_sec": None,
        "fruitless_sec": 30.4,
        "silent_sec": None,
        "published_each_sec": None,
    }
    (text,) = said({**UNIT1, **never})
    assert text.startswith("site/unit1 is polled each 1 s, but one round takes more than 30.4 s"), (
        text
    )


@pytest.mark.parametrize(
    "well",
    [
        {"interval_sec": 15.0, "published_each_sec": 15.2},
        {
            "published_each_sec": 1.1,
            "silent_sec": 0.4,
        },  # what its answers wait for is not its polls
        {"reading_sec": 0.1, "silent_sec": 3_600.0},  # gone since an hour
        {"reading_sec": None, "silent_sec": None, "published_each_sec": None},  # not heard yet
        {
            "reading_sec": None,
            "silent_sec": None,
            "published_each_sec": None,
            "fruitless_sec": 0.02,
        },  # refused
    ],
    ids=str,
)
def test_others_are_not(well: dict[str, Any]) -> None:
    assert said({**UNIT1, **well}, {**UNIT2, **well}) == []


def test_each_connection_counts_for_itself() -> None:
    apart = {**UNIT2, "gateway": "10.0.0.10:502", "reading_sec": 0.7, "published_each_sec": 1.0}
    (text,) = said({**UNIT1, "reading_sec": 4.0, "published_each_sec": 4.1}, apart)
    assert text.startswith("site/unit1 is polled")
