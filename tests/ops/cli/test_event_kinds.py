"""Events of each kind from the command line: what is typed, what goes on the wire, plain words."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ops.cli import ven_control as cli
from ops.cli.event_levels import event_levels
from ops.clients.command_sender import CommandSenderDraft
from ops.host.event_words import event_words
from ops.host.ops_error import OpsError
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.dr.policy import SUPPORTED_FEATURES

LIMITS = CommandLimits(max_shed_kw=48.0, supported=SUPPORTED_FEATURES)


def test_what_is_typed_is_what_a_ven_reads() -> None:
    draft = CommandSenderDraft("v")
    levels = event_levels("5x600, 3x300", "shed_kw")
    assert levels == [
        {"duration_sec": 600.0, "shed_kw": 5.0},
        {"duration_sec": 300.0, "shed_kw": 3.0},
    ]
    asked = [
        ("event", {"shed_kw": 5.0, "test": True, "duration_sec": 0.0}),
        ("event", {"intervals": levels, "dry_run": True}),
        ("limit", {"import_kw": 15.0, "failsafe_kw": 4.2, "heartbeat_sec": 120.0}),
        ("limit", {"export_kw": 6.0, "import_kw": 10.5}),
        ("limit", {"intervals": event_levels("15x900,10x900", "import_kw")}),
    ]
    for op, fields in asked:
        message = draft.about_event(op, None, None, **fields)
        command = read_command(
            json.dumps(message), ven_id="v", limits=LIMITS, now=message["issued_ts"]
        )
        assert command.op == op, fields
    assert "duration_sec" not in draft.about_event("limit", None, None, import_kw=15.0)
    assert draft.about_event("event", None, None, shed_kw=1.0)["duration_sec"] == 3600.0


def test_a_level_that_is_none_is_named() -> None:
    for typed in ("5", "5x", "x600", "5x600,", "five x 600"):
        with pytest.raises(OpsError) as caught:
            event_levels(typed, "shed_kw")
        assert "is no level" in str(caught.value), typed


def test_one_thing_is_asked_for() -> None:
    run = CliRunner().invoke
    for arguments in (
        [],
        ["--shed-kw", "5", "--limit-kw", "15"],
        ["--shed-kw", "5", "--failsafe-kw", "4", "--heartbeat-sec", "60"],
        ["--limit-kw", "5", "--failsafe-kw", "4"],
        ["--limit-kw", "5", "--failsafe-min-sec", "PT2H"],
        ["--shed-kw", "5", "--limit-export-kw", "4"],
    ):
        result = run(cli.app, ["send-event", *arguments])
        assert result.exit_code != 0, arguments
        assert isinstance(result.exception, OpsError), arguments


def test_plain_words() -> None:
    assert event_words("limit", 15.0, None) == (
        "Keeping the site at or under 15.00 kW until further notice"
    )
    assert "failsafe limit" in event_words("limit", 4.2, None, is_failsafe=True)
    assert event_words("shed", 5.0, 0, is_test=True).startswith("Test: Shedding 5.00 kW until ")
    assert event_words("load_up", 3.0, 0).startswith("Drawing 3.00 kW more until ")
    assert event_words("shed", 5.0, "", is_dry_run=True) == "Would shed 5.00 kW"
    assert event_words("limit", 15.0, None, also_fed_in_kw=0.0) == (
        "Keeping the site at or under 15.00 kW, 0.00 kW fed in until further notice"
    )
