"""Shedding by a battery or a car that discharges, and drawing more by one that charges: how much,
for how long, and where it stops.

Power is at the meter, kW: what charges is positive, what discharges negative, like all generation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from VenAgent.dr.comfort_guard import ComfortGuard

WATCH_SEC = 90.0
"""So long it may take from the state of charge at the reserve until the battery has stopped: a slow
driver's interval, the age that a reading may have, and the write."""
LEAST_MARGIN_PERCENT = 0.5
"""Many batteries tell their state of charge in whole percent."""


@dataclass(frozen=True)
class StorageControl:
    """`kw_per_value`: kW per unit of the setpoint's register; negative where that counts what is
    discharged as positive."""

    most_discharge_kw: float
    most_charge_kw: float
    capacity_kwh: float
    reserve_soc_percent: float
    round_trip_efficiency: float = 0.9
    most_soc_percent: float = 100.0
    """No event charges it above this."""
    kw_per_value: float = 1.0
    step: float = 0.1
    """Of the register, in its own unit."""

    # ---- its register, as a limit's ------------------------------------------------------

    @property
    def step_kw(self) -> float:
        return self.step * abs(self.kw_per_value)

    def value_at(
        self, power_kw: float, lowest_kw: float = -math.inf, *, at_most: bool = False
    ) -> float:
        """The register value nearest to `power_kw`, of a power within what it is built for and not
        below `lowest_kw`; `at_most`: not above it either."""
        lowest_kw = max(lowest_kw, -self.most_discharge_kw)
        exact = min(power_kw, self.most_charge_kw) / self.step_kw
        steps = math.floor(exact + 1e-6) if at_most else round(exact)
        least = math.ceil(lowest_kw / self.step_kw - 1e-9)
        kw = max(steps, least) * self.step_kw
        return round(kw / self.kw_per_value, 6) + 0.0

    def kw_of(self, value: float) -> float:
        return value * self.kw_per_value

    def limit_of(self, value: float | None) -> float | None:
        return value

    # ---- its energy ----------------------------------------------------------------------

    @property
    def _one_way(self) -> float:
        """Half of the loss comes with charging, half with discharging."""
        return math.sqrt(self.round_trip_efficiency)

    def gained_percent(self, energy_kwh: float) -> float:
        """By how much its charge rises when it takes so much at its meter; negative: gives."""
        one_way = self._one_way if energy_kwh > 0.0 else 1.0 / self._one_way
        return 100.0 * energy_kwh * one_way / self.capacity_kwh

    @property
    def margin_percent(self) -> float:
        """What it may lose of its charge until it has stopped."""
        drop_kwh = self.most_discharge_kw / self._one_way * WATCH_SEC / 3600.0
        return max(LEAST_MARGIN_PERCENT, 100.0 * drop_kwh / self.capacity_kwh)

    @property
    def reserve_guard(self) -> ComfortGuard:
        """Past it, it stops discharging; near it, it does not begin."""
        minimum = self.reserve_soc_percent + self.margin_percent
        return ComfortGuard(minimum, margin=self.margin_percent, unit="percent of charge")

    @property
    def full_guard(self) -> ComfortGuard:
        """Past it, it stops charging; near it, it does not begin."""
        rise_kwh = self.most_charge_kw * self._one_way * WATCH_SEC / 3600.0
        margin = max(LEAST_MARGIN_PERCENT, 100.0 * rise_kwh / self.capacity_kwh)
        return ComfortGuard(
            maximum=self.most_soc_percent - margin, margin=margin, unit="percent of charge"
        )

    def chargeable_kw(self, soc_percent: float | None, lasting_sec: float) -> float:
        """With how much it may charge for `lasting_sec` on end; 0 while its state of charge is not
        known, or near the most."""
        if soc_percent is None or not self.full_guard.may_be_shed(soc_percent):
            return 0.0
        if math.isinf(lasting_sec) or lasting_sec <= 0.0:
            return self.most_charge_kw
        room_percent = self.full_guard.maximum - soc_percent
        energy_kwh = room_percent / 100.0 * self.capacity_kwh / self._one_way
        return min(self.most_charge_kw, energy_kwh * 3600.0 / lasting_sec)

    def dischargeable_kw(self, soc_percent: float | None, lasting_sec: float) -> float:
        """With how much it may discharge for `lasting_sec` on end (infinite: until it is told to
        stop); 0 while its state of charge is not known, or at its reserve."""
        if soc_percent is None or not self.reserve_guard.may_be_shed(soc_percent):
            return 0.0
        if math.isinf(lasting_sec) or lasting_sec <= 0.0:
            return self.most_discharge_kw
        spare_percent = soc_percent - self.reserve_guard.minimum
        energy_kwh = spare_percent / 100.0 * self.capacity_kwh * self._one_way
        return min(self.most_discharge_kw, energy_kwh * 3600.0 / lasting_sec)
