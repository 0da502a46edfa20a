"""The doctor looks at the utility's VTN where one is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ops.doctor.doctor_check import DoctorCheckSubject
from ops.doctor.openadr_checks import openadr_checks
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings


@pytest.fixture
def patient(paths: Paths, settings: SiteSettings) -> DoctorCheckSubject:
    return DoctorCheckSubject(paths, settings)


def test_without_a_vtn_there_is_nothing_to_look_at(
    patient: DoctorCheckSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENADR_VTN_URL", raising=False)
    assert list(openadr_checks(patient)) == []


def test_what_the_check_of_the_backend_says_is_passed_on(
    patient: DoctorCheckSubject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = patient.paths.tools_python
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(
        f"#!{sys.executable}\n"
        "print('ok vtn_token: the VTN answers')\n"
        "print('error vtn_clock: 90 s from ours')\n"
    )
    python.chmod(0o755)
    monkeypatch.setenv("OPENADR_VTN_URL", "https://utility.example")
    good, bad = openadr_checks(patient)
    assert (good.ok, good.text) == (True, "the VTN answers")
    assert (bad.ok, bad.text) == (False, "90 s from ours")
    assert "docs/openadr.md" in bad.remedy


def test_settings_that_cannot_be_used_are_told(
    patient: DoctorCheckSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = patient.paths.tools_python
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text("#!/bin/sh\necho 'error: OPENADR_VTN_URL is wrong' >&2\nexit 2\n")
    python.chmod(0o755)
    monkeypatch.setenv("OPENADR_VTN_URL", "nonsense")
    (bad,) = openadr_checks(patient)
    assert (bad.ok, bad.text) == (False, "OPENADR_VTN_URL is wrong")
