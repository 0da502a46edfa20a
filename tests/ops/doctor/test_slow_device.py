"""The doctor on a device that takes its time."""

from __future__ import annotations

from ops.doctor.slow_device import slow_device_check

DEVICE = "site/building/panel"
SLOW = {
    "answer_sec": 2.1,
    "slowest_answer_sec": 4.2,
    "waited_for_sec": 8.4,
    "failing": False,
}


def test_a_slow_device_is_named_with_its_figures_and_is_well() -> None:
    check = slow_device_check("device", DEVICE, SLOW, 15, "no answer within 10 s")
    assert check is not None
    assert check.ok
    for words in ("slow", "2.1 s", "4.2 s", "8.4 s", "no answer within 10 s"):
        assert words in check.text
    assert "power" not in check.text + check.remedy


def test_one_that_is_read_more_often_than_it_answers_is_read_less() -> None:
    check = slow_device_check("device", DEVICE, SLOW, 1)
    assert check is not None
    assert check.ok is False
    assert "every 1 s" in check.text
    assert '"interval" of 8 s' in check.remedy


def test_what_is_quick_dead_or_unheard_is_not_slow() -> None:
    for answers in (
        {**SLOW, "answer_sec": 0.02},
        {**SLOW, "failing": True},
        {**SLOW, "answer_sec": None, "slowest_answer_sec": None},
        {},
    ):
        assert slow_device_check("device", DEVICE, answers, 15) is None


def test_one_that_is_polled_faster_than_it_answers_is_named_whatever_else_it_is() -> None:
    pace = {
        "what": "unit1, unit2 are polled each 1 s, but one round takes 3.2 s",
        "remedy": 'Write an "interval" of 7 or more in their entries devices/… of the driver',
    }
    for answers in ({}, SLOW, {**SLOW, "failing": True}):
        check = slow_device_check("device", DEVICE, {**answers, "polled_too_fast": pace}, 1)
        assert check is not None
        assert check.ok is False
        assert check.text.startswith(pace["what"])
        assert check.remedy == f"{pace['remedy']}."
