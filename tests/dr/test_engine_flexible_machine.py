"""The attack on the core (test_engine_machine.py), at a house with thermostats, a battery and the
sun on its roof: sheds, limits of both directions, and more load.

What must hold besides: no circuit is shed past its comfort guard or while that is stuck by our
doing, no battery is discharged below its reserve or charged above its most by our doing, a limit of
what is fed in is kept or said, and each is given back exactly once.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.dr.builders import DRAWS_KW, house_panel
from tests.dr.flexible_house import (
    OWN_SETPOINT_C,
    ZONE_MAX_C,
    FlexibleHouse,
    battery,
    inverter,
    storage,
    thermostat,
    zone_guard,
)
from tests.dr.test_engine_machine import LIMITS, Attack
from tests.support.example_count import example_count
from VenAgent.dr.event_state import EventState
from VenAgent.dr.policy import Policy, RotationPolicy

THERMOSTATS = ("rtu1", "rtu2")
DRAWS = {**DRAWS_KW, "rtu1": 4.0, "rtu2": 4.0, "battery1": 0.0, "pv": -3.0}
FROZEN_SEC = 1_200.0
MOST_SOC_PERCENT = 95.0
UNDISTURBED_SEC = 150.0
"""So long a guard may be past its bound: its silence, a write that is tried again, a reading."""


class FlexibleAttack(Attack):
    house: FlexibleHouse
    limit_ids = (*LIMITS, "x1")

    @initialize(stagger_sec=st.sampled_from([0.0, 10.0]), turns=st.booleans())
    def begin(self, stagger_sec: float, turns: bool) -> None:  # type: ignore[override]
        guard = replace(zone_guard(), frozen_sec=FROZEN_SEC)
        units = [thermostat(name, guard=guard) for name in THERMOSTATS]
        if turns:
            units = [replace(unit, rotation=RotationPolicy("hvac", 120.0)) for unit in units]
        panel = house_panel()
        kept = battery(control=storage(most_soc_percent=MOST_SOC_PERCENT))
        panel = replace(panel, circuits=(*units, kept, inverter(), *panel.circuits))
        policy = Policy(restore_stagger_sec=stagger_sec, rebound_sec=0.0)
        self.start(FlexibleHouse(panel, DRAWS, dict.fromkeys(THERMOSTATS, 2.0), policy=policy))
        self.house.raised_kw = dict.fromkeys(THERMOSTATS, 1.5)
        self.house.wait(60.0)
        self.undisturbed_ts = self.house.now

    lose_the_journal = None  # type: ignore[assignment]
    """What a setpoint was before no one knows then: see test_setpoint.py."""

    # ---- commands ------------------------------------------------------------------------

    @rule(
        export_kw=st.sampled_from([0.0, 2.0, 8.0]),
        import_kw=st.sampled_from([None, None, 9.0]),
        duration_sec=st.sampled_from([None, None, 120.0, 600.0]),
        number=st.integers(0, 3),
        heartbeat_sec=st.sampled_from([None, 60.0]),
    )
    def export_limit(
        self,
        export_kw: float,
        import_kw: float | None,
        duration_sec: float | None,
        number: int,
        heartbeat_sec: float | None,
    ) -> None:
        fields: dict[str, object] = {"event_id": "x1", "modification": number}
        fields["export_kw"] = export_kw
        if import_kw is not None:
            fields["import_kw"] = import_kw
        if duration_sec is not None:
            fields["duration_sec"] = duration_sec
        if heartbeat_sec is not None:
            fields |= {"heartbeat_sec": heartbeat_sec, "failsafe_kw": 4.2}
        self.command("limit", **fields)

    @rule(
        raise_kw=st.sampled_from([0.5, 3.0, 12.0]),
        duration_sec=st.sampled_from([30.0, 600.0]),
        number=st.integers(0, 3),
    )
    def more_load(self, raise_kw: float, duration_sec: float, number: int) -> None:
        self.command(
            "loadUp",
            event_id="u1",
            raise_kw=raise_kw,
            duration_sec=duration_sec,
            modification=number,
        )

    # ---- the site ------------------------------------------------------------------------

    @rule(power_kw=st.sampled_from([0.02, -0.5, -4.0, -10.0]))
    def sun(self, power_kw: float) -> None:
        self.house.demand_kw["pv"] = power_kw

    @rule(seconds=st.sampled_from([600.0, 1_500.0]))
    def wait_for_long(self, seconds: float) -> None:
        """So that a guard whose value does not move is stuck."""
        if not (self.house.hold or self.house.jobs):
            self.house.wait(seconds)

    @rule(name=st.sampled_from(THERMOSTATS), value=st.sampled_from([22.5, 25.7, 26.4, None]))
    def zone(self, name: str, value: float | None) -> None:
        self.house.values[name] = value
        self.undisturbed_ts = self.house.now

    @rule(percent=st.sampled_from([21.5, 30.0, 90.0, 94.5]), is_told=st.booleans())
    def charge(self, percent: float, is_told: bool) -> None:
        self.house.step_storage()
        self.house.soc_percent["battery1"] = percent
        self.house.told_soc.pop("battery1", None)
        if not is_told:
            self.house.told_soc["battery1"] = None

    @rule(power_kw=st.sampled_from([-1.0, 0.0, 2.5]))
    def programme(self, power_kw: float) -> None:
        """The battery's own."""
        self.house.step_storage()
        self.house.demand_kw["battery1"] = power_kw

    @rule(name=st.sampled_from(THERMOSTATS), value=st.sampled_from([20.0, 25.0]))
    def set_thermostat(self, name: str, value: float) -> None:
        """A person does."""
        house, event = self.house, self.house.engine.running
        touched = {c.circuit_id for c in event.circuits} if event is not None else set()
        if name in touched or house.jobs:
            house.unsure.add(name)
        house.limits[name] = value
        house.wanted.setdefault(name, {})[house.panel.by_id[name].point] = value

    @rule(seconds=st.sampled_from([0.5, 5.0, 45.0, 300.0]))
    def wait(self, seconds: float) -> None:
        house = self.house
        if house.hold or house.jobs:
            seconds = min(seconds, 5.0)  # the agent itself does not wait for minutes
        house.wait(seconds)

    @rule(step_sec=st.sampled_from([-3600.0, -20.0, 40.0, 3600.0]))
    def set_the_clock(self, step_sec: float) -> None:
        super().set_the_clock(step_sec)
        self.undisturbed_ts = self.house.now

    @rule(step_sec=st.sampled_from([-3600.0, -20.0, 40.0, 3600.0]))
    def power_cut(self, step_sec: float) -> None:
        super().power_cut(step_sec)
        self.undisturbed_ts = self.house.now

    # ---- what must hold ------------------------------------------------------------------

    @invariant()
    def no_battery_falls_below_its_reserve(self) -> None:
        if hasattr(self, "house"):
            assert self.house.lowest_soc.get("battery1", 100.0) >= 20.0
            assert self.house.highest_soc.get("battery1", 0.0) <= MOST_SOC_PERCENT

    @invariant()
    def no_guard_is_passed_for_long(self) -> None:
        house, event = self.house, self.house.engine.running
        if house.hold or house.jobs:
            self.undisturbed_ts = house.now
        if event is None or event.state is not EventState.ACTIVE:
            return
        if house.now - self.undisturbed_ts < UNDISTURBED_SEC:
            return
        for name in THERMOSTATS:
            value, held = house.values[name], event.circuit(name)
            is_stuck = house.engine.site.guards.unmoved_sec(name, house.now) > (
                FROZEN_SEC + UNDISTURBED_SEC
            )
            is_passed = value is None or value > ZONE_MAX_C or is_stuck
            if is_passed and held is not None and held.to_put_back and not held.switching:
                raise AssertionError(f"{name} is shed with its zone at {value}")

    def check_setting(self) -> None:
        super().check_setting()
        if "battery1" not in self.house.unsure | self.house.engine.site.unrestored.circuit_ids:
            assert not self.house.remote["battery1"], "its own programme has it again"

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.house.values = dict.fromkeys(THERMOSTATS, OWN_SETPOINT_C + 1.0)
            self.house.told_soc.clear()
            self.house.soc_percent["battery1"] = 60.0
        super().teardown()


FlexibleAttack.TestCase.settings = settings(
    max_examples=example_count(60), stateful_step_count=25, deadline=None
)
TestFlexibleAttack = FlexibleAttack.TestCase
