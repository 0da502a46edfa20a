"""The event engine: a device that does not answer holds up no other when circuits go back."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from tests.dr.builders import panel_of, switch
from tests.dr.house import House, send_event
from VenAgent.dr.effects import RestoreEffect
from VenAgent.dr.panel import PanelCircuit
from VenAgent.dr.policy import Policy

STAGGER_SEC = 2.0


def on(device: str, circuit_id: str, priority: int) -> PanelCircuit:
    point = f"{device}/{circuit_id}_switch"
    return replace(switch(circuit_id, priority=priority), point=point, switch_point=point)


def begun() -> House:
    panel = panel_of(
        *(on("site/a", f"a{number}", priority=3 + number % 3) for number in range(5)),
        on("site/b", "b0", priority=2),
    )
    policy = Policy(restore_stagger_sec=STAGGER_SEC, rebound_sec=0.0)
    house = House(panel, dict.fromkeys(panel.by_id, 2.0), policy)
    send_event(house, 12.0)
    assert len(house.opened()) == 6
    return house


def test_the_others_go_back_in_their_turn_while_one_is_waited_for() -> None:
    """They waited for 20 s and more, and then went back in one moment."""
    house = begun()
    waiting: list[RestoreEffect] = []
    carry_out = house._carry_out

    def but_of_the_silent_one(effect: object) -> None:
        if isinstance(effect, RestoreEffect) and effect.writes[0].circuit_id == "b0":
            waiting.append(effect)
        else:
            carry_out(effect)

    house._carry_out = but_of_the_silent_one  # type: ignore[method-assign]
    house.send("restore", event_id="e1", correlationId="x")
    back: list[float] = []
    for _ in range(int(10 * STAGGER_SEC * 6)):
        known = len(house.opened())
        house.wait(0.1)
        back += [house.now] * (known - len(house.opened()))
    assert house.opened() == {"b0"}
    assert len(waiting) == 1
    gaps = [later - earlier for earlier, later in pairwise(back)]
    assert all(abs(gap - STAGGER_SEC) < 0.2 for gap in gaps), gaps

    house.do(house.engine.restored("e1", {}, house.now, house.read(), {"b0"}))
    assert house.engine.running is not None, "it reads as shed"
    house._carry_out = carry_out  # type: ignore[method-assign]
    house.wait(10.0)
    assert house.opened() == set()
    assert house.statuses()[-1] == "completed"


def test_a_report_of_one_device_says_nothing_of_another() -> None:
    house = begun()
    house.policy = Policy(restore_stagger_sec=0.0, rebound_sec=0.0)
    house.hold = True
    house.send("restore", event_id="e1", correlationId="x")
    house.wait(STAGGER_SEC * 6)
    assert {"a0", "b0"} <= house.opened(), "nothing is written yet"
    house.do(house.engine.restored("e1", {}, house.now, None, {"b0"}))
    running = house.engine.running
    assert running is not None
    assert running.restored_of() == (1, 6)
    house.hold = False
    house.work()
    house.wait(60.0)
    assert running.restored_of() == (6, 6)
