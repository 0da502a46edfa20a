"""A number typed at a command is read as strictly as one on the wire."""

from __future__ import annotations

import pytest
import typer

from ops.cli.command_options import chosen_ven_option, option_duration, option_number
from ops.cli.event_levels import event_levels
from ops.host.ops_error import OpsError

NO_NUMBERS = ("1_0", "nan", "inf", "-inf", "\u0665", "\uff15", "5kW", "5,0", "", "true", "5 5")


def test_what_is_no_number_on_the_wire_is_none_here() -> None:
    for typed in NO_NUMBERS:
        for read in (option_number, option_duration):
            with pytest.raises(typer.BadParameter, match="number"):
                read(typed)
        with pytest.raises(OpsError, match="is no level"):
            event_levels(f"5x600,{typed or '_'}x600", "shed_kw")


def test_numbers_and_durations() -> None:
    assert [option_number(typed) for typed in ("5", "-5", " 5.5 ", "1e1")] == [5.0, -5.0, 5.5, 10.0]
    assert [option_duration(typed) for typed in ("600", "PT10M", "0")] == [600.0, 600.0, 0.0]
    assert event_levels("5x600, 3X60", "shed_kw") == [
        {"duration_sec": 600.0, "shed_kw": 5.0},
        {"duration_sec": 60.0, "shed_kw": 3.0},
    ]


def test_a_name_that_is_none_of_a_ven_is_told_of_its_option() -> None:
    for typed in ("a/b", "#", "+", "a b", "x" * 129, "site\n"):
        with pytest.raises(OpsError, match=r"--ven-id .* is no name of a VEN"):
            chosen_ven_option(typed)
