"""The event engine: the order of its effects."""

from __future__ import annotations

from typing import Any

from tests.dr.builders import limit, panel_of, switch
from tests.dr.house import House, send_event
from VenAgent.dr.effects import (
    PrepareEffect,
    ReleaseEffect,
    RestoreEffect,
    SaveEventEffect,
    SendAckEffect,
    WriteEffect,
)


def test_a_record_stands_before_each_write_restore_and_ack() -> None:
    """In one list: the house checks the same against its journal at every step."""
    panel = panel_of(switch("a", priority=5), limit("b", priority=4))
    house, lists = House(panel, {"a": 3.0, "b": 2.0}), []
    do = house.do

    def spy(effects: list[Any]) -> None:
        lists.append(list(effects))
        do(effects)

    house.do = spy  # type: ignore[method-assign]
    house.broken = {"a"}
    send_event(house, 3.0, duration_sec=60.0)
    house.broken = set()
    house.wait(100.0)
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=house.now + 10.0)
    house.wait(20.0)
    house.send("restore", correlationId="c3")
    kinds = set()
    for effects in lists:
        recorded = False
        for effect in effects:
            kinds.add(type(effect))
            recorded = recorded or isinstance(effect, SaveEventEffect)
            if isinstance(
                effect, (PrepareEffect, WriteEffect, RestoreEffect, SendAckEffect, ReleaseEffect)
            ):
                assert recorded, f"{effect} before its record"
    assert {
        PrepareEffect,
        WriteEffect,
        RestoreEffect,
        SendAckEffect,
        ReleaseEffect,
        SaveEventEffect,
    } <= kinds
