"""What volttron_compat.py must do on every generation of VOLTTRON. `python checks.py` runs them
on the generation that this Python finds, and prints what each came to as JSON.

It needs no test runner: the Python of another generation has none. Nothing of VOLTTRON is imported
before `main`.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[3]
api: Any = None
original_from_errno: Any = None
"""VIPError.from_errno as the generation ships it, before the repair."""
original_vip_main: Any = None


def first_importable(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(f"none of {names}")


def errors_module() -> Any:
    return first_importable(
        "volttron.platform.vip.agent.errors", "volttron.client.vip.agent.errors"
    )


def raises(call: Callable[[], Any]) -> BaseException | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001
        return error
    return None


# ---- what is imported ---------------------------------------------------------------------------


def check_generation() -> None:
    expected = int(os.environ["FACE_GENERATION"])
    assert expected == api.GENERATION


def check_volttron_is_the_one_of_this_face() -> None:
    standing_in = os.environ["FACE_STANDS_IN"] == "yes"
    where = str(Path(errors_module().__file__))
    assert (str(Path(__file__).parent) in where) == standing_in, where


def check_every_name_is_there() -> None:
    for name in api.__all__:
        assert getattr(api, name, None) is not None, name
    assert {"Agent", "Core", "RPC", "PubSub", "run_volttron_compat_agent"} <= set(api.__all__)
    assert (api.STATUS_GOOD, api.STATUS_BAD, api.STATUS_STARTING) == ("GOOD", "BAD", "STARTING")
    for name in ("Agent", "Core", "RPC", "PubSub"):
        assert inspect.isclass(getattr(api, name)), name
    for name in ("load_config", "setup_logging", "format_timestamp", "get_aware_utc_now"):
        assert inspect.isfunction(getattr(api, name)), name


def check_an_alert_goes_into_volttron_s_health_system() -> None:
    sent: list[tuple[str, Any]] = []
    agent: Any = SimpleNamespace(
        vip=SimpleNamespace(health=SimpleNamespace(send_alert=lambda *alert: sent.append(alert)))
    )
    api.raise_volttron_compat_alert(agent, "meter.stale", "old", is_over=False)
    api.raise_volttron_compat_alert(agent, "meter.stale", "over: old", is_over=True)
    assert [(key, status.status, status.context) for key, status in sent] == [
        ("meter.stale", "BAD", "old"),
        ("meter.stale", "GOOD", "over: old"),
    ]


def check_what_an_rpc_can_end_in_can_be_caught() -> None:
    import gevent

    assert issubclass(api.Unreachable, api.VIPError)
    for kind in (api.RemoteError, api.VIPError, api.Unreachable, gevent.Timeout):
        assert issubclass(kind, api.RPC_FAILURES), kind
    assert not issubclass(KeyboardInterrupt, api.RPC_FAILURES)
    assert not issubclass(ValueError, api.RPC_FAILURES)


def check_times() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 60, timezone.utc)
    assert datetime.fromisoformat(api.format_timestamp(moment)) == moment
    now = api.get_aware_utc_now()
    assert abs((now - datetime.now(timezone.utc)).total_seconds()) < 5


def check_a_configuration_file_is_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config"
        path.write_text('{"ven_id": "a", "list": [1, 2.5, null, true]}')
        assert api.load_config(str(path)) == {"ven_id": "a", "list": [1, 2.5, None, True]}


# ---- error numbers ------------------------------------------------------------------------------

UNREACHABLE = ["113", "Errno.EHOSTUNREACH", "EHOSTUNREACH", 113, b"113", b"Errno.EHOSTUNREACH"]
NONSENSE = [
    "nonsense",
    "",
    "--5",
    "Errno.",
    "Errno.NOTHING",
    "__doc__",
    "1.5",
    "²",
    None,
    [],
    b"\xff\xfe",
]


def check_the_shipped_from_errno_needs_the_repair() -> None:
    """Else the next checks would say nothing of the repair."""
    fails_on = "Errno.EHOSTUNREACH" if api.GENERATION == 9 else "113"
    error = raises(lambda: original_from_errno(api.VIPError, fails_on, "text", "peer", "RPC"))
    assert isinstance(error, (AttributeError, ValueError)), error


def check_an_unreachable_peer_is_known_in_every_spelling() -> None:
    for spelling in UNREACHABLE:
        error = api.VIPError.from_errno(spelling, "no route", "a.peer", "RPC")
        assert type(error) is api.Unreachable, (spelling, error)
        assert (error.errno, error.msg, error.peer) == (113, "no route", "a.peer"), spelling
        assert error.subsystem == "RPC", spelling
        assert str(error), spelling


def check_another_number_is_an_error_of_its_own() -> None:
    again = errno.EAGAIN
    for spelling in (again, str(again), "Errno.EAGAIN", b"EAGAIN"):
        error = api.VIPError.from_errno(spelling, "busy", "a.peer", "RPC")
        assert isinstance(error, api.VIPError), spelling
        assert not isinstance(error, api.Unreachable), spelling
        assert (error.errno, error.msg, error.peer) == (again, "busy", "a.peer"), spelling
    for spelling in (-32001, "-32001", "98765"):
        error = api.VIPError.from_errno(spelling, "odd", "a.peer", "RPC")
        assert isinstance(error, api.VIPError), spelling
        assert error.errno == int(spelling), spelling


def check_nonsense_is_an_error_and_no_accident() -> None:
    for spelling in NONSENSE:
        error = api.VIPError.from_errno(spelling, "text", "a.peer", "RPC")
        assert isinstance(error, api.VIPError), spelling
        assert not isinstance(error, api.Unreachable), spelling
        assert (error.msg, error.peer, error.subsystem) == ("text", "a.peer", "RPC"), spelling
        assert str(error), spelling


# ---- what a person is told ----------------------------------------------------------------------


def check_failures_are_described() -> None:
    import gevent

    def described(failure: BaseException) -> str:
        text: str = api.volttron_compat_failure_text(failure)
        assert "\n" not in text
        return text

    assert described(gevent.Timeout(5)) == "no answer within 5 s"
    assert described(gevent.Timeout(0.25)) == "no answer within 0.25 s"
    assert described(gevent.Timeout()) == "no answer in time"
    gone = api.VIPError.from_errno("113", "No route to host", "platform.actuator", "RPC")
    assert described(gone) == "platform.actuator is not running"
    lock = api.RemoteError(
        "held", exc_type="actuator.agent.LockError", exc_args=["caller does not have this lock"]
    )
    assert described(lock) == "another agent has it reserved: caller does not have this lock"
    inner = "builtins.OSError('no response from 127.0.0.1')"
    wrapped = api.RemoteError(
        "unhandled", exc_type="volttron.utils.jsonrpc.RemoteError", exc_args=[inner]
    )
    assert described(wrapped) == "no response from 127.0.0.1"
    lost = api.RemoteError(
        "m",
        exc_type="builtins.AttributeError",
        exc_args=["'ModbusIOException' object has no attribute 'value'"],
    )
    assert described(lost) == "the device gave no answer"
    override = api.RemoteError(
        "m",
        exc_type="volttron.utils.jsonrpc.RemoteError",
        exc_args=["platform_driver.agent.OverrideError('global override is set')"],
    )
    assert described(override) == (
        "an override is set in the platform driver: global override is set"
    )
    two = api.RemoteError("m", exc_type="builtins.ValueError", exc_args=["a", 2])
    assert described(two) == "a; 2"
    bare = api.RemoteError("went wrong", exc_type="builtins.KeyError", exc_args=[])
    assert described(bare).startswith("it is not known there")
    no_arguments = api.RemoteError("went wrong", exc_type="builtins.KeyError")
    assert described(no_arguments).startswith("it is not known there")
    assert "went wrong" in described(no_arguments)
    busy = api.VIPError.from_errno("11", "busy", "a.peer", "RPC")
    assert "busy" in described(busy)
    jsonrpc = first_importable("volttron.platform.jsonrpc", "volttron.utils.jsonrpc")
    no_method = jsonrpc.Error(-32601, "Method not found", {"detail": "no method 'x' here"})
    assert described(no_method) == "no method 'x' here"
    assert described(RuntimeError()) == "it failed and did not say why"


# ---- starting -----------------------------------------------------------------------------------


def check_the_agent_is_started_as_the_generation_wants_it() -> None:
    started: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def vip_main(*args: Any, **kwargs: Any) -> None:
        inspect.signature(original_vip_main).bind(*args, **kwargs)
        started.append((args, kwargs))

    class SomeAgent(api.Agent):  # type: ignore[misc]
        pass

    api.vip_main = vip_main
    try:
        api.run_volttron_compat_agent(SomeAgent, "ven.agent", "1.2.3")
    finally:
        api.vip_main = original_vip_main
    named = {"version": "1.2.3"}
    if api.GENERATION < 11:  # 11 would hand an identity on to the agent, which takes none
        named["identity"] = "ven.agent"
    assert started == [((SomeAgent,), named)], started


def check_the_heartbeat_is_asked_for_where_it_does_not_start_by_itself() -> None:
    beats: list[str] = []
    heartbeat = SimpleNamespace(start=lambda: beats.append("start"))
    api.ensure_volttron_compat_heartbeat(SimpleNamespace(vip=SimpleNamespace(heartbeat=heartbeat)))
    assert beats == (["start"] if api.GENERATION == 11 else []), beats


# ---- calls --------------------------------------------------------------------------------------


class Router:
    """The agent's side of the router: calls go out and stay open, errors come in."""

    def __init__(self) -> None:
        from gevent.event import AsyncResult

        dispatch = first_importable(
            "volttron.platform.vip.agent.dispatch", "volttron.client.vip.agent.dispatch"
        )
        self.sent: list[tuple[Any, ...]] = []
        self.core = SimpleNamespace(onviperror=dispatch.Signal())

        def call(*args: Any) -> Any:
            self.sent.append(args)
            return AsyncResult()

        self.vip = SimpleNamespace(rpc=SimpleNamespace(call=call))

    def tell_error(self, number: str, peer: str) -> None:
        args = (number, "No route to host", peer, "RPC")
        if hasattr(api.Core, "handle_error"):  # VOLTTRON's own way to the signal
            api.Core.handle_error(self.core, SimpleNamespace(args=args, id="garbled", peer=""))
        else:
            error = api.VIPError.from_errno(*args)
            self.core.onviperror.send(self.core, error=error, message=None)


def ended_in(result: Any) -> BaseException | None:
    """What the call has ended in; None while it is open. Never waits."""
    return result.exception if result.ready() else None


def check_a_call_goes_out_as_it_is_and_its_answer_comes_back() -> None:
    router = Router()
    result = api.VolttronCompatCalls(router).call("a.peer", "method", 1, "two", [3])
    assert router.sent == [("a.peer", "method", 1, "two", [3])]
    result.set("answer")
    assert result.get(timeout=1) == "answer"


def check_calls_to_an_absent_peer_fail_at_once_and_others_stay_open() -> None:
    router = Router()
    calls = api.VolttronCompatCalls(router)
    other = calls.call("present", "one")
    first, second = calls.call("absent", "one"), calls.call("absent", "two")
    router.tell_error("113", "absent")
    for result in (first, second):
        error = ended_in(result)
        assert isinstance(error, api.Unreachable), error
        assert api.volttron_compat_failure_text(error) == "absent is not running"
        assert isinstance(raises(lambda result=result: result.get(timeout=0)), api.Unreachable)
    assert not other.ready()
    other.set("fine")
    assert other.get(timeout=1) == "fine"


def check_an_error_ends_only_what_is_open() -> None:
    router = Router()
    calls = api.VolttronCompatCalls(router)
    answered = calls.call("absent", "before")
    answered.set("in time")
    router.tell_error("113", "absent")
    router.tell_error("113", "absent")
    router.tell_error("113", "never.called")
    assert answered.get(timeout=1) == "in time"
    assert answered.exception is None
    later = calls.call("absent", "later")
    assert not later.ready()
    router.tell_error("113", "absent")
    assert isinstance(ended_in(later), api.Unreachable)


def check_another_error_ends_no_call() -> None:
    router = Router()
    result = api.VolttronCompatCalls(router).call("a.peer", "method")
    router.tell_error(str(errno.EAGAIN), "a.peer")
    router.tell_error("nonsense", "a.peer")
    assert not result.ready()


def check_a_call_that_nobody_waits_for_is_forgotten() -> None:
    """The agent makes calls for years; those that are over must not pile up."""
    import gc

    router = Router()
    calls = api.VolttronCompatCalls(router)
    kept = calls.call("a.peer", "kept")
    for _ in range(100):
        calls.call("a.peer", "method")
    gc.collect()
    assert len(calls._open["a.peer"]) == 1
    router.tell_error("113", "a.peer")
    assert isinstance(ended_in(kept), api.Unreachable)


# ---- where the data is kept ---------------------------------------------------------------------


@contextmanager
def running_in(path: Path, **variables: str) -> Iterator[None]:
    here, before = Path.cwd(), dict(os.environ)
    path.mkdir(parents=True, exist_ok=True)
    os.chdir(path)
    os.environ.pop("_LAUNCHED_BY_PLATFORM", None)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def check_the_data_folder() -> None:
    agent = SimpleNamespace(core=SimpleNamespace(identity="ven.agent"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        home = {"VOLTTRON_HOME": str(root / "home")}
        launched = {**home, "_LAUNCHED_BY_PLATFORM": "1"}

        # 10 and 11: the agent's own folder, which keeps data/
        (root / "ten" / "data").mkdir(parents=True)
        (root / "ten" / "x.agent-data").mkdir()
        with running_in(root / "ten", **launched):
            assert api.volttron_compat_data_dir(agent) == root / "ten" / "data"

        # 9: in <name>.agent-data, or beside it
        inside = root / "nine" / "venagent-1.0.agent-data"
        with running_in(inside, **launched):
            assert api.volttron_compat_data_dir(agent) == inside
        with running_in(root / "nine", **launched):
            assert api.volttron_compat_data_dir(agent) == inside

        # without a platform, and where no folder is kept: below VOLTTRON_HOME, by identity
        below_home = root / "home" / "agent-data" / "ven.agent"
        assert not below_home.exists()
        with running_in(root / "ten", **home):
            assert api.volttron_compat_data_dir(agent) == below_home
        assert below_home.is_dir()
        with running_in(root / "empty", **launched):
            assert api.volttron_compat_data_dir(agent) == below_home  # again: it is there already
        (root / "odd").mkdir()
        (root / "odd" / "data").write_text("a file")
        with running_in(root / "odd", **launched):
            assert api.volttron_compat_data_dir(agent) == below_home
        with running_in(root / "empty", VOLTTRON_HOME="~/vh", HOME=str(root / "user")):
            expected = root / "user" / "vh" / "agent-data" / "ven.agent"
            assert api.volttron_compat_data_dir(agent) == expected
            assert expected.is_dir()


# ---- what driver and actuator answer ------------------------------------------------------------

RECORDED = json.loads((Path(__file__).parent / "answers.json").read_text())
"""Answers of the real agents, by generation: tests/platform11 compares them with a real 11; those
of a real 10 were compared by hand on 2026-11-30. In 9 they were read in the source of 9.0.4, whose
agents are the same in these."""


def check_answers_to_a_reservation_are_read_in_the_shape_of_every_generation() -> None:
    for answers in RECORDED.values():
        reserved = api.volttron_compat_schedule_outcome(answers["reserved"])
        assert (reserved["result"], reserved["info"]) == ("SUCCESS", "")
        conflict = api.volttron_compat_schedule_outcome(answers["conflict"])
        assert conflict["result"] == "FAILURE"
        assert conflict["info"].startswith("CONFLICTS_WITH_EXISTING_")
        assert list(conflict["data"]) == ["other.agent"]
        unknown = api.volttron_compat_schedule_outcome(answers["cancel_unknown"])
        assert (unknown["result"], unknown["info"]) == ("FAILURE", "TASK_ID_DOES_NOT_EXIST")
    for nonsense in (None, True, "SUCCESS", [], [1, {}, ""], [True, {}]):
        assert api.volttron_compat_schedule_outcome(nonsense) is None, nonsense


def check_points_of_a_device_have_their_own_names_on_every_generation() -> None:
    expected = {"total_kw": 22.6, "ev1_contactor": True, "ev1_limit": 100}
    for answers in RECORDED.values():
        points = api.volttron_compat_device_points("site/building/panel", answers["scrape_all"])
        assert points == expected
    assert api.volttron_compat_device_points("site/building/panel", None) is None
    assert api.volttron_compat_device_points("site/building/panel", [expected]) is None


def check_the_driver_reserves_where_there_is_no_actuator() -> None:
    eleven = api.GENERATION == 11
    assert ("platform.driver" if eleven else "platform.actuator") == api.ACTUATOR_IDENTITY


class Recorded:
    """A peer that answers each call as it was recorded."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def call(self, peer: str, method: str, *args: Any) -> Any:
        from gevent.event import AsyncResult

        result = AsyncResult()
        result.set(self._answers[method])
        return result


def check_an_entry_of_the_config_store_and_the_peers_are_read() -> None:
    from VenAgent.site.driver_entries import driver_entries

    for generation, answers in RECORDED.items():
        device = "site/building/panel"
        entry = driver_entries(Recorded(answers), "platform.driver", [device]).entries[device]
        assert (entry.driver_type, entry.gateway) == ("modbus", "127.0.0.1:5020")
        assert (entry.registry, entry.interval_sec) == ("simulated_panel.csv", 5.0)
        assert "platform.driver" in answers["peerlist"]
        assert ("platform.actuator" in answers["peerlist"]) == (generation != "11")


def check_a_write_is_confirmed_by_the_recorded_answer() -> None:
    from VenAgent.config import AgentConfig
    from VenAgent.dr.point_write import PointWrite
    from VenAgent.site.actuator import Actuator
    from VenAgent.site.device_requests import DeviceRequests

    config = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
    point = "site/building/panel/ev1_"
    for answers in RECORDED.values():
        calls = Recorded(answers)
        actuator = Actuator(calls, DeviceRequests(calls, config), config, "ven.agent")
        limit = PointWrite("ev1", f"{point}limit", 100.0)
        contactor = PointWrite("ev1_contactor", f"{point}contactor", True)
        assert actuator.write([limit]) == {}
        assert actuator.write([limit, contactor]) == {}  # in one call, proven by a reading
        assert actuator.put_back([replace(limit, relinquish=True)]) == {}
        (failure,) = actuator.write([replace(limit, value=50.0)]).values()
        assert "answered 100, not 50" in failure.text


CHECKS: dict[str, Callable[[], None]] = {
    name.removeprefix("check_"): value
    for name, value in list(globals().items())
    if name.startswith("check_")
}


def shipped_since_10(cls: Any, errnum: Any, msg: str, *args: Any) -> Any:
    """As VOLTTRON 10 and 11 ship it; environments of this project have it mended."""
    module = errors_module()
    number = getattr(errno, errnum.split(".")[-1])
    kinds = {errno.EHOSTUNREACH: module.Unreachable, errno.EAGAIN: module.Again}
    return kinds.get(number, cls)(number, msg, *args)


def main() -> None:
    global api, original_from_errno, original_vip_main
    error_class = errors_module().VIPError
    if os.environ["FACE_GENERATION"] in ("10", "11"):
        error_class.from_errno = classmethod(shipped_since_10)
    original_from_errno = error_class.from_errno.__func__
    api = importlib.import_module("VenAgent.volttron_compat")
    original_vip_main = api.vip_main
    outcome: dict[str, str | None] = {}
    for name, check in CHECKS.items():
        try:
            check()
            outcome[name] = None
        except BaseException:  # noqa: BLE001
            outcome[name] = traceback.format_exc()
    sys.__stdout__.write(json.dumps(outcome) + "\n")


if __name__ == "__main__":
    main()
