"""The credentials in use: renewed while the agent runs, kept over a start without network."""

from __future__ import annotations

import json
import logging
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority, Pair
from VenAgent.alerts import Alerts
from VenAgent.cloud import credentials as module
from VenAgent.cloud.certificates import from_secret
from VenAgent.cloud.credentials import (
    EXPIRES,
    EXPIRES_SOON,
    EXPOSED,
    REFRESH,
    REFUSED,
    Credentials,
    FileSource,
)
from VenAgent.cloud.secret import SecretError
from VenAgent.cloud.tls import CredentialError
from VenAgent.config.cloud import TlsConfig

OURS = Authority("Our CA")
NAME = "ven/site-1"


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        time.sleep(0.005)


class Site:
    """Credentials, and how often (`changes`) they wanted the connection made anew."""

    def __init__(self, source: module.Source) -> None:
        self.changes = 0
        self.now = time.time()
        self.credentials = Credentials(source, clock=lambda: self.now)

    def start(self) -> Site:
        self.credentials.start(self._on_change)
        return self

    def _on_change(self) -> None:
        self.changes += 1

    def wait_for_change(self) -> None:
        """The connection is to be made anew, with other credentials than it has."""
        seen = self.changes
        wait_for(lambda: self.changes > seen, "the connection is to be made anew")

    def look(self) -> None:
        """As the watching thread does, at once."""
        self.credentials._wanted.set()

    def codes(self) -> list[str]:
        return [finding.code for finding in self.credentials.findings()]

    def connect(self, *, accepted: bool = True) -> str:
        """Make a connection; the serial number of the certificate it uses."""
        self.credentials.context()
        (self.credentials.accepted if accepted else self.credentials.refused)()
        facts = self.credentials.facts
        assert facts is not None
        return facts.serial_number

    def stop(self) -> None:
        self.credentials.stop()
        wait_for(lambda: self.credentials.ended, "its thread has ended")


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    sites: list[Site] = []
    yield sites
    for site in sites:
        site.stop()


@pytest.fixture
def files(tmp_path: Path) -> TlsConfig:
    return OURS.files(tmp_path, "site-1")


@pytest.fixture
def site(files: TlsConfig, sites: list[Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(FileSource, "every_sec", 0.01)
    sites.append(Site(module.source_of(files, Path())).start())
    return sites[-1]


def renew(files: TlsConfig, pair: Pair) -> None:
    assert files.client_cert
    assert files.private_key
    Path(files.client_cert).write_text(pair.certificate)
    Path(files.private_key).write_text(pair.key)


# ---- files --------------------------------------------------------------------------------------


def test_renewed_files_are_noticed_and_the_connection_is_made_anew(
    site: Site, files: TlsConfig
) -> None:
    before = site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    assert site.connect() != before
    assert site.codes() == []


def test_half_a_renewal_changes_nothing_but_is_told(site: Site, files: TlsConfig) -> None:
    before = site.connect()
    assert files.client_cert
    new = OURS.issue("site-1")
    Path(files.client_cert).write_text(new.certificate)
    wait_for(lambda: site.codes() == [REFRESH], "the finding")
    (finding,) = site.credentials.findings()
    assert "does not belong to the client certificate" in finding.message
    assert "the ones in use stay" in finding.message
    assert site.connect() == before
    renew(files, new)
    wait_for(lambda: site.codes() == [], "it is well again")
    assert site.connect() != before


def test_files_that_vanish_leave_the_ones_in_use(site: Site, files: TlsConfig) -> None:
    before = site.connect()
    assert files.private_key
    Path(files.private_key).unlink()
    wait_for(lambda: site.codes() == [REFRESH], "the finding")
    assert site.connect() == before


def test_without_anything_to_use_a_connection_is_refused_with_the_reason(
    tmp_path: Path, sites: list[Site]
) -> None:
    sites.append(Site(FileSource("/nowhere/ca", "/nowhere/crt", "/nowhere/key")).start())
    with pytest.raises(CredentialError, match="a TLS file is missing"):
        sites[0].credentials.context()
    assert sites[0].codes() == [REFRESH]


def test_a_certificate_that_expires_while_we_run_is_not_sent_any_more(site: Site) -> None:
    site.connect()
    assert site.codes() == []
    site.now += 340 * 86_400
    assert site.codes() == [EXPIRES]
    site.now += 30 * 86_400
    with pytest.raises(CredentialError, match="expired on"):
        site.credentials.context()


def test_each_finding_is_an_alert_that_ends_with_it(site: Site) -> None:
    """As the agent calls it, again and again."""
    told: list[str] = []
    alerts = Alerts("site-1", lambda body: told.append(f"{body['severity']} {body['code']}"))
    site.connect()
    site.credentials.alert(alerts.set)
    assert told == []
    site.now += 340 * 86_400
    site.credentials.alert(alerts.set)
    site.credentials.alert(alerts.set)
    assert told == [f"warning {EXPIRES}"]
    site.now += 20 * 86_400
    site.credentials.alert(alerts.set)
    assert told[1:] == [f"critical {EXPIRES_SOON}"]
    site.now -= 360 * 86_400
    site.credentials.alert(alerts.set)
    assert sorted(told[2:]) == [f"cleared {EXPIRES}", f"cleared {EXPIRES_SOON}"]


def test_a_key_that_everybody_can_read_is_told(site: Site, files: TlsConfig) -> None:
    assert files.private_key
    Path(files.private_key).chmod(0o644)
    (finding,) = site.credentials.findings()
    assert finding.code == EXPOSED
    assert f"chmod 600 {files.private_key}" in finding.message


def test_without_news_the_connection_is_left_alone(site: Site) -> None:
    site.connect()
    source = site.credentials._source
    reads: list[int] = []
    read = source.read
    source.read = lambda: (reads.append(1), read())[1]  # type: ignore[method-assign]
    seen = site.changes
    wait_for(lambda: len(reads) > 5, "the files have been looked at")
    assert site.changes == seen


# ---- new ones that the broker refuses -----------------------------------------------------------


def test_new_credentials_that_the_broker_refuses_give_way_to_the_old(
    site: Site, files: TlsConfig
) -> None:
    before = site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    refused = site.connect(accepted=False)
    assert refused != before
    assert site.connect() == before
    assert site.codes() == [REFUSED]
    (finding,) = site.credentials.findings()
    assert refused in finding.message
    assert "activate the new one" in finding.message


def test_refused_ones_are_tried_again_after_an_hour_and_stay_once_accepted(
    site: Site, files: TlsConfig
) -> None:
    site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    refused = site.connect(accepted=False)
    site.connect()
    site.now += module.AGAIN_SEC
    site.wait_for_change()
    assert site.connect() == refused
    assert site.codes() == []
    assert site.connect(accepted=False) == refused
    assert site.connect() == refused, "once accepted there is no way back"


def test_the_old_ones_are_not_used_once_they_have_expired(
    files: TlsConfig, sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSource, "every_sec", 0.01)
    renew(files, OURS.issue("site-1", days=0.01))
    sites.append(Site(module.source_of(files, Path())).start())
    (site,) = sites
    before = site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    assert site.connect(accepted=False) != before
    site.now += 1_800
    assert site.connect() != before


# ---- a secret -----------------------------------------------------------------------------------


class Vault:
    """Secrets Manager, as `SecretFetch` shows it; `text` or `trouble` is what it answers."""

    def __init__(self, pair: Pair) -> None:
        self.store(pair)
        self.trouble: str | None = None
        self.fetches = 0
        self.open = threading.Event()
        self.open.set()

    def store(self, pair: Pair) -> None:
        self.text = json.dumps({"ca": OURS.pem, "certificate": pair.certificate, "key": pair.key})

    def run(self, name: str, region: str | None) -> str:
        self.fetches += 1
        assert (name, region) == (NAME, "eu-west-1")
        self.open.wait(60)
        if self.trouble is not None:
            raise SecretError(self.trouble)
        return self.text

    def cancel(self) -> None:
        self.open.set()


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Vault:
    vault = Vault(OURS.issue("site-1"))
    monkeypatch.setattr(module, "SecretFetch", lambda: vault)
    return vault


@pytest.fixture
def secret_site(vault: Vault, tmp_path: Path, sites: list[Site]) -> Callable[[], Site]:
    tls = TlsConfig(secret_name=NAME, region="eu-west-1")

    def make() -> Site:
        sites.append(Site(module.source_of(tls, tmp_path)))
        return sites[-1].start()

    return make


def test_a_connection_waits_for_the_first_fetch(
    vault: Vault, secret_site: Callable[[], Site]
) -> None:
    vault.open.clear()
    site = secret_site()
    serials: list[str] = []
    thread = threading.Thread(target=lambda: serials.append(site.connect()))
    thread.start()
    wait_for(lambda: vault.fetches == 1, "the fetch has begun")
    assert serials == []
    vault.open.set()
    thread.join(10)
    assert len(serials) == 1


def test_the_copy_is_for_the_agents_user_alone_and_serves_a_start_without_network(
    vault: Vault, secret_site: Callable[[], Site], tmp_path: Path
) -> None:
    first = secret_site()
    before = first.connect()
    wait_for((tmp_path / "credentials.json").exists, "the copy")
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]
    first.stop()
    vault.trouble = "AWS Secrets Manager cannot be reached"
    second = secret_site()
    assert second.connect() == before
    wait_for(lambda: second.codes() == [REFRESH], "the finding")
    assert "cannot be reached; the ones in use stay" in second.credentials.findings()[0].message


def test_a_copy_that_others_could_read_is_closed_before_it_is_used(
    vault: Vault, secret_site: Callable[[], Site], tmp_path: Path
) -> None:
    secret_site().connect()
    copy = tmp_path / "credentials.json"
    wait_for(copy.exists, "the copy")
    copy.chmod(0o644)
    secret_site().connect()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["{", "[]", '{"name": "another"}', '{"name": "ven/site-1"}'])
def test_a_copy_that_is_damaged_or_of_another_secret_is_not_used(
    vault: Vault, secret_site: Callable[[], Site], tmp_path: Path, damage: str
) -> None:
    (tmp_path / "credentials.json").write_text(damage)
    site = secret_site()
    site.connect()
    assert vault.fetches == 1
    wait_for(lambda: "certificate" in (tmp_path / "credentials.json").read_text(), "a good copy")


@pytest.mark.parametrize("other", [{"name": "ven/site-2"}, {"region": "us-east-1"}])
def test_the_copy_of_another_secret_is_not_used(
    vault: Vault, secret_site: Callable[[], Site], tmp_path: Path, other: dict[str, str]
) -> None:
    copy = {"name": NAME, "region": "eu-west-1", "text": vault.text, **other}
    (tmp_path / "credentials.json").write_text(json.dumps(copy))
    vault.trouble = "AWS Secrets Manager cannot be reached"
    with pytest.raises(CredentialError, match="cannot be reached"):
        secret_site().credentials.context()


def test_a_copy_that_has_expired_waits_for_the_fetch(
    vault: Vault, secret_site: Callable[[], Site]
) -> None:
    vault.store(OURS.issue("site-1", days=0.5))
    first = secret_site()
    before = first.connect()
    first.stop()
    vault.store(OURS.issue("site-1"))
    second = secret_site()
    second.now += 86_400
    assert second.connect() != before


def test_a_refused_connection_has_the_secret_looked_at_again(
    vault: Vault, secret_site: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_EVERY_SEC", 0.0)
    site = secret_site()
    before = site.connect()
    vault.store(OURS.issue("site-1"))
    assert site.connect(accepted=False) == before
    site.wait_for_change()
    assert site.connect() != before


def test_connections_refused_again_and_again_do_not_hammer_the_vault(
    vault: Vault, secret_site: Callable[[], Site]
) -> None:
    site = secret_site()
    site.connect()
    for _ in range(100):
        site.connect(accepted=False)
    assert vault.fetches == 1


def test_a_disk_that_is_full_does_not_keep_the_site_offline(
    vault: Vault, secret_site: Callable[[], Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    site = secret_site()
    site.connect()
    wait_for(lambda: site.codes() == [REFRESH], "the finding")
    assert "No space left on device" in site.credentials.findings()[0].message


def test_stopping_ends_a_fetch_that_hangs(vault: Vault, secret_site: Callable[[], Site]) -> None:
    vault.open.clear()
    site = secret_site()
    wait_for(lambda: vault.fetches == 1, "the fetch has begun")
    site.stop()


# ---- what is seen of them -----------------------------------------------------------------------


def test_no_key_material_in_anything_that_is_told(
    vault: Vault,
    secret_site: Callable[[], Site],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Through a whole life: fetched, kept, renewed, broken in each part, refused, damaged."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    pair = OURS.issue("site-1")
    keys = [pair.key]
    site = secret_site()
    site.connect()
    whole = {"ca": OURS.pem, "certificate": pair.certificate, "key": pair.key}
    for text in (
        json.dumps(whole),
        pair.key,
        json.dumps({"key": pair.key}),
        *(json.dumps({**whole, name: pair.key}) for name in whole),
        json.dumps({**whole, "key": pair.key.replace("PRIVATE", "ENCRYPTED PRIVATE")}),
        json.dumps({**whole, "key": pair.key[:100] + "-----END PRIVATE KEY-----"}),
        json.dumps({**whole, "key": OURS.issue("site-2").key}),
    ):
        vault.text = text
        seen = vault.fetches
        site.look()
        wait_for(lambda seen=seen: vault.fetches > seen, "another fetch")
        try:
            told.append(repr(from_secret(text, NAME)))
        except CredentialError as error:
            told.append(repr(error))
    wait_for(lambda: site.codes() == [REFRESH], "the last finding")
    site.connect(accepted=False)
    told += [finding.message for finding in site.credentials.findings()]
    told += [repr(vars(site.credentials)), repr(site.credentials.findings()), caplog.text]
    shutil.rmtree(tmp_path)
    for line in [line for key in keys for line in key.splitlines() if "-----" not in line]:
        assert not any(line[:32] in text for text in told)
    assert "client certificate CN=site-1" in caplog.text
