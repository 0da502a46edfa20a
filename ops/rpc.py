"""A call over VOLTTRON's RPC, by a few lines that run in the platform's environment."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from ops.environment import platform_environment
from ops.errors import OpsError
from ops.paths import Paths
from ops.processes import plain_user

ANSWER_WITHIN_SEC = 10.0
_CALL = """\
import json, sys
import gevent
from volttron.client.commands.connection import ControlConnection
from volttron.utils.context import ClientContext
address, peer, method, arguments, limit = sys.argv[1:]
connection = ControlConnection(ClientContext.get_volttron_home() and address)
try:
    with gevent.Timeout(float(limit) + 5):
        peers = connection.server.vip.peerlist().get(timeout=5)
        if peer not in peers:
            raise SystemExit(f"{peer} does not run")
        call = connection.server.vip.rpc.call(peer, method, *json.loads(arguments))
        print("ANSWER " + json.dumps(call.get(timeout=float(limit)), default=str))
except gevent.Timeout:
    raise SystemExit(f"{peer} gave no answer to {method} within {limit} s")
except Exception as error:
    raise SystemExit(f"{peer} {method}: {error or type(error).__name__}")
finally:
    connection.kill()
"""


def call(
    paths: Paths,
    peer: str,
    method: str,
    *arguments: Any,
    timeout_sec: float = ANSWER_WITHIN_SEC,
) -> Any:
    """The method's result; OpsError says why there is none."""
    address = f"ipc://@{paths.volttron_home}/run/vip.socket"
    command = [str(paths.platform_bin / "python"), "-", address, peer, method]
    try:
        result = subprocess.run(
            [*command, json.dumps(arguments), str(timeout_sec)],
            input=_CALL,
            env=platform_environment(paths, {}),
            cwd=paths.volttron_home,
            capture_output=True,
            text=True,
            timeout=timeout_sec + 20,
            check=False,
            **plain_user(paths),
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise OpsError(f"{peer} {method}: VOLTTRON cannot be asked: {error}") from None
    for line in reversed(result.stdout.splitlines()):
        if line.startswith("ANSWER "):
            return json.loads(line.removeprefix("ANSWER "))
    why = result.stderr.strip().splitlines()[-1:] or [f"{peer} {method} gave no answer"]
    raise OpsError(why[0])
