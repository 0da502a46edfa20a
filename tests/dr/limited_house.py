"""Limits on a house: sent, and lived under."""

from __future__ import annotations

from collections.abc import Callable

from tests.dr.builders import panel_of, switch
from tests.dr.flexible_house import FlexibleHouse, inverter, shop_panel
from tests.dr.house import House
from VenAgent.dr.panel import PanelCircuit

SLOWEST_SEC = 20.0
"""What the slowest device takes to follow, beside the window."""


def send_import_limit(house: House, import_kw: float | None = 15.0, **fields: object) -> list:
    known = {"correlationId": "l1", "event_id": "limit"}
    return house.send("limit", import_kw=import_kw, **{**known, **fields})


def import_mean_kw(house: House, window_sec: float = 60.0) -> float:
    found = house.engine.site.limits.mean_kw(window_sec, house.now)
    assert found is not None
    return found


def live_under_import_limit(
    house: House, seconds: float, limit_kw: float = 15.0, since_sec: float = 0.0
) -> None:
    """Let time pass; from `since_sec` on the mean is to be under the limit."""
    began = house.now
    while house.now < began + seconds:
        house.wait(5.0)
        if house.now - began > since_sec:
            assert import_mean_kw(house) <= limit_kw + 1e-6, house.now - began


def sunny_house(*circuits: PanelCircuit, **draws_kw: float) -> House:
    panel = panel_of(*(circuits or (inverter(), switch("oven", 40.0), switch("heater", 30.0))))
    house = House(panel, {"pv": -8.0, "oven": 1.0, "heater": 2.0, **draws_kw})
    house.wait(120.0)
    return house


def sunny_shop(*circuits: PanelCircuit, **draws_kw: float) -> FlexibleHouse:
    """A shop with its small loads, and `circuits` beside them."""
    draws = {"range1": 1.0, "outlets1": 0.5, "fridge1": 0.2, **draws_kw}
    house = FlexibleHouse(shop_panel(*circuits), draws, {})
    house.wait(120.0)
    return house


def send_export_limit(house: House, export_kw: float | None = 2.0, **fields: object) -> list:
    known = {"correlationId": "x1", "event_id": "export"}
    return house.send("limit", export_kw=export_kw, **{**known, **fields})


def export_mean_kw(house: House) -> float:
    found = house.engine.site.export_limits.mean_kw(60.0, house.now)
    assert found is not None
    return found


def live_under_export_limit(
    house: House,
    seconds: float,
    export_kw: float = 2.0,
    since_sec: float = 0.0,
    each: Callable[[float], None] | None = None,
) -> None:
    """Let time pass; from `since_sec` on the mean of what is fed in is at or under the limit."""
    began = house.now
    while house.now < began + seconds:
        if each is not None:
            each(house.now - began)
        house.wait(5.0)
        if house.now - began > since_sec:
            assert export_mean_kw(house) <= export_kw + 1e-6, house.now - began
