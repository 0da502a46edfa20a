"""What the actuator's answers to a reservation mean; its own behaviour is in test_faults.py."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any, cast

import gevent
import pytest
from gevent.event import Event

from tests.platform.site import ROOT, VEN
from VenAgent.config import AgentConfig
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.actuator import Actuator, ActuatorRefusal
from VenAgent.site.device_requests import DeviceRequests
from VenAgent.volttron_compat import RemoteError

CONFIG = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
SUCCESS = {"result": "SUCCESS", "data": {}, "info": ""}
CONFLICT = "CONFLICTS_WITH_EXISTING_SCHEDULES"


class Answered:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get(self, timeout: float) -> Any:
        assert timeout > 0
        return self._answer


class ActuatorPeer:
    """Its schedule: who holds the panel's one device, as which task."""

    def __init__(self, holder: str | None, task: str) -> None:
        self.held = {} if holder is None else {holder: {task: [["device", "start", "end"]]}}

    def call(self, peer: str, method: str, *args: Any) -> Answered:
        assert peer == "platform.actuator"
        if method == "request_cancel_schedule":
            self.held.get(VEN, {}).pop(args[1], None)
            self.held = {owner: tasks for owner, tasks in self.held.items() if tasks}
            return Answered(SUCCESS)
        if self.held:
            return Answered({"result": "FAILURE", "data": deepcopy(self.held), "info": CONFLICT})
        self.held = {VEN: {args[1]: args[3]}}
        return Answered(SUCCESS)


def actuation(actuator: Any) -> Actuator:
    return Actuator(actuator, DeviceRequests(actuator, CONFIG), CONFIG, VEN)


def test_a_reservation_of_ours_that_was_forgotten_is_given_back_and_made_anew() -> None:
    actuator = ActuatorPeer(VEN, "of an event that is over")
    ours = actuation(actuator)
    assert ours.reserve("now", until_ts=200.0, now=100.0) is None
    assert ours.forgotten == ["of an event that is over"]
    assert set(actuator.held[VEN]) == {"now"}


def test_a_switch_by_hand_leaves_the_reservation_of_our_event_alone() -> None:
    actuator = ActuatorPeer(VEN, "our event")
    made = actuation(actuator).reserve("switch", until_ts=200.0, now=100.0, for_event=False)
    assert made is None
    assert set(actuator.held[VEN]) == {"our event"}


def test_a_reservation_of_another_agent_is_left_alone_and_named() -> None:
    actuator = ActuatorPeer("other.agent", "theirs")
    refusal = actuation(actuator).reserve("now", until_ts=200.0, now=100.0)
    assert refusal is not None
    assert "other.agent as theirs" in refusal.reason
    assert not refusal.may_pass
    assert set(actuator.held) == {"other.agent"}


def test_what_the_actuator_holds_for_us_is_known_only_when_it_answers() -> None:
    class Silent:
        def call(self, *args: Any) -> Answered:
            return Answered("no schedule")

    assert actuation(Silent()).own_reservations(now=100.0) is None
    assert actuation(ActuatorPeer(None, "")).own_reservations(now=100.0) == []
    assert actuation(ActuatorPeer("other.agent", "theirs")).own_reservations(now=100.0) == []
    assert actuation(ActuatorPeer(VEN, "ours")).own_reservations(now=100.0) == ["ours"]


@pytest.mark.parametrize("data", [None, "", [], {}])
def test_whatever_the_actuator_sends_along_a_refusal_is_a_sentence(data: Any) -> None:
    class Malformed:
        def call(self, *args: Any) -> Answered:
            return Answered({"result": "FAILURE", "data": data, "info": "MALFORMED_REQUEST"})

    refusal = actuation(Malformed()).reserve("now", until_ts=200.0, now=100.0)
    assert refusal == ActuatorRefusal("the actuator refused the reservation: MALFORMED_REQUEST")


def test_an_actuator_that_does_not_answer_may_soon() -> None:
    class Starting:
        def call(self, *args: Any) -> Answered:
            return Answered(None)

    refusal = actuation(Starting()).reserve("now", until_ts=200.0, now=100.0)
    assert refusal is not None
    assert refusal.may_pass


class Relays:
    """Takes writes and answers with what it was sent."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []

    def call(self, peer: str, method: str, requester: str, topic: str, value: Any) -> Answered:
        self.written.append((topic, value))
        return Answered(value)


@pytest.mark.parametrize(("inverted", "sent"), [(False, False), (True, True)])
def test_opening_a_circuit_energises_the_relay_of_a_normally_closed_contact(
    inverted: bool, sent: bool
) -> None:
    contents = json.loads((ROOT / "config").read_text())
    circuit = next(each for each in contents["circuits"] if each["id"] == "heater1")
    circuit["switch_inverted"] = inverted
    config, relays = AgentConfig.load(contents, {}), Relays()
    built = next(each for each in config.build_panel().circuits if each.id == "heater1")
    write = PointWrite("heater1", built.point, value=False, inverted=built.inverted)
    assert (
        Actuator(cast(Any, relays), DeviceRequests(cast(Any, relays), config), config, VEN).write(
            [write]
        )
        == {}
    )
    assert relays.written == [(built.point, sent)]


class Locked:
    """Another agent's for its time of grace; lets us write from the `opens`th try on."""

    def __init__(self, opens: int) -> None:
        self.tries, self._opens = 0, opens
        self.written: list[Any] = []

    def call(self, peer: str, method: str, requester: str, topic: str, value: Any) -> Answered:
        self.tries += 1
        if self.tries < self._opens:
            return Refused()
        self.written.append(value)
        return Answered(value)


class Refused(Answered):
    def __init__(self) -> None:
        super().__init__(None)

    def get(self, timeout: float) -> Any:
        raise RemoteError("locked", exc_type="LockError", exc_args=["theirs"])


def taken(actuator: Any) -> Actuator:
    """Devices that we have just taken from another agent."""
    ours = actuation(actuator)
    headers = {"type": "CANCEL_SCHEDULE", "requesterID": "lighting", "taskID": "theirs"}
    ours.schedule_result(headers, {"result": "PREEMPTED", "data": {"agentID": VEN}})
    return ours


HEATER_OFF = PointWrite("heater1", f"{CONFIG.panel.device}/heater1_contactor", value=False)


def test_what_we_took_from_another_agent_is_written_when_its_grace_is_over() -> None:
    actuator = Locked(opens=3)
    assert taken(actuator).write([HEATER_OFF]) == {}
    assert actuator.written == [False]


def test_an_event_that_ended_in_the_others_grace_is_not_shed_by_a_late_try() -> None:
    """Or the circuit would be opened after the event's end, and no one would close it."""
    actuator = Locked(opens=3)
    still_wanted = iter([True, False])
    failures = taken(actuator).write([HEATER_OFF], lambda: next(still_wanted))
    assert "lighting" in failures["heater1"].text
    assert failures["heater1"].code is ReasonCode.DEVICE_RESERVED
    assert actuator.written == []


class Board:
    """Relays on one device, written together or one by one. `refused`: points that fail alone, as
    often as it says; `deaf`: points that confirm and stay as they are."""

    def __init__(self, refused: dict[str, int] | None = None, deaf: tuple[str, ...] = ()) -> None:
        self.refused, self.deaf = dict(refused or {}), deaf
        self.points: dict[str, Any] = {}
        self.calls: list[str] = []

    def call(self, peer: str, method: str, *args: Any) -> Answered:
        self.calls.append(method)
        if method == "scrape_all":
            return Answered(dict(self.points))
        if method == "set_multiple_points":
            errors = {topic: "IOError('lost')" for topic, v in args[1] if not self._set(topic, v)}
            return Answered(errors)
        topic, value = args[1], args[2]
        if not self._set(topic, value):
            return Failed("IOError", "lost")
        return Answered(self.points.get(topic.rpartition("/")[2]))

    def _set(self, topic: str, value: Any) -> bool:
        point = topic.rpartition("/")[2]
        if self.refused.get(point, 0) > 0:
            self.refused[point] -= 1
            return False
        self.points[point] = None if point in self.deaf else value
        return True


class Failed(Answered):
    def __init__(self, kind: str, text: str) -> None:
        super().__init__(None)
        self._error = RemoteError(text, exc_type=kind, exc_args=[text])

    def get(self, timeout: float) -> Any:
        raise self._error


NAMES = ("heater1", "dryer1", "range1")
ALL_OFF = [
    PointWrite(name, f"{CONFIG.panel.device}/{name}_contactor", value=False) for name in NAMES
]


def test_the_points_of_one_device_are_written_in_one_call_and_proven_by_a_reading() -> None:
    board = Board()
    assert actuation(board).write(ALL_OFF) == {}
    assert board.calls == ["set_multiple_points", "scrape_all"]
    assert board.points == {f"{name}_contactor": False for name in NAMES}


def test_a_write_that_failed_alone_is_made_again_at_once() -> None:
    board = Board(refused={"heater1_contactor": 1})
    assert actuation(board).write(ALL_OFF) == {}
    assert board.calls == ["set_multiple_points", "scrape_all", "set_point"]
    lost = Board(refused={"heater1_contactor": 99})
    failures = actuation(lost).write(ALL_OFF)
    assert set(failures) == {"heater1"}
    assert "lost" in failures["heater1"].text
    assert failures["heater1"].code is ReasonCode.WRITE_FAILED


def test_whichever_request_in_so_many_is_lost_all_is_written_and_put_back() -> None:
    class Lossy(Board):
        def __init__(self, every: int, first: int) -> None:
            super().__init__()
            self._every, self._asked = every, first

        def call(self, peer: str, method: str, *args: Any) -> Answered:
            self._asked += 1
            if self._asked % self._every == 0:
                return Failed("ModbusIOException", "no response")
            return super().call(peer, method, *args)

    for every in (10, 5, 3):
        for first in range(every):
            board = Lossy(every, first)
            ours = actuation(board)
            assert ours.write(ALL_OFF) == {}
            assert set(board.points.values()) == {False}
            assert ours.put_back([replace(write, value=True) for write in ALL_OFF]) == {}
            assert set(board.points.values()) == {True}


def test_a_lost_write_that_reads_as_before_is_made_again() -> None:
    """The driver does not look at what came of a register's write, only at what it reads after."""

    class Lossy(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            self.calls.append(method)
            if len(self.calls) > 1:
                self._set(args[1], args[2])
            return Answered(self.points.get(args[1].rpartition("/")[2], 100))

    board = Lossy()
    limit = PointWrite("ev1", f"{CONFIG.panel.device}/ev1_limit", value=40.0)
    assert actuation(board).write([limit]) == {}
    assert board.calls == ["set_point", "set_point"]
    assert board.points == {"ev1_limit": 40}


def test_a_point_that_confirms_and_stays_as_it_is_has_failed() -> None:
    failures = actuation(Board(deaf=("dryer1_contactor",))).write(ALL_OFF)
    assert {name: why.text for name, why in failures.items()} == {
        "dryer1": f"{CONFIG.panel.device}/dryer1_contactor answered None, not False"
    }


def test_without_the_call_for_several_points_they_are_written_one_by_one() -> None:
    class Older(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            if method == "set_multiple_points":
                return Failed("MethodNotFound", method)
            return super().call(peer, method, *args)

    board = Older()
    assert actuation(board).write(ALL_OFF) == {}
    assert board.calls.count("set_point") == len(NAMES)


def test_an_override_in_the_driver_concerns_that_device_only() -> None:
    contents = json.loads((ROOT / "config").read_text())
    heater = next(each for each in contents["circuits"] if each["id"] == "heater1")
    heater["control_device"] = "site/building/relays"
    contents["leases"] = []
    config = AgentConfig.load(contents, {})

    class Overridden(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            if method == "set_point" and "relays" in args[1]:
                return Failed("RemoteError", "OverrideError: global override is set")
            return super().call(peer, method, *args)

    board: Any = Overridden()
    writes = [
        PointWrite("heater1", "site/building/relays/heater1_contactor", value=False),
        *ALL_OFF[1:],
    ]
    failures = Actuator(board, DeviceRequests(board, config), config, VEN).write(writes)
    assert set(failures) == {"heater1"}
    assert "override" in failures["heater1"].text
    assert failures["heater1"].code is ReasonCode.DRIVER_OVERRIDE
    assert board.points == {"dryer1_contactor": False, "range1_contactor": False}


def test_a_device_that_shows_a_write_late_has_not_failed() -> None:
    contents = json.loads((ROOT / "config").read_text())
    contents["quirks"] = [{"device": CONFIG.panel.device, "settle_sec": 8}]
    config, board = AgentConfig.load(contents, {}), Board(deaf=("heater1_contactor",))
    late: Any = board
    written: dict[str, Any] = {}
    ours = Actuator(
        late, DeviceRequests(late, config), config, VEN, lambda values, ts: written.update(values)
    )
    assert ours.write([HEATER_OFF]) == {}
    assert written == {HEATER_OFF.point: False}


def test_what_is_relinquished_is_reverted_and_not_written() -> None:
    board = Board()
    heater, dryer, range_ = ALL_OFF
    back = replace(heater, value=True, relinquish=True)
    asked: list[tuple[str, Any]] = []

    class Bacnet(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            if method == "revert_point":
                asked.append((method, args[-1]))
                return Answered(None)
            return super().call(peer, method, *args)

    board = Bacnet()
    assert actuation(board).put_back([back, dryer, range_]) == {}
    assert asked == [("revert_point", heater.point)]
    assert board.points == {"dryer1_contactor": False, "range1_contactor": False}


def test_where_a_null_is_refused_what_stood_there_is_written_in_turn() -> None:
    """Nothing else was tried for ever, where the priority array could not be read."""
    back = replace(ALL_OFF[0], value=True, relinquish=True)
    name = back.point.rpartition("/")[2]

    class WithoutSlots(Board):
        is_away = False

        def call(self, peer: str, method: str, *args: Any) -> Answered:
            if method == "health.get_status":
                return Silent()
            if method == "revert_point":
                return Silent() if self.is_away else Failed("RuntimeError", "invalidDataType")
            return super().call(peer, method, *args)

    class Silent(Answered):
        def __init__(self) -> None:
            super().__init__(None)

        def get(self, timeout: float) -> Any:
            raise gevent.Timeout(timeout)

    def tried(ours: Actuator, times: int) -> list[bool]:
        return [ours.put_back([back]) == {} for _ in range(times)]

    board = WithoutSlots()
    ours = actuation(board)
    assert tried(ours, 4) == [False, False, True, True]
    assert board.points == {name: True}

    requests = DeviceRequests(cast(Any, board), CONFIG)
    board.points.clear()
    with_array = Actuator(board, requests, CONFIG, VEN, is_commandable=lambda name: True)
    assert tried(with_array, 6) == [False] * 6, "a slot is not held for ever by a value of ours"
    board.is_away = True
    assert tried(actuation(board), 4) == [False] * 4, "who does not answer has refused nothing"
    assert board.points == {}


def three_units() -> tuple[AgentConfig, list[PointWrite]]:
    """Three devices behind one gateway, with a circuit each."""
    contents = json.loads((ROOT / "config").read_text())
    contents["leases"] = []
    writes = []
    for unit, name in enumerate(NAMES):
        circuit = next(each for each in contents["circuits"] if each["id"] == name)
        circuit["control_device"] = f"site/gateway/unit{unit}"
        writes.append(PointWrite(name, f"site/gateway/unit{unit}/{name}_contactor", value=False))
    return AgentConfig.load(contents, {}), writes


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("site/gateway/unit0", {"heater1"}),
        ("site/gateway/unit[01]", {"heater1", "dryer1"}),
        ("site/gateway/*", set(NAMES)),
        ("site/*", set(NAMES)),
        ("elsewhere/*", set()),
    ],
)
def test_an_override_concerns_what_its_pattern_names(pattern: str, refused: set[str]) -> None:
    """Asked once: what a person has decided is no lost request."""

    class Overridden(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            device = args[0] if peer == "platform.driver" else args[1].rpartition("/")[0]
            if fnmatch(device, pattern):
                self.calls.append(method)
                return Failed("RemoteError", "OverrideError: global override is set")
            if peer == "platform.driver":
                args = ("", f"{args[0]}/{args[1]}", args[2])
            return super().call(peer, method, *args)

    config, writes = three_units()
    board: Any = Overridden()
    requests = DeviceRequests(board, config)
    requests.share_gateways({f"site/gateway/unit{unit}": "gateway:502" for unit in range(3)})
    ours = Actuator(board, requests, config, VEN)
    failures = ours.write(writes)
    assert {name: why.code for name, why in failures.items()} == dict.fromkeys(
        refused, ReasonCode.DRIVER_OVERRIDE
    )
    assert len(board.calls) == len(NAMES)
    back = ours.put_back([replace(write, value=True) for write in writes])
    assert set(back) == refused
    assert board.points == {f"{name}_contactor": True for name in NAMES if name not in refused}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("OverrideError", ReasonCode.DRIVER_OVERRIDE),
        ("LockError", ReasonCode.DEVICE_RESERVED),
    ],
)
def test_what_is_refused_for_all_points_of_a_device_is_said_of_each_and_asked_once(
    kind: str, code: ReasonCode
) -> None:
    class Refusing(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            self.calls.append(method)
            return Failed("RemoteError", f"{kind}: not now")

    board = Refusing()
    failures = actuation(board).write(ALL_OFF)
    assert {name: why.code for name, why in failures.items()} == dict.fromkeys(NAMES, code)
    assert board.calls == ["set_multiple_points"]


POINT = f"{CONFIG.panel.device}/heater1_contactor"
ANSWERS = [{}, None, [], "done", 7, {POINT: "IOError"}, {"heater1_contactor": "IOError"}]
ALIEN = [{"site/elsewhere/point": "IOError"}, {1: None}]
SCRAPES = [{}, None, [1], "soon", {"another_point": 1}]


def test_whatever_the_call_for_several_points_answers_each_point_is_proven() -> None:
    """An error of some, of a point that no one asked for, of none though nothing was written."""
    for answer in ANSWERS + ALIEN:
        for scrape in (True, *SCRAPES):
            for done in (NAMES, NAMES[1:], ()):
                board = Answering(answer, scrape, done)
                assert actuation(board).write(ALL_OFF) == {}, (answer, scrape, done)
                assert board.points == {f"{name}_contactor": False for name in NAMES}


class Answering(Board):
    """Its call for several points answers `answer` and does those of `done`."""

    def __init__(self, answer: Any, scrape: Any, done: tuple[str, ...]) -> None:
        super().__init__()
        self._answer, self._scrape, self._done = answer, scrape, done

    def call(self, peer: str, method: str, *args: Any) -> Answered:
        if method == "scrape_all":
            return Answered(dict(self.points) if self._scrape is True else self._scrape)
        if method != "set_multiple_points":
            return super().call(peer, method, *args)
        for topic, value in args[1]:
            if topic.rpartition("/")[2].removesuffix("_contactor") in self._done:
                self._set(topic, value)
        return Answered(self._answer)


@pytest.mark.parametrize("lost", ["limit", "pause"])
@pytest.mark.parametrize("way", ["write", "put_back"])
def test_a_circuit_of_two_points_has_failed_if_one_of_them_did(way: str, lost: str) -> None:
    """Only the last one counted, where they were written one by one."""

    class Older(Board):
        def call(self, peer: str, method: str, *args: Any) -> Answered:
            if method == "set_multiple_points":
                return Failed("MethodNotFound", method)
            if peer == "platform.driver":
                args = ("", args[1], args[2])
            return super().call(peer, method, *args)

    board = Older(refused={lost: 99})
    device = CONFIG.panel.device
    writes = [PointWrite("ev1", f"{device}/{name}", value=0.0) for name in ("limit", "pause")]
    assert set(getattr(actuation(board), way)(writes)) == {"ev1"}


def test_a_write_that_was_given_up_while_it_waited_for_its_turn_is_not_made_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    goes_on = Event()

    class Hanging:
        def call(self, peer: str, method: str, *args: Any) -> Hanging:
            asked.append(args[1])
            return self

        def get(self, timeout: float) -> Any:
            goes_on.wait()

    requests = DeviceRequests(Hanging(), CONFIG)  # type: ignore[arg-type]
    requests.share_gateways({"site/unit1": "10.0.0.7:502", "site/unit2": "10.0.0.7:502"})
    monkeypatch.setattr(requests, "together_sec", lambda devices: 0.05)
    actuator = Actuator(Hanging(), requests, CONFIG, VEN)  # type: ignore[arg-type]
    writes = [PointWrite(f"circuit{n}", f"site/unit{n}/relay", False) for n in (1, 2)]
    failures = actuator.write(writes)
    assert {why.code for why in failures.values()} == {ReasonCode.NOT_ANSWERED}
    assert set(failures) == {"circuit1", "circuit2"}
    goes_on.set()
    for _ in range(20):
        gevent.sleep(0)  # the turn is free again, and nobody takes it
    assert asked == ["site/unit1/relay"]


def test_a_driver_that_is_the_actuator_is_not_asked_twice_to_put_back() -> None:
    """On 11: who was silent has the write in its queue; what it answered is tried the other way."""

    class SignOfLife:
        def get(self, timeout: float) -> Any:
            return {}

    class Driver:
        def __init__(self, failure: BaseException) -> None:
            self.failure = failure
            self.asked: list[str] = []

        def call(self, peer: str, method: str, *args: Any) -> Any:
            if method == "health.get_status":
                return SignOfLife()
            self.asked.append(method)
            return self

        def get(self, timeout: float) -> Any:
            raise self.failure

    config = reserved_by_driver(CONFIG)
    back = [PointWrite("heater1", f"{CONFIG.panel.device}/heater1_contactor", True)]
    silent, broken = Driver(gevent.Timeout(5.0)), Driver(RemoteError("", exc_type="IOError"))
    for driver in (silent, broken):
        requests = DeviceRequests(driver, config)  # type: ignore[arg-type]
        assert set(Actuator(driver, requests, config, VEN).put_back(back)) == {"heater1"}  # type: ignore[arg-type]
    assert len(silent.asked) == 1
    assert len(broken.asked) > 1


def reserved_by_driver(config: AgentConfig) -> AgentConfig:
    """The same site on 11: the driver reserves."""
    return config.model_copy(update={"actuator_identity": config.driver_identity})


class LockingActuator:
    """Its schedule, and no write without a slot of it: `allow_no_lock_write` is false."""

    def __init__(self) -> None:
        self.tasks: dict[str, tuple[str, set[str]]] = {}
        """By task, whose it is, and its devices."""
        self.points: dict[str, Any] = {}

    def call(self, peer: str, method: str, *args: Any) -> Answered:
        if method == "request_cancel_schedule":
            self.tasks.pop(args[1], None)
            return Answered(SUCCESS)
        if method == "request_new_schedule":
            devices = {slot[0] for slot in args[3]}
            held = {task: [] for task, (_, others) in self.tasks.items() if others & devices}
            if held:
                owner = self.tasks[next(iter(held))][0]
                return Answered({"result": "FAILURE", "data": {owner: held}, "info": CONFLICT})
            self.tasks[args[1]] = args[0], devices
            return Answered(SUCCESS)
        topic = args[1]
        device = topic.rpartition("/")[0]
        if not any(owner == VEN and device in held for owner, held in self.tasks.values()):
            return Failed("LockError", f"caller ({VEN}) does not have this lock")
        self.points[topic] = args[2]
        return Answered(args[2])


@pytest.mark.parametrize("holder", [None, "other.agent"])
@pytest.mark.parametrize("way", ["put_back", "write"])
def test_a_device_edited_away_in_mid_event_is_given_back_under_a_reservation_of_its_own(
    way: str, holder: str | None
) -> None:
    """No task of ours has it any more, once the event reserved anew or is over. Another agent's
    reservation is not passed."""
    actuator = LockingActuator()
    if holder is not None:
        actuator.tasks["theirs"] = holder, {"site/old"}
    back = PointWrite("heater1", "site/old/heater1_contactor", True)
    ours = actuation(actuator)
    assert ours.reserve("modified", until_ts=300.0, now=150.0) is None
    tasks = dict(actuator.tasks)
    failures = getattr(ours, way)([back])
    assert actuator.tasks == tasks
    if holder is None:
        assert (failures, actuator.points) == ({}, {back.point: True})
    else:
        assert failures["heater1"].code is ReasonCode.DEVICE_RESERVED
        assert actuator.points == {}
