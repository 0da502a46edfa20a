"""For all tests: how long an example takes to make says nothing about the code."""

from importlib.util import find_spec

if find_spec("hypothesis") is not None:  # the platform's environment has none
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "venagent", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("venagent")
