"""Whether VOLTTRON survives a call to an agent that does not run; run by the platform's own Python.

The router answers such a call with the text of an error number, which differs between versions of
Python, and `VIPError.from_errno` of some VOLTTRONs cannot read it: the caller then hears nothing
more. Prints `survives` or `goes deaf`, and the version of Python.
"""

from __future__ import annotations

import platform

from zmq import EHOSTUNREACH

try:
    from volttron.client.vip.agent.errors import VIPError
except ImportError:  # VOLTTRON 9
    from volttron.platform.vip.agent.errors import VIPError


def _main() -> None:
    try:
        VIPError.from_errno(str(EHOSTUNREACH), "no route to host", "absent", "RPC")
        result = "survives"
    except (AttributeError, TypeError, ValueError):
        result = "goes deaf"
    print(f"{result} {platform.python_version()}")


if __name__ == "__main__":
    _main()
