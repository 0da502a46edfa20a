"""The sender of a limit as EEBus LPC has it: its limit, its heartbeat, and what follows without."""

from __future__ import annotations

from tests.dr.house import House
from VenAgent.dr.grid_limits import GridLimitState

LPC = {"failsafe_kw": 4.2, "heartbeat_sec": 120.0}


def send_lpc_limit(house: House, import_kw: float = 15.0, **fields: object) -> list:
    known = {"correlationId": "l1", "event_id": "limit", **LPC}
    return house.send("limit", import_kw=import_kw, **{**known, **fields})


def lpc_state(house: House) -> GridLimitState:
    return house.engine.site.limits.state(house.now)


def beat_as_lpc_sender(house: House, seconds: float, every_sec: float = 60.0) -> None:
    """The sender's heartbeat, and its time."""
    end = house.now + seconds
    while house.now < end:
        house.send("ping", correlationId=f"p{house.now:.0f}")
        house.wait(min(every_sec, end - house.now))


def enter_lpc_failsafe(house: House, **fields: object) -> House:
    house.wait(60.0)
    send_lpc_limit(house, **fields)
    house.wait(125.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    return house
