"""Waiting for answers of other agents: always with a time limit, several at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from VenAgent.volttron_compat import RPC_FAILURES, describe_failure


def in_parallel(
    calls: Mapping[str, Any], timeout_sec: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """Wait for RPCs under way, by name: (answers, why the others failed).

    All share one deadline, so that a peer that is gone costs `timeout_sec` once, however many
    calls wait for it.
    """
    answers: dict[str, Any] = {}
    failures: dict[str, str] = {}
    deadline = time.monotonic() + timeout_sec
    for name, call in calls.items():
        try:
            answers[name] = call.get(timeout=max(0.001, deadline - time.monotonic()))
        except RPC_FAILURES as failure:
            late = time.monotonic() >= deadline
            failures[name] = (
                f"no answer within {timeout_sec:g} s" if late else describe_failure(failure)
            )
    return answers, failures
