"""The VOLTTRON agent: lifecycle, configuration store, RPC exports and health.

The work itself is in ven.py, which begins with the first good configuration.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from VenAgent.version import __version__

try:
    from VenAgent.volttron_compat import (
        ACTUATOR_IDENTITY,
        RPC,
        RPC_FAILURES,
        STATUS_BAD,
        Agent,
        Core,
        RemoteError,
        ensure_volttron_compat_heartbeat,
        load_config,
        run_volttron_compat_agent,
        setup_logging,
        volttron_compat_data_dir,
        volttron_compat_failure_text,
    )
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("gevent", "volttron"):
        raise
    # Whoever installed it by name and called `venagent`.
    raise SystemExit(
        "VenAgent runs as an agent of VOLTTRON, which is not in this Python's environment: install "
        "VOLTTRON first, then the agent with `vctl install` (docs/install.md)"
    ) from None

try:
    from VenAgent.config import AgentConfig, ConfigError
    from VenAgent.health import SiteHealth
    from VenAgent.storage.last_config import LastConfig
    from VenAgent.ven import Ven

    missing_package: str | None = None
except ImportError as error:
    # VOLTTRON Central installs an agent without what it depends on; another agent's may be older.
    missing_package = (error.name or "").partition(".")[0]
    if missing_package in ("", "VenAgent"):
        raise

setup_logging()
_log = logging.getLogger(__name__)

IDENTITY = "ven.agent"
PEERS_EVERY_SEC = 10.0
BEGIN_EVERY_SEC = 5.0
ACTIVE_EVENT = "(the active event)"
"""What `restore` ends when none is named. A null is a name that was not found: it is refused."""


def _config_of(contents: Any) -> AgentConfig:
    """Raises ConfigError."""
    return AgentConfig.load(contents, os.environ).on_platform(ACTUATOR_IDENTITY)


class VenAgent(Agent):
    """A demand-response Virtual End Node; see README.md for its configuration."""

    def __init__(self, config_path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._ven: Ven | None = None
        self._pending: AgentConfig | None = None
        """The configuration to begin with, when that did not succeed."""
        self._health = SiteHealth()
        self._started = time.monotonic()
        self._default = load_config(config_path) if config_path else {}
        self.vip.config.set_default("config", self._default)
        self.vip.config.subscribe(
            self._configured, actions=["NEW", "UPDATE", "DELETE"], pattern="config"
        )

    @Core.receiver("onstart")
    def _on_start(self, sender: Any, **kwargs: Any) -> None:
        ensure_volttron_compat_heartbeat(self)
        self.core.periodic(PEERS_EVERY_SEC, self._look_for_peers)
        self.core.periodic(BEGIN_EVERY_SEC, self._begin_pending)
        self._show_health()

    @Core.receiver("onstop")
    def _on_stop(self, sender: Any, **kwargs: Any) -> None:
        if self._ven is not None:
            self._ven.stop()

    def _configured(self, name: str, action: str, contents: Any) -> None:
        """The config store has a new `config`. A bad one leaves the last good one running, also
        from a start to the next.

        It is called again for contents that are in force already: they change nothing.
        """
        contents = self._default if action == "DELETE" else contents
        try:
            config = _config_of(contents)
        except ConfigError as error:
            runs = self._ven is not None or self._begin_with_last()
            kept = "the last good one stays in force" if runs else "nothing runs yet"
            self._health.config_error = f"{error} ({kept})"
            _log.error("configuration refused: %s", self._health.config_error)
        else:
            self._health.config_error = None
            self._last_config().keep(contents)
            if self._ven is None:
                self._begin(config)
            elif config != self._ven.config:
                self._ven.apply(config)
        self._show_health()

    def _last_config(self) -> LastConfig:
        return LastConfig(volttron_compat_data_dir(self) / "last-config.json")

    def _begin_with_last(self) -> bool:
        """Begin with the configuration that was taken last, whether there is a good one."""
        try:
            config = _config_of(self._last_config().read())
        except ConfigError:
            return False
        self._begin(config)
        return True

    def _begin(self, config: AgentConfig) -> None:
        """Begin to work. Journal and outbox may not be there yet: a full disk, or the lock of an
        agent that is still ending. Circuits may be shed, so it is tried until it succeeds."""
        try:
            self._ven, self._pending = Ven(self, config, self.health_shown, self._show_health), None
            self._health.not_begun = None
        except (sqlite3.Error, OSError) as error:
            self._pending = config
            self._health.not_begun = f"the agent's files cannot be opened ({error}); trying again"
            _log.error("%s", self._health.not_begun)

    def _begin_pending(self) -> None:
        if self._ven is None and self._pending is not None:
            self._begin(self._pending)
            self._show_health()

    # ---- health --------------------------------------------------------------------------

    def _show_health(self) -> None:
        """Health in a sentence for a person; sent only when it changes."""
        condition = None if self._ven is None else self._ven.condition()
        changed = self._health.update(condition, time.monotonic() - self._started)
        if changed is not None:
            self.vip.health.set_status(*changed)

    def health_shown(self) -> dict[str, str]:
        """What `vctl status` shows of this agent."""
        status, sentence = self._health.shown
        return {"health": status, "health_context": sentence}

    def _look_for_peers(self) -> None:
        """Whether the agents that we cannot do without are running."""
        if self._ven is None:
            return
        config = self._ven.config
        try:
            present = self.vip.peerlist().get(timeout=PEERS_EVERY_SEC / 2)
        except RPC_FAILURES as failure:
            _log.warning("the platform's list of peers: %s", volttron_compat_failure_text(failure))
            return
        needed = (config.driver_identity, config.actuator_identity)
        self._health.absent = tuple(peer for peer in dict.fromkeys(needed) if peer not in present)
        reserves = config.actuator_identity == config.driver_identity in present
        self._health.driver_unready = (
            self._why_driver_is_unready(config.driver_identity) if reserves else None
        )
        self._show_health()

    def _why_driver_is_unready(self, driver: str) -> str | None:
        try:
            self.vip.rpc.call(driver, "get_override_devices").get(timeout=PEERS_EVERY_SEC / 2)
        except RemoteError as failure:
            return (
                f"{driver} can reserve and write nothing: {volttron_compat_failure_text(failure)}"
            )
        except RPC_FAILURES as failure:  # it is busy
            _log.info("%s: %s", driver, volttron_compat_failure_text(failure))
        return None

    # ---- RPC -----------------------------------------------------------------------------

    @RPC.export
    def status(self) -> dict[str, Any]:
        """The agent's state: health, broker, power and shed (kW), active and scheduled events."""
        return self.health_shown() if self._ven is None else self._ven.status.get("status")

    @RPC.export
    def get_panel(self) -> dict[str, Any]:
        """The panel as the device shadow reports it: totals and circuits (kW, A, V)."""
        return self.health_shown() if self._ven is None else self._ven.status.get("shadow")

    @RPC.export
    def send_event(
        self, shed_kw: float, duration_sec: float = 3600.0, event_id: str | None = None
    ) -> Mapping[str, Any]:
        """Begin an event here and now, as if the cloud had sent it; returns its ack.

        :param shed_kw: power to shed, kW.
        :param duration_sec: how long, seconds.
        :param event_id: its name; made up if none.
        """
        named = {} if event_id is None else {"event_id": event_id}
        return self._command(
            {"op": "event", "shed_kw": shed_kw, "duration_sec": duration_sec, **named}
        )

    @RPC.export
    def restore(self, event_id: str | None = ACTIVE_EVENT) -> Mapping[str, Any]:
        """End the active event (or the one named) and restore its circuits; returns the ack."""
        named = {} if event_id == ACTIVE_EVENT else {"event_id": event_id}
        return self._command({"op": "restore", **named})

    @RPC.export
    def opt_out(
        self, reason: str = "by a person at the site", duration_sec: float | None = None
    ) -> Mapping[str, Any]:
        """End and refuse participation, for `duration_sec` seconds or until `opt_in`."""
        if self._ven is None:
            return {"ok": False, "status": "failed", "reason": self._health.shown[1]}
        return self._ven.inbound.opt_out(reason, duration_sec)

    @RPC.export
    def opt_in(self) -> Mapping[str, Any]:
        """Take part in events again."""
        if self._ven is None:
            return {"ok": False, "status": "failed", "reason": self._health.shown[1]}
        return self._ven.inbound.opt_in()

    def _command(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._ven is None:
            return {"ok": False, "status": "failed", "reason": self._health.shown[1]}
        return self._ven.inbound.command(fields)


class AgentWithoutPackage(Agent):
    """In the place of `VenAgent` where a package is missing that it needs: it says so, in the log
    and in its health, and stays up; the platform would start a crashed one again and again."""

    def __init__(self, config_path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # which takes no configuration on 9

    @property
    def sentence(self) -> str:
        return (
            f"the Python package {missing_package} is missing or too old: install what"
            f" requirements.txt names into VOLTTRON's environment"
            f" (pip install -r requirements.txt), then restart this agent"
        )

    @Core.receiver("onstart")
    def _on_start(self, sender: Any, **kwargs: Any) -> None:
        ensure_volttron_compat_heartbeat(self)
        _log.error("%s", self.sentence)
        self.vip.health.set_status(STATUS_BAD, self.sentence)

    @RPC.export
    def status(self) -> dict[str, Any]:
        """Why the agent does not work."""
        return {"health": STATUS_BAD, "health_context": self.sentence}


def main() -> None:
    """Entry point of the installed agent."""
    kind = VenAgent if missing_package is None else AgentWithoutPackage
    run_volttron_compat_agent(kind, identity=IDENTITY, version=__version__)


if __name__ == "__main__":
    main()
