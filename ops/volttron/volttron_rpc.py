"""A call over VOLTTRON's RPC, by `rpc_call.py` in the platform's environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ops.host.child_environment import platform_child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user

ANSWER_WITHIN_SEC = 10.0
_CALL = Path(__file__).with_name("rpc_call.py")


def call_volttron_rpc(
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
            input=_CALL.read_text(),
            env=platform_child_environment(paths, {}),
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
