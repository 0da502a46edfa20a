"""The utility's VTN, where one is named: TLS, token, clock, programmes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from ops.doctor.doctor_check import DoctorCheck, DoctorCheckSubject
from ops.services.backend_service import backend_service_speaks_openadr

_ANSWERS_WITHIN_SEC = 60.0
_REMEDY = "docs/openadr.md has the settings; the utility has the VTN's address and credentials."


def openadr_checks(patient: DoctorCheckSubject) -> Iterator[DoctorCheck]:
    """By `python -m backend openadr --check`, which changes nothing at the VTN."""
    if not backend_service_speaks_openadr(os.environ):
        return
    try:
        done = subprocess.run(
            [patient.paths.tools_python, "-m", "backend", "openadr", "--check"],
            env={**os.environ, "PYTHONPATH": str(patient.paths.repo)},
            capture_output=True,
            text=True,
            timeout=_ANSWERS_WITHIN_SEC,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield DoctorCheck("VTN", False, f"no answer within {_ANSWERS_WITHIN_SEC:g} s", _REMEDY)
        return
    found = False
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        _code, _, text = rest.partition(": ")
        if verdict in ("ok", "error") and text:
            found = True
            good = verdict == "ok"
            yield DoctorCheck("VTN", good, text, "" if good else _REMEDY)
    if not found:
        said = next(iter(done.stderr.strip().splitlines()[::-1]), f"exit {done.returncode}")
        yield DoctorCheck("VTN", False, said.removeprefix("error: "), _REMEDY)
