"""One call over VOLTTRON's RPC; `rpc.py` gives this file's text to the platform's Python.

Arguments: address, peer, method, its arguments (JSON), seconds to wait. The answer is the line that
begins with ANSWER; without one the last line on stderr says why.

With the one argument `unreachable-peer`: whether this VOLTTRON survives a call to an agent that
does not run. The router answers it with the text of an error number, which differs between versions
of Python, and `VIPError.from_errno` of some VOLTTRONs cannot read it: the caller then hears nothing
more. Prints `survives` or `goes deaf`, and the version of Python.
"""

from __future__ import annotations

import json
import platform
import re
import sys

import gevent
from zmq import EHOSTUNREACH

try:
    from volttron.client.commands.connection import ControlConnection
    from volttron.client.vip.agent.errors import VIPError
    from volttron.utils.context import ClientContext
    from volttron.utils.jsonrpc import Error, RemoteError
except ImportError:  # VOLTTRON 9
    ClientContext = None
    from volttron.platform.control.control_connection import ControlConnection
    from volttron.platform.jsonrpc import Error, RemoteError
    from volttron.platform.vip.agent.errors import VIPError

_REPR = re.compile(r"[\w.]+\((['\"])(.*)\1,?\)", re.DOTALL)


def _error_text(error: Exception) -> str:
    """An agent's own error comes as its arguments, which may hold another one's repr."""
    info = getattr(error, "exc_info", None) or {}
    text = "; ".join(str(argument) for argument in info.get("exc_args") or [error])
    inner = _REPR.fullmatch(text)
    kind = str(info.get("exc_type") or type(error).__name__).rsplit(".", 1)[-1]
    said = inner.group(2) if inner else f"{kind}: {text}"
    if inner and text.partition("(")[0].endswith("KeyError"):
        said = f"it knows no {said}"  # a device or a point
    return " ".join(said.split())


def _unreachable_peer() -> None:
    try:
        VIPError.from_errno(str(EHOSTUNREACH), "no route to host", "absent", "RPC")
        result = "survives"
    except (AttributeError, TypeError, ValueError):
        result = "goes deaf"
    print(f"{result} {platform.python_version()}")


def _main(address: str, peer: str, method: str, arguments: str, limit_sec: str) -> None:
    if ClientContext is not None:
        ClientContext.get_volttron_home()
    connection = ControlConnection(address)
    try:
        with gevent.Timeout(float(limit_sec) + 5):
            if peer not in connection.server.vip.peerlist().get(timeout=5):
                raise SystemExit(f"{peer} does not run")
            call = connection.server.vip.rpc.call(peer, method, *json.loads(arguments))
            print("ANSWER " + json.dumps(call.get(timeout=float(limit_sec)), default=str))
    except gevent.Timeout:
        raise SystemExit(f"{peer} gave no answer to {method} within {limit_sec} s") from None
    except (Error, RemoteError, VIPError) as error:
        raise SystemExit(f"{peer}: {_error_text(error)}") from None
    finally:
        connection.kill()


if __name__ == "__main__":
    if sys.argv[1:] == ["unreachable-peer"]:
        _unreachable_peer()
    else:
        _main(*sys.argv[1:])
