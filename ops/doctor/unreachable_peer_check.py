"""The doctor's look at a VOLTTRON of somebody else: what a call to an absent agent does to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ops.doctor.doctor_check import DoctorCheck
from ops.host.child_environment import platform_child_environment
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.volttron import vctl

ASKED_WITHIN_SEC = 30.0
_SCRIPT = Path(vctl.__file__).with_name("rpc_call.py")


def unreachable_peer_check(paths: Paths) -> DoctorCheck:
    """Whether the platform's own agents hear on after a call to one that does not run."""
    name, number = "absent agents", paths.generation
    script = _SCRIPT.read_text()
    try:
        result = subprocess.run(
            [str(paths.platform_bin / "python"), "-c", script, "unreachable-peer"],
            env=platform_child_environment(paths, {}),
            cwd=paths.volttron_home,
            capture_output=True,
            text=True,
            timeout=ASKED_WITHIN_SEC,
            check=False,
            **plain_user(paths),
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        return DoctorCheck(name, None, f"VOLTTRON's Python cannot be asked: {error}")
    said = result.stdout.strip().splitlines()[-1:] or [""]
    verdict, _, version = said[0].rpartition(" ")
    if verdict == "survives":
        return DoctorCheck(
            name, True, f"VOLTTRON {number} on Python {version} survives calls to them"
        )
    if verdict != "goes deaf":
        why = result.stderr.strip().splitlines()[-1:] or ["no answer"]
        return DoctorCheck(name, None, f"VOLTTRON's Python cannot be asked: {why[0]}")
    remedy = (
        "Run VOLTTRON 9 on Python 3.11, and make its environment anew with that."
        if number == 9
        else "With VOLTTRON's environment active: `python ops/volttron/repair_volttron.py`; then "
        "restart VOLTTRON."
    )
    text = (
        f"VOLTTRON {number} on Python {version}: an agent that calls one that does not run hears "
        "nothing more (VenAgent protects its own process only)"
    )
    return DoctorCheck(name, False, text, remedy)
