"""One face for VOLTTRON 9, 10 and 11: the only file of VenAgent that imports `volttron`.

The three generations name the same things differently. Everything else in this package takes
them from here, so that a new generation is a change of one file.

- 11 has Agent, Core, RPC, … in `volttron.client`, the rest in `volttron.utils`.
- 10 has them in `volttron.client.vip.agent`, the rest in `volttron.utils`.
- 9 has them in `volttron.platform.vip.agent`, the rest in `volttron.platform.agent.utils`.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import weakref
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent

try:  # 11 is the only generation whose volttron.client is a package with names of its own
    from volttron.client import RPC, Agent, Core, PubSub, setup_logging
    from volttron.client.messaging.health import STATUS_BAD, STATUS_GOOD, STATUS_STARTING, Status
    from volttron.client.vip.agent.errors import Unreachable, VIPError
    from volttron.utils import format_timestamp, get_aware_utc_now, load_config, vip_main
    from volttron.utils.jsonrpc import Error, RemoteError

    GENERATION = 11
except ImportError:
    try:
        from volttron.client.messaging.health import (
            STATUS_BAD,
            STATUS_GOOD,
            STATUS_STARTING,
            Status,
        )
        from volttron.client.vip.agent import RPC, Agent, Core, PubSub
        from volttron.client.vip.agent.errors import Unreachable, VIPError
        from volttron.utils import (
            format_timestamp,
            get_aware_utc_now,
            load_config,
            setup_logging,
            vip_main,
        )
        from volttron.utils.jsonrpc import Error, RemoteError

        GENERATION = 10
    except ImportError:
        from volttron.platform.agent.utils import (
            format_timestamp,
            get_aware_utc_now,
            load_config,
            setup_logging,
            vip_main,
        )
        from volttron.platform.jsonrpc import Error, RemoteError
        from volttron.platform.messaging.health import (
            STATUS_BAD,
            STATUS_GOOD,
            STATUS_STARTING,
            Status,
        )
        from volttron.platform.vip.agent import RPC, Agent, Core, PubSub
        from volttron.platform.vip.agent.errors import Unreachable, VIPError

        GENERATION = 9

__all__ = [
    "ACTUATOR_IDENTITY",
    "CONFIG_STORE",
    "DRIVER_QUEUES",
    "GENERATION",
    "RPC",
    "RPC_FAILURES",
    "STATUS_BAD",
    "STATUS_GOOD",
    "STATUS_STARTING",
    "Agent",
    "Core",
    "PubSub",
    "RemoteError",
    "Unreachable",
    "VIPError",
    "VolttronCompatCalls",
    "ensure_volttron_compat_heartbeat",
    "format_timestamp",
    "get_aware_utc_now",
    "load_config",
    "raise_volttron_compat_alert",
    "run_volttron_compat_agent",
    "setup_logging",
    "volttron_compat_data_dir",
    "volttron_compat_device_points",
    "volttron_compat_dir_outside",
    "volttron_compat_failure_text",
    "volttron_compat_schedule_outcome",
]

ACTUATOR_IDENTITY = "platform.driver" if GENERATION == 11 else "platform.actuator"
"""Who reserves devices: on 11 the driver does it, and there is no actuator."""
DRIVER_QUEUES = GENERATION == 11
"""Whether the driver itself keeps the requests to one host and port in a queue."""
CONFIG_STORE = "config.store" if GENERATION == 9 else "platform.config_store"
"""The identity of the agents' config store."""
RPC_FAILURES = (RemoteError, Error, VIPError, gevent.Timeout)
"""What an RPC to a peer can end in: the remote's error, a protocol error (no such method), the
router's error (no such peer), or time. gevent.Timeout is a BaseException: name it, or miss it."""


def _errno_number(errnum: Any) -> int | None:
    """The errno in `errnum`: a number, "113", "EHOSTUNREACH" or "Errno.EHOSTUNREACH"."""
    text = errnum.decode(errors="replace") if isinstance(errnum, bytes) else str(errnum)
    try:
        return int(text)
    except ValueError:
        number = getattr(errno, text.rsplit(".", 1)[-1], None)
        return number if isinstance(number, int) else None


def _repair_from_errno() -> None:
    """Make VIPError.from_errno read every spelling of an error number.

    The router sends `str(errno)`, which since Python 3.11 (3.10 on VOLTTRON 9) is a bare number.
    The original then raises inside the VIP loop, and the agent that called an absent peer never
    hears another message. Repaired for this process, when this module is imported.
    """
    original = VIPError.from_errno.__func__

    def from_errno(cls: type, errnum: Any, msg: str, *args: Any) -> Any:
        number = _errno_number(errnum)
        if number is None:
            return cls(999, msg, *args)
        if number == errno.EHOSTUNREACH:
            return Unreachable(number, msg, *args)
        try:
            name = f"Errno.{errno.errorcode[number]}" if number in errno.errorcode else errnum
            return original(cls, name, msg, *args)
        except (AttributeError, TypeError, ValueError):
            return cls(number, msg, *args)

    VIPError.from_errno = classmethod(from_errno)


_repair_from_errno()


class VolttronCompatCalls:
    """RPC to other agents that fails at once when the peer is not there.

    The router does answer a call to an absent peer with an error, but under a garbled message id
    (seen on 10), so the call itself would wait for its time limit. The error names the peer: all
    calls to that peer that are still open end with it.
    """

    def __init__(self, agent: Any) -> None:
        self._rpc = agent.vip.rpc
        self._open: defaultdict[str, weakref.WeakSet[Any]] = defaultdict(weakref.WeakSet)
        self._listener = self._on_error  # the signal keeps no reference of its own
        agent.core.onviperror.connect(self._listener)

    def call(self, peer: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """The result to come; always `.get(timeout=…)` it, and expect RPC_FAILURES."""
        result = self._rpc.call(peer, method, *args, **kwargs)
        self._open[peer].add(result)
        return result

    def _on_error(self, sender: Any, error: Any = None, **kwargs: Any) -> None:
        if isinstance(error, Unreachable):
            for result in list(self._open.pop(str(error.peer), ())):
                if not result.ready():
                    result.set_exception(error)


_REMOTE_MEANINGS = {
    "ReservationLockError": "another agent has it reserved",
    "LockError": "another agent has it reserved",
    "OverrideError": "an override is set in the platform driver",
    "KeyError": "it is not known there",
    "MethodNotFound": "it has no such method",
    "ModbusIOException": "the device gave no answer",
}
"""What a remote's exception says to a person who does not know its name."""
_DRIVER_UNREADY = (
    "it has not finished its start; if that stays so: `vctl config delete platform.driver"
    " _override_patterns` and restart it (driver 2.0.0rc9 stumbles over `clear_overrides`)"
)
_EXCEPTION_NAME = re.compile(r"\b(?:\w+\.)*(?:[A-Z]\w*)?(?:Error|Exception)\b[(:]?\s*")


def volttron_compat_failure_text(failure: BaseException) -> str:
    """One line for a person about what an RPC ended in (see RPC_FAILURES)."""
    if isinstance(failure, gevent.Timeout):
        return f"no answer within {failure.seconds:g} s" if failure.seconds else "no answer in time"
    if isinstance(failure, Unreachable):
        return f"{failure.peer} is not running"
    if isinstance(failure, RemoteError):
        info = getattr(failure, "exc_info", None) or {}
        # The driver's own errors reach us wrapped in the actuator's: the inner text is the news.
        kind = str(info.get("exc_type", "")).rsplit(".", 1)[-1]
        arguments = info.get("exc_args") or []
        raw = "; ".join(str(argument) for argument in arguments) or str(failure)
        if GENERATION == 11 and kind == "AttributeError" and "NoneType" in raw:
            return _DRIVER_UNREADY
        text = _REMOTE_MEANINGS["ModbusIOException"]
        if "ModbusIOException" not in raw:
            text = _EXCEPTION_NAME.sub("", raw).strip(" '\"():;")
        meaning = _REMOTE_MEANINGS.get(kind) or next(
            (said for name, said in _REMOTE_MEANINGS.items() if name in raw and said != text), ""
        )
        return ": ".join(filter(None, (meaning, text))) or "it failed and did not say why"
    return str(failure) or "it failed and did not say why"


def volttron_compat_schedule_outcome(answer: Any) -> Mapping[str, Any] | None:
    """The answer to request_new_schedule or request_cancel_schedule, as 9 and 10 give it:
    `{"result": "SUCCESS" or "FAILURE", "data", "info"}`. 11 answers `[success, data, info]`.

    None if it is neither.
    """
    if isinstance(answer, Mapping):
        return answer
    if isinstance(answer, (list, tuple)) and len(answer) == 3 and isinstance(answer[0], bool):
        result = "SUCCESS" if answer[0] else "FAILURE"
        return {"result": result, "data": answer[1], "info": answer[2]}
    return None


def volttron_compat_device_points(device: str, answer: Any) -> dict[str, Any] | None:
    """The answer to scrape_all as `{point: value}`; 11 names each point by its full topic.

    None if it is no set of points.
    """
    if not isinstance(answer, Mapping):
        return None
    prefixes = (f"devices/{device}/", f"{device}/")
    points: dict[str, Any] = {}
    for name, value in answer.items():
        own = next((p for p in prefixes if str(name).startswith(p)), "")
        points[str(name)[len(own) :]] = value
    return points


def run_volttron_compat_agent(agent_class: type, identity: str, version: str) -> None:
    """Start the agent's process as this generation of VOLTTRON wants it."""
    interrupt_volttron_compat_main()
    if GENERATION == 11:
        vip_main(agent_class, version=version)
    else:
        vip_main(agent_class, identity=identity, version=version)


def interrupt_volttron_compat_main() -> None:
    """VOLTTRON stops an agent by SIGINT. Python raises KeyboardInterrupt in whatever greenlet runs
    then, and on a busy machine that is one which the stop needs to give the building back: from
    now on only the main one gets it, which ends the agent in order."""
    hub = gevent.get_hub()

    def interrupt() -> None:
        hub.loop.run_callback(hub.parent.throw, KeyboardInterrupt())

    gevent.signal_handler(signal.SIGINT, interrupt)


def ensure_volttron_compat_heartbeat(agent: Any) -> None:
    """Heartbeats start by themselves on 9 and 10; on 11 they are off until asked for."""
    if GENERATION == 11:
        agent.vip.heartbeat.start()


def raise_volttron_compat_alert(agent: Any, key: str, text: str, *, is_over: bool) -> None:
    """Tell VOLTTRON's own health system (topic `alerts/…`, for an emailer or VOLTTRON Central).

    It waits for the bus: call it in a greenlet. Raises one of RPC_FAILURES.
    """
    agent.vip.health.send_alert(key, Status.build(STATUS_GOOD if is_over else STATUS_BAD, text))


def volttron_compat_data_dir(agent: Any) -> Path:
    """The folder that survives the agent's reinstallation; made when it is not there.

    The platform starts an agent in its own folder: 10 and 11 keep `data/` in it over a reinstall,
    9 starts it in (or beside) `<name>.agent-data`. Outside a platform: below VOLTTRON_HOME.
    """
    here = Path.cwd()
    if here.name.endswith(".agent-data"):
        return here
    for candidate in (here / "data", *sorted(here.glob("*.agent-data"))):
        if os.environ.get("_LAUNCHED_BY_PLATFORM") and candidate.is_dir():
            return candidate
    return volttron_compat_dir_outside(agent)


def volttron_compat_dir_outside(agent: Any) -> Path:
    """A folder of this agent below VOLTTRON_HOME that no installation copies or removes; made when
    it is not there."""
    home = Path(os.environ.get("VOLTTRON_HOME", "~/.volttron")).expanduser()
    outside = home / "agent-data" / str(agent.core.identity)
    outside.mkdir(parents=True, exist_ok=True)
    return outside
