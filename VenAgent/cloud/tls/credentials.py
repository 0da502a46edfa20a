"""The TLS credentials of the connection: from files, or from AWS Secrets Manager; kept fresh.

A thread of its own looks for newer ones, so that the agent's greenlets wait for nothing. What was
found wrong with them is `findings`. New credentials take the place of the old ones only when they
are whole and valid; and when the broker refuses them, the connection goes back to the old ones as
long as those are valid. Where they come from is in credential_sources.py.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from VenAgent.cloud.tls.certificates import (
    CertificateFacts,
    certificate_expiry_text,
    check_any_certificates,
)
from VenAgent.cloud.tls.credential_sources import CredentialSource, credential_source_of
from VenAgent.cloud.tls.secrets_manager import SecretsManagerError
from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.cloud.tls.tls_material import TlsMaterial
from VenAgent.config.cloud_config import CloudTlsConfig
from VenAgent.contract.alerts import AlertSeverity

_log = logging.getLogger(__name__)

REFUSED_EVERY_SEC = 60.0
"""A refused connection has newer credentials looked for, at most that often."""
FAILED_EVERY_SEC = 300.0
"""After a fetch that failed, the next."""
AGAIN_SEC = 3600.0
"""New credentials that the broker refused are tried again after that time."""
FIRST_WITHIN_SEC = 70.0
"""A connection waits that long for the first fetch of a secret."""
WARN_DAYS = 30
CRITICAL_DAYS = 7
DAY_SEC = 86_400.0

EXPIRES, EXPIRES_SOON = "certificate.expires", "certificate.expires_soon"
REFRESH, REFUSED, EXPOSED = "credentials.refresh", "credentials.refused", "credentials.exposed"
CODES = (EXPIRES, EXPIRES_SOON, REFRESH, REFUSED, EXPOSED)


@dataclass(frozen=True)
class CredentialsFinding:
    """Something about the credentials that a person should see to; `code` is the alert's."""

    code: str
    severity: AlertSeverity
    message: str


def credentials_expiry_findings(facts: CertificateFacts, now: float) -> list[CredentialsFinding]:
    """None until 30 days before the certificate's end; a second, graver one 7 days before."""
    left_days = (facts.not_after_ts - now) / DAY_SEC
    message = (
        f"the client certificate {facts.subject} expires on "
        f"{certificate_expiry_text(facts.not_after_ts)}: "
        f"renew it (ven_control.sh provision --renew)"
    )
    findings = []
    if left_days <= WARN_DAYS:
        findings.append(CredentialsFinding(EXPIRES, AlertSeverity.WARNING, message))
    if left_days <= CRITICAL_DAYS:
        findings.append(CredentialsFinding(EXPIRES_SOON, AlertSeverity.CRITICAL, message))
    return findings


# ---- what is in use -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Usable:
    material: TlsMaterial
    facts: CertificateFacts | None

    def ends_after(self, now: float) -> bool:
        return self.facts is None or now < self.facts.not_after_ts


class Credentials:
    """The credentials of one connection, from `start` to `stop`.

    `context`, `refused` and `accepted` are for the connection's thread; `findings` is for anyone.
    """

    def __init__(self, source: CredentialSource, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: _Usable | None = None
        self._before: _Usable | None = None
        """Those that the broker accepted, while the newest have not been accepted yet."""
        self._used: _Usable | None = None
        self._trouble = ""
        self._newest_refused_at = 0.0
        self._looked = threading.Event()
        self._waiting = False
        """A connection waits for the first fetch."""
        self._wanted = threading.Event()
        self._stopping = False
        self._on_change: Callable[[], None] = lambda: None
        self._refresh_requested_at = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="credentials", daemon=True)

    def start(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called, in another thread, when a connection should be made anew."""
        self._on_change = on_change
        saved = self._source.saved()
        if saved is not None:
            with suppress(TlsCredentialError):  # expired: the source will have newer ones
                self._adopt(saved)
        self._thread.start()

    def stop(self) -> None:
        """Returns at once; `on_change` is not called any more."""
        with self._lock:
            self._stopping = True
        self._source.cancel()
        self._looked.set()
        self._wanted.set()

    @property
    def ended(self) -> bool:
        """Whether the thread that looks for newer ones is gone."""
        return not self._thread.is_alive()

    # ---- the connection's side -----------------------------------------------------------

    def context(self) -> ssl.SSLContext:
        """For the next connection; raises TlsCredentialError when there is nothing to use."""
        if self._source.slow:
            self._waiting = self._newest is None
            if self._waiting:
                self._looked.wait(FIRST_WITHIN_SEC)
        else:
            self._look()
        with self._lock:
            usable = self._used = self._choose()
            self._waiting = False
        try:
            if usable is None:
                raise TlsCredentialError(self._trouble or "the credentials are being fetched")
            check_any_certificates(usable.material, self._clock())
            return usable.material.context()
        except TlsCredentialError:
            self._request_refresh()
            raise

    def _choose(self) -> _Usable | None:
        """The newest; the ones before while the broker refuses those and they are valid."""
        before, now = self._before, self._clock()
        given_up = abs(now - self._newest_refused_at) < AGAIN_SEC  # the clock may be set
        if before is not None and given_up and before.ends_after(now):
            return before
        return self._newest

    def login(self) -> tuple[str, str] | None:
        """User name and password for the connection that `context` was made for."""
        with self._lock:
            return None if self._used is None else self._used.material.login

    def accepted(self) -> None:
        """The broker let us in with what `context` gave last."""
        with self._lock:
            if self._used is self._newest:
                self._before = None
                self._newest_refused_at = 0.0

    def refused(self) -> None:
        """The broker did not let us in, or TLS failed: look for newer ones soon."""
        with self._lock:
            if self._used is not None and self._used is self._newest and self._before is not None:
                self._newest_refused_at = self._clock()
        self._request_refresh()

    def _request_refresh(self) -> None:
        """Have the source looked at soon."""
        now = time.monotonic()
        if now - self._refresh_requested_at >= REFUSED_EVERY_SEC:
            self._refresh_requested_at = now
            self._wanted.set()

    # ---- the watching thread -------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stopping:
            self._look()
            with self._lock:
                if self._outdated() and not self._stopping:
                    self._on_change()
            self._wanted.wait(self._pause_sec())
            self._wanted.clear()

    def _pause_sec(self) -> float:
        wait_sec = self._source.every_sec * random.uniform(0.9, 1.1)  # not all sites at once
        if self._trouble and self._source.slow:
            wait_sec = min(wait_sec, FAILED_EVERY_SEC)
        return min(wait_sec, AGAIN_SEC) if self._fallen_back() else wait_sec

    def _outdated(self) -> bool:
        """Whether a connection made now would use other credentials than the last one."""
        return not self._waiting and self._choose() is not self._used

    def _fallen_back(self) -> bool:
        return self._newest_refused_at > 0 and self._used is self._before

    def _look(self) -> None:
        """Read the source; put what is new in force."""
        try:
            self._adopt(self._source.read(), save=True)
            self._set_trouble("")
        except (TlsCredentialError, SecretsManagerError) as error:
            self._set_trouble(str(error))
        except OSError as error:  # of the copy: what was read is in force all the same
            self._set_trouble(f"the copy of the secret cannot be written: {error.strerror}")
        self._looked.set()

    def _adopt(self, material: TlsMaterial, *, save: bool = False) -> None:
        """Put them in force if they are other ones, and usable. Raises TlsCredentialError."""
        with self._lock:
            newest = self._newest
            if newest is not None and newest.material.digest == material.digest:
                return
            facts = check_any_certificates(material, self._clock())
            if self._before is None:
                self._before = newest
            self._newest = _Usable(material, facts)
            self._newest_refused_at = 0.0
        if facts is not None:
            _log.info(
                "client certificate %s, serial number %s, valid until %s",
                *(facts.subject, facts.serial_number, certificate_expiry_text(facts.not_after_ts)),
            )
        if save:
            self._source.save(material)

    def _set_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble and not self._stopping:
            _log.warning("credentials: %s", trouble)
        self._trouble = trouble

    # ---- the agent's side ----------------------------------------------------------------

    @property
    def facts(self) -> CertificateFacts | None:
        """Of the certificate in use; None while there is none."""
        usable = self._used or self._newest
        return None if usable is None else usable.facts

    @property
    def expires_ts(self) -> float | None:
        """End (epoch s) of the certificate in use."""
        return None if self.facts is None else self.facts.not_after_ts

    def findings(self) -> list[CredentialsFinding]:
        """What a person should see to, the gravest last; empty when all is well."""
        facts, findings = self.facts, []
        exposed = self._source.exposed()
        if exposed:
            findings.append(CredentialsFinding(EXPOSED, AlertSeverity.WARNING, exposed))
        if self._trouble:
            kept = "; the ones in use stay" if self._newest is not None else ""
            message = f"no newer credentials: {self._trouble}{kept}" if kept else self._trouble
            findings.append(CredentialsFinding(REFRESH, AlertSeverity.WARNING, message))
        newest = None if self._newest is None else self._newest.facts
        if self._fallen_back() and newest is not None and facts is not None:
            findings.append(
                CredentialsFinding(
                    REFUSED,
                    AlertSeverity.WARNING,
                    f"the broker refuses the new client certificate (serial number "
                    f"{newest.serial_number}), the one before is in use until "
                    f"{certificate_expiry_text(facts.not_after_ts)}: "
                    f"activate the new one and attach its policy",
                )
            )
        return findings + (
            [] if facts is None else credentials_expiry_findings(facts, self._clock())
        )

    def alert(self, set_alert: Callable[[str, AlertSeverity, str | None], None]) -> None:
        """Give every code its message, or None where all is well."""
        found = {finding.code: finding for finding in self.findings()}
        for code in CODES:
            finding = found.get(code)
            if finding is None:
                set_alert(code, AlertSeverity.WARNING, None)
            else:
                set_alert(code, finding.severity, finding.message)


def make_tls_credentials(tls: CloudTlsConfig, folder: Path) -> Credentials:
    """`folder` is the agent's data folder."""
    return Credentials(credential_source_of(tls, folder))


def tls_context_of_credentials(tls: CloudTlsConfig) -> ssl.SSLContext:
    """For a command that connects once; raises TlsCredentialError or SecretsManagerError."""
    material = credential_source_of(tls, Path()).read()
    check_any_certificates(material, time.time())
    return material.context()
