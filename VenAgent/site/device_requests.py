"""Requests about devices: in parallel, each within what its device has shown that it needs.

Devices behind one gateway are asked one after the other, since many gateways take one connection;
writes go before readings that wait. A driver that queues requests by itself, as that of VOLTTRON 11
does, gets writes at once: each would wait for all of its polls, one after the other.
A request that fails alone is made again at once: on a bus one in ten may be lost. The driver does
one thing at a time and stands still while it waits for a lost answer, so an answer may have to wait
for another device's loss and then be lost itself: a device that answered the last time is waited
for twice, if the driver gives a sign of life meanwhile. It does between two that are lost; one that
hangs does not. A device that is slow is given more time from then on, as its late answer shows;
`answer_within_sec` of its quirks says it beforehand.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any, TypeVar

import gevent

from VenAgent.config import AgentConfig
from VenAgent.contract.reasons import ReasonCode
from VenAgent.site.gateway_turns import GatewayTurns
from VenAgent.volttron_compat import (
    DRIVER_QUEUES,
    RPC_FAILURES,
    RemoteError,
    Unreachable,
    VolttronCompatCalls,
    volttron_compat_failure_text,
)

TRIES = 3
TRIES_OF_FAILING = 2
"""Of a device whose last request failed too: it keeps all others waiting."""
WAITS = 2
"""So often an answer is waited for, of a device that answered the last time."""
LATE_SEC = 1.0
"""After so long who is asked is asked for a sign of life too."""
READ_ALL = "scrape_all"
"""An RPC whose answer has a value for each point that could be read."""
WRITES = frozenset(("set_point", "set_multiple_points", "revert_point", "revert"))
"""RPCs that change the device."""
NOTHING_READ = "NothingRead"
"""The kind of a failure because the driver answered without a single value: driver 2 keeps its own
errors to itself, and answers so after its own time limit too."""
SIGN_OF_LIFE = "health.get_status"
"""An RPC that every agent answers by itself, whatever its devices do."""
ANSWERS_KEPT = 5
ENOUGH_ANSWERS = 3
TIMES_SLOWEST = 2.0
"""A device may take so many times its slowest answer of late."""
LONGEST_SEC = 60.0
"""So long a late answer is waited for, to learn from it; no device is given more."""
TOGETHER_SEC = 30.0
"""So long all requests of one reading or one writing may take at least, with their turns behind a
gateway: whoever sent the command is answered then."""
TOGETHER_MOST_SEC = 120.0
"""More is not learnt: `answer_within_sec` of the devices' quirks says it."""
SLOW_SEC = 1.0
"""A device that takes longer to answer is slow: what it has published serves a plan."""
ABSENT = "Unreachable"
"""The kind of a failure because the agent that was asked does not run."""
LOCKED = ("LockError", "ReservationLockError")
"""Another agent has the device reserved."""
FINAL = (*LOCKED, "OverrideError")
"""What another agent or a person has decided: to ask again at once changes nothing."""

T = TypeVar("T")


class DeviceRequestFailure(Exception):
    """Why a request failed, for a person. `kind`: the remote's exception, if it was one."""

    def __init__(self, text: str, kind: str = "", *, is_silence: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.is_silence = is_silence
        """There was no answer in time."""

    @property
    def is_locked(self) -> bool:
        """Whether another agent has the device reserved."""
        return self.kind in LOCKED

    @property
    def reason_code(self) -> ReasonCode:
        """Of a write that failed so."""
        if self.is_locked:
            return ReasonCode.DEVICE_RESERVED
        if self.kind in FINAL:
            return ReasonCode.DRIVER_OVERRIDE
        is_silent = self.is_silence or self.kind == ABSENT
        return ReasonCode.NOT_ANSWERED if is_silent else ReasonCode.WRITE_FAILED

    @property
    def may_be_alone(self) -> bool:
        """Whether it was answered that the request failed, and the next one may succeed."""
        return bool(self.kind) and self.kind not in (*FINAL, ABSENT)


class DeviceRequests:
    """Of one agent's greenlets to driver and actuator, about the panel's devices."""

    def __init__(
        self,
        calls: VolttronCompatCalls,
        config: AgentConfig,
        polled_too_fast: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """`polled_too_fast`: the devices whose answers wait for polls of the driver."""
        self._calls = calls
        self._polled_too_fast = polled_too_fast
        self._readings_sec = _answer_times()
        """By device: how long its last readings took."""
        self._writes_sec = _answer_times()
        """The same of its writes, which take less: many of them say nothing of a reading."""
        self._failing: set[str] = set()
        """The devices whose last request failed."""
        self._fruitless_sec: dict[str, float] = {}
        """By device whose last reading had no value: how long the driver took to say so."""
        self._gateways: dict[str, GatewayTurns] = {}
        self._shared: Mapping[str, str] = {}
        self._driver_queues = False
        self.reconfigure(config)

    def reconfigure(self, config: AgentConfig) -> None:
        """A new configuration; what is known of the devices' speed stays known."""
        self._config = config

    def share_gateways(
        self, gateways: Mapping[str, str], *, driver_queues: bool = DRIVER_QUEUES
    ) -> None:
        """`gateways`: by device, what it is behind (host:port). Who is behind one waits for it.
        `driver_queues`: the driver asks one after the other by itself."""
        self._driver_queues = driver_queues
        if gateways == self._shared:
            return  # who waits for its turn keeps it
        self._shared = dict(gateways)
        behind: defaultdict[str, list[str]] = defaultdict(list)
        for device, gateway in gateways.items():
            behind[gateway].append(device)
        self._gateways = {}
        for devices in behind.values():
            if len(devices) > 1:
                self._gateways.update(dict.fromkeys(devices, GatewayTurns()))

    def slowest_sec(self, device: str) -> float:
        """Its slowest answer of late, but for one that may have been slow by chance; 0 before the
        first."""
        return max(_slowest_sec(each.get(device, ())) for each in self._kinds)

    def last_reading_sec(self, device: str) -> float | None:
        """How long its last reading took; None before the first."""
        known = self._readings_sec.get(device)
        return known[-1] if known else None

    @property
    def _kinds(self) -> tuple[Mapping[str, deque[float]], ...]:
        return self._readings_sec, self._writes_sec

    def _learnt(self, device: str, method: str, answer_sec: float) -> None:
        if method in WRITES:
            self._writes_sec[device].append(answer_sec)
            return
        self._readings_sec[device].append(answer_sec)
        if method == READ_ALL:
            self._fruitless_sec.pop(device, None)

    def fruitless_sec(self, device: str) -> float | None:
        """How long its last reading took to end without a value; None if it had one."""
        return self._fruitless_sec.get(device)

    def is_failing(self, device: str) -> bool:
        """Whether its last request failed."""
        return device in self._failing

    def is_slow(self, device: str) -> bool:
        """Of a device that has only been written to, as far as that shows it."""
        known = self._readings_sec.get(device) or self._writes_sec.get(device)
        return bool(known) and median(known or ()) > SLOW_SEC

    def answers_of(self, device: str) -> dict[str, float | bool | None]:
        """How long its answers took of late, how long one is waited for (s), and whether it failed
        to answer the last time."""
        known = self._readings_sec.get(device) or self._writes_sec.get(device)
        return {
            "answer_sec": round(median(known), 3) if known else None,
            "slowest_answer_sec": round(max(known), 3) if known else None,
            "waited_for_sec": round(self.limit_sec(device), 3),
            "failing": device in self._failing,
        }

    def limit_sec(self, device: str) -> float:
        """How long an answer of it is waited for."""
        said_sec = self._said_sec(device)
        if said_sec is not None:
            return said_sec
        learnt_sec = TIMES_SLOWEST * self.slowest_sec(device)
        return min(max(self._config.event.write_timeout_sec, learnt_sec), LONGEST_SEC)

    def together_sec(self, devices: Iterable[str]) -> float:
        """How long the answers of all of these are waited for, whatever the driver does: as long as
        they have shown that they need, one after the other, `TOGETHER_SEC` at least and
        `TOGETHER_MOST_SEC` at most; longer only for what their quirks say. That a device waits for
        polls of the driver is no need of its own: who sent the command is not kept waiting for it.
        """
        devices = list(devices)
        waiting = self._polled_too_fast()
        said_sec = [said for said in map(self._said_sec, devices) if said is not None]
        others = [d for d in devices if self._said_sec(d) is None and d not in waiting]
        shown_sec = [shown for shown in map(self.slowest_sec, others) if shown]
        # who has shown nothing yet is taken for one like the slowest of the others
        unknown_sec = max(shown_sec, default=0.0) * (len(others) - len(shown_sec))
        learnt_sec = min(TIMES_SLOWEST * (sum(shown_sec) + unknown_sec), TOGETHER_MOST_SEC)
        own_sec = (self.limit_sec(device) for device in devices if device not in waiting)
        return max([TOGETHER_SEC, sum(said_sec) + learnt_sec, *own_sec])

    def _said_sec(self, device: str) -> float | None:
        return self._config.quirks_of(device).answer_within_sec

    def ask(self, device: str, peer: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """The answer of `peer` to a call about `device`. Raises DeviceRequestFailure."""
        with self._turn(device, is_write=method in WRITES):
            tries = TRIES_OF_FAILING if device in self._failing else TRIES
            for number in range(1, tries + 1):
                try:
                    answer = self._ask(device, peer, method, *args, **kwargs)
                except DeviceRequestFailure as failure:
                    # Only what answered that it failed is asked again: who is silent stays so.
                    if number == tries or not failure.may_be_alone:
                        self._failing.add(device)
                        raise
                else:
                    self._failing.discard(device)
                    return answer
        raise AssertionError("unreachable")

    def _turn(self, device: str, *, is_write: bool) -> AbstractContextManager[None]:
        gateway = self._gateways.get(device)
        if gateway is None or (is_write and self._driver_queues):
            return nullcontext()
        return gateway.turn(is_write=is_write)

    def _ask(self, device: str, peer: str, method: str, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        call = self._calls.call(peer, method, *args, **kwargs)
        try:
            answer = self._wait_for(call, device, peer)
        except gevent.Timeout as silence:
            gevent.spawn(self._learn, device, method, call, began)
            text = f"no answer within {silence.seconds:g} s"
            raise DeviceRequestFailure(text, is_silence=True) from None
        except RPC_FAILURES as failure:
            raise DeviceRequestFailure(
                volttron_compat_failure_text(failure), request_failure_kind(failure)
            ) from None
        if _is_nothing_read(method, answer):
            self._fruitless_sec[device] = time.monotonic() - began
            text = f"{peer} could read none of its points (its log says why)"
            raise DeviceRequestFailure(text, NOTHING_READ)
        self._learnt(device, method, time.monotonic() - began)
        return answer

    def _wait_for(self, call: Any, device: str, peer: str) -> Any:
        """Raises as the call's `get`; gevent.Timeout with how long it was waited for."""
        limit_sec = self.limit_sec(device)
        if device in self._failing or self._said_sec(device) is not None:
            return call.get(timeout=limit_sec)
        late_sec = min(LATE_SEC, limit_sec / WAITS)
        try:
            return call.get(timeout=late_sec)
        except gevent.Timeout:
            peers = dict.fromkeys((self._config.driver_identity, peer))
            signs = [self._calls.call(each, SIGN_OF_LIFE) for each in peers]
        try:
            return call.get(timeout=limit_sec - late_sec)
        except gevent.Timeout:
            most_sec = WAITS * limit_sec if all(map(_has_come, signs)) else self._slowest_limit_sec
            most_sec = min(most_sec, LONGEST_SEC)
        try:
            return call.get(timeout=max(0.0, most_sec - limit_sec))
        except gevent.Timeout:
            raise gevent.Timeout(max(most_sec, limit_sec)) from None

    @property
    def _slowest_limit_sec(self) -> float:
        """Of all devices: the driver may be busy with another one, and answer nothing."""
        known = {device for kind in self._kinds for device in kind}
        return max(map(self.limit_sec, known), default=0.0)

    def _learn(self, device: str, method: str, call: Any, began: float) -> None:
        """How long it would have taken."""
        try:
            answer = call.get(timeout=max(0.001, began + LONGEST_SEC - time.monotonic()))
        except RPC_FAILURES:
            return
        if _is_nothing_read(method, answer):
            return
        self._learnt(device, method, time.monotonic() - began)
        self._failing.discard(device)  # it is slow, and not silent


def request_by_device(
    devices: Iterable[str],
    work: Callable[[str], T],
    within_sec: float | None = None,
    late: Callable[[str], T] | None = None,
) -> dict[str, T]:
    """`work` for each device, in a greenlet of its own; returns when all are done. An error in one
    is raised here. With `within_sec`, who is not done by then is given up: `late` says what
    stands for it."""
    greenlets = {device: gevent.spawn(work, device) for device in devices}
    if within_sec is None or late is None:
        return {device: greenlet.get() for device, greenlet in greenlets.items()}
    gevent.joinall(list(greenlets.values()), timeout=within_sec)
    undone = [device for device, greenlet in greenlets.items() if not greenlet.ready()]
    gevent.killall([greenlets[device] for device in undone])
    return {
        device: late(device) if device in undone else greenlet.get()
        for device, greenlet in greenlets.items()
    }


def _answer_times() -> defaultdict[str, deque[float]]:
    return defaultdict(lambda: deque(maxlen=ANSWERS_KEPT))


def _slowest_sec(answers_sec: Iterable[float]) -> float:
    known = sorted(answers_sec, reverse=True)
    if len(known) >= ENOUGH_ANSWERS:
        return known[1]
    return known[0] if known else 0.0


def _is_nothing_read(method: str, answer: Any) -> bool:
    """Whether it is the answer of a driver that could read no point: it says nothing of how long
    the device takes."""
    return method == READ_ALL and isinstance(answer, Mapping) and not answer


def _has_come(sign: Any) -> bool:
    """Whether a call has been answered; it is not waited for."""
    try:
        sign.get(timeout=0.0)
    except RPC_FAILURES:
        return False
    return True


def request_failure_kind(failure: BaseException) -> str:
    """The name of the remote's exception, ABSENT, or nothing."""
    if isinstance(failure, Unreachable):
        return ABSENT
    if not isinstance(failure, RemoteError):
        return ""
    info = getattr(failure, "exc_info", None) or {}
    inner = " ".join(str(each) for each in info.get("exc_args") or ())
    kind = str(info.get("exc_type", "")).rsplit(".", 1)[-1]
    # The driver's own errors reach us wrapped in the actuator's.
    return next((name for name in FINAL if name in inner), kind or "RemoteError")
