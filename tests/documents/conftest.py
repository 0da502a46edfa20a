"""These tests need what scripts/test.sh makes for them."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def part() -> None:
    """Only in the part `documents`, which has a VOLTTRON environment to copy."""
    if "VENAGENT_TEST_PLATFORM" not in os.environ:
        pytest.skip("scripts/test.sh documents runs these")
