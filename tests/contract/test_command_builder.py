"""Commands are written as the golden ones, and what is written is read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.each_case import each_case
from VenAgent.contract.command_builder import (
    build_cancel_command,
    build_command,
    build_correlation_id,
    build_event_command,
    build_get_command,
    build_limit_command,
    build_load_up_command,
    build_ping_command,
    build_restore_command,
    build_set_config_command,
    build_set_load_command,
    build_shed_load_command,
)
from VenAgent.contract.golden import GOLDEN_COMMANDS

SENT = {"ven_id": "site-1", "issued_ts": 1760000000.0, "expires_ts": 1760000300.0}
UNDER_WAY: dict[str, Any] = {**SENT}

BUILT = {
    "event": build_event_command(
        **{**SENT, "expires_ts": 1760001860.0},
        correlation_id=build_correlation_id("42", "a1"),
        event_id="42",
        shed_kw=5.0,
        start_ts=1760000060.0,
        end_ts=1760001860.0,
        duration_sec=1800.0,
        modification=1,
        event_priority=2,
    ),
    "shedLoad": build_shed_load_command(
        **{**SENT, "expires_ts": 1760000900.0},
        correlation_id="evt-43-a2",
        event_id="43",
        circuit_id="ev1",
        shed_kw=3.5,
        duration_sec=900.0,
    ),
    "limit": build_limit_command(
        **UNDER_WAY,
        correlation_id="evt-44-a3",
        event_id="44",
        import_kw=4.2,
        window_sec=60.0,
        failsafe_kw=4.2,
        heartbeat_sec=120.0,
        failsafe_min_sec=7200.0,
    ),
    "loadUp": build_load_up_command(
        **{**SENT, "expires_ts": 1760000660.0},
        correlation_id="evt-45-a4",
        event_id="45",
        raise_kw=2.0,
        start_ts=1760000060.0,
        duration_sec=600.0,
    ),
    "restore": build_restore_command(
        **UNDER_WAY, correlation_id="evt-42-a5", event_id="42", modification=2
    ),
    "cancel": build_cancel_command(
        **UNDER_WAY, correlation_id="evt-42-a6", event_id="42", modification=2
    ),
    "ping": build_ping_command(**UNDER_WAY, correlation_id="ping-1"),
    "get": build_get_command(**UNDER_WAY, correlation_id="get-1", what="status"),
    "setConfig": build_set_config_command(
        **UNDER_WAY, correlation_id="set-1", report_interval_sec=10.0, shadow_interval_sec=60.0
    ),
    "setLoad": build_set_load_command(
        **UNDER_WAY, correlation_id="set-2", circuit_id="ev1", enabled=False, priority=4
    ),
}


@each_case("op", GOLDEN_COMMANDS)
def test_commands_are_written_as_the_golden_ones(op: str) -> None:
    assert BUILT[op] == GOLDEN_COMMANDS[op]


def test_a_field_that_is_none_is_not_sent() -> None:
    message = build_command("ping", ven_id="v", correlation_id="c")
    assert message == {"op": "ping", "venId": "v", "correlationId": "c"}


def test_an_op_that_the_contract_has_not_is_not_sent() -> None:
    with pytest.raises(ValueError, match="explode"):
        build_command("explode", ven_id="v", correlation_id="c")
