"""The thread's side of a link: one connection after another, and how it stands with the broker."""

from __future__ import annotations

import logging
import select
import socket
import sqlite3
import ssl
import time
from contextlib import closing, suppress

from paho.mqtt.client import WebsocketConnectionError

from VenAgent.cloud.inbound_intake import InboundIntake
from VenAgent.cloud.link_state import LinkPhase
from VenAgent.cloud.mqtt_session import MqttSession
from VenAgent.cloud.mqtt_session_subscriptions import MqttSessionSubscriptions
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.outbox import CHECKPOINT_SEC, Outbox
from VenAgent.cloud.outbox_sender import OutboxSender
from VenAgent.cloud.reconnect_policy import ReconnectPolicy, ReconnectReason
from VenAgent.cloud.thread_handoff import ThreadHandoff
from VenAgent.cloud.tls.tls_errors import TlsCredentialError, explain_tls_error

_log = logging.getLogger(__name__)


class MqttThread:
    """`run` it in a thread, until `handoff.stopping`."""

    def __init__(self, settings: MqttSettings, handoff: ThreadHandoff) -> None:
        self._settings = settings
        self._handoff = handoff
        self._reconnect_policy = ReconnectPolicy(settings.ven_id, settings.where)
        self._subscribed = MqttSessionSubscriptions()
        self._intake = InboundIntake(settings, handoff)
        self._number = 0
        self._logged_reasons: set[str] = set()
        """Why it is not online, as logged since it last was."""
        self._checkpointed_at = time.monotonic()
        self.sender: OutboxSender | None = None
        """Of the present connection."""

    def run(self) -> None:
        """Connect again and again, with a pause between the tries, until stopped."""
        self._intake.begin()
        try:
            self._connect_again_and_again()
        finally:
            self._intake.close()

    def _connect_again_and_again(self) -> None:
        while not self._handoff.stopping:
            self._handoff.renewing = False
            try:
                with closing(Outbox(self._settings.outbox_path, synced=False)) as outbox:
                    end = self._run_session(outbox)
            # Refused, unreachable, TLS, certificates; the outbox locked or the disk full: begin
            # again, all that was not confirmed is in the outbox still.
            except (OSError, ValueError, sqlite3.Error) as error:
                tls_failed = isinstance(error, ssl.SSLError)
                end = ReconnectReason(_explain(error, self._settings.where), refused=tls_failed)
            self._reconnect_policy.ended(end)
            if end.refused and self._settings.tls is not None:
                self._settings.tls.refused()
            trouble = self._reconnect_policy.trouble()
            refused = end.refused or bool(trouble)
            self._set_state(LinkPhase.REFUSED if refused else LinkPhase.OFFLINE, trouble or end.why)
            self._pause()

    def _run_session(self, outbox: Outbox) -> ReconnectReason:
        self._number += 1
        session = MqttSession(
            *(self._settings, self._handoff, outbox, self._number),
            *(self._subscribed, self._intake, self._on_online),
        )
        self.sender = session.sender
        try:
            return session.run()
        except sqlite3.Error as error:
            outbox.report(error)
            raise
        finally:
            self.sender = None
            session.close()

    def _on_online(self, for_sec: float) -> None:
        troubles = (self._reconnect_policy.trouble(for_sec), self._subscribed.trouble())
        self._set_state(LinkPhase.ONLINE, "; ".join(filter(None, troubles)))

    def _pause(self) -> None:
        handoff = self._handoff
        deadline = time.monotonic() + self._reconnect_policy.pause_sec()
        while not handoff.stopping and (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([handoff.wake_read], [], [], left)
            if readable:
                handoff.drain_wakes()
            self._checkpoint_outbox()
            if handoff.renewing:
                handoff.renewing = False
                deadline = min(deadline, time.monotonic() + self._reconnect_policy.shortest_sec)

    def _checkpoint_outbox(self) -> None:
        """While the broker is away the outbox is written all the same."""
        now = time.monotonic()
        if now - self._checkpointed_at >= CHECKPOINT_SEC:
            self._checkpointed_at = now
            with (
                suppress(sqlite3.Error),  # the next connection tells of it
                closing(Outbox(self._settings.outbox_path, synced=False)) as outbox,
            ):
                outbox.checkpoint()

    def _set_state(self, phase: LinkPhase, why: str) -> None:
        """Tell the agent, and log it: once that it is online, each reason once that it is not."""
        before = self._handoff.state
        if not self._handoff.set_state(phase, why):
            return
        if phase is LinkPhase.ONLINE:
            self._logged_reasons.clear()
            if not before.online:
                _log.info("MQTT: connected to %s", self._settings.where)
            if why:
                _log.warning("MQTT: %s", why)
        elif why not in self._logged_reasons:
            self._logged_reasons.add(why)
            level = logging.INFO if self._handoff.stopping else logging.WARNING
            _log.log(level, "MQTT: not connected: %s", why)


def _explain(error: Exception, where: str) -> str:
    """Why there is no connection, for a person: what is wrong, and where to look."""
    if isinstance(error, ssl.SSLError):
        return explain_tls_error(error, where)
    if isinstance(error, TlsCredentialError):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return f"the outbox cannot be used: {error}"
    if isinstance(error, socket.gaierror):
        return f"the name of {where} is not known: is the network up, and broker.host right?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {where}"
    if isinstance(error, TimeoutError):
        return f"{where} does not answer: is the network up, and broker.port open there?"
    if isinstance(error, WebsocketConnectionError):
        return f"{where} speaks no MQTT over websockets at broker.path: is the path right?"
    if isinstance(error, ConnectionError):
        return f"{where} ended the connection before it was made"
    if isinstance(error, OSError) and error.strerror:
        return f"{where} cannot be reached: {error.strerror}"
    return f"{where}: {error}"
