"""For all tests: how long an example takes to make says nothing about the code; nothing that was
imported is looked at by the garbage collector again. Random searches try the same examples in each
run, so that a change is judged by what it changes; with VENAGENT_TEST_NEW_EXAMPLES set, others."""

from __future__ import annotations  # the platform's pytest is older than `pytest.Config`

import gc
import os
from collections.abc import Generator
from importlib.util import find_spec

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        return  # this process only hands the tests out
    if find_spec("hypothesis") is not None:  # the platform's environment has none
        from hypothesis import HealthCheck, settings

        from tests.support.example_count import example_count

        settings.register_profile(
            "venagent",
            deadline=None,
            max_examples=example_count(),
            derandomize="VENAGENT_TEST_NEW_EXAMPLES" not in os.environ,
            suppress_health_check=[HealthCheck.too_slow],
        )
        settings.load_profile("venagent")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules live to the end: to look for garbage among them took a tenth of the tests' time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
