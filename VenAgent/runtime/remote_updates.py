"""`set` and `setConfig`: settings that the cloud may change, written to the config store.

The store's entry is the only place where they are kept: what a person wrote there stays, but for
the fields named. It takes effect the way any other change of the store does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.lock import Semaphore

from VenAgent.config import AgentConfig, ConfigError
from VenAgent.contract.commands import SetCommand
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.volttron_compat import RPC_FAILURES, volttron_compat_failure_text

IN_FORCE_SEC = 15.0
NAMES = ("report_interval_sec", "shadow_interval_sec")


@dataclass(frozen=True)
class _UpdateOutcome:
    """What was applied; or why nothing was, and whether the command or the site is to blame."""

    applied: Mapping[str, float] = field(default_factory=dict)
    rejected: Reason | None = None
    failed: Reason | None = None


class RemoteUpdates:
    """Changes the stored configuration of this agent. `store` is its `vip.config`."""

    def __init__(self, store: Any, in_force: Callable[[], AgentConfig]) -> None:
        self._store = store
        self._in_force = in_force
        self._one_at_a_time = Semaphore()

    def apply(self, command: SetCommand) -> _UpdateOutcome:
        """Write what the command names, and wait until it is in force.

        Call it in a greenlet of its own, never in a callback of the config store.
        """
        named = command.model_dump(include=set(NAMES), exclude_none=True)
        if not named:
            text = f"nothing to set: name {' or '.join(NAMES)}"
            return _UpdateOutcome(rejected=Reason(ReasonCode.NOTHING_TO_SET, text))
        with self._one_at_a_time:
            try:
                return self._apply(named)
            except RPC_FAILURES as failure:
                text = f"the config store: {volttron_compat_failure_text(failure)}"
                return _UpdateOutcome(failed=Reason(ReasonCode.CONFIG_STORE_FAILED, text))

    def _apply(self, named: Mapping[str, float]) -> _UpdateOutcome:
        stored = self._store.get("config")
        contents = {**stored, **named} if isinstance(stored, Mapping) else stored
        try:
            AgentConfig.load(contents, os.environ)
        except ConfigError as error:
            return _UpdateOutcome(rejected=Reason(ReasonCode.BAD_FIELD, str(error)))
        if contents != stored:
            self._store.set("config", contents, trigger_callback=True)
        deadline = time.monotonic() + IN_FORCE_SEC
        while not self._are_in_force(named):
            if time.monotonic() > deadline:
                text = f"stored, but not in force within {IN_FORCE_SEC:g} s"
                return _UpdateOutcome(failed=Reason(ReasonCode.NOT_IN_FORCE, text))
            gevent.sleep(0.02)
        return _UpdateOutcome(applied=named)

    def _are_in_force(self, named: Mapping[str, float]) -> bool:
        config = self._in_force()
        return all(getattr(config, name) == value for name, value in named.items())
