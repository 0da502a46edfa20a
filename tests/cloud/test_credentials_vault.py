"""Credentials from a secret: fetched, kept over a start without network, and told to nobody."""

from __future__ import annotations

import json
import logging
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cloud.credential_house import NAME, OURS, Site, Vault, wait_for
from VenAgent.cloud.tls import credentials as module
from VenAgent.cloud.tls.credentials import REFRESH
from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.cloud.tls.tls_material import TlsMaterial

pytest_plugins = ["tests.cloud.credential_fixtures"]


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
    thread.join(60)
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
    with pytest.raises(TlsCredentialError, match="cannot be reached"):
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


@pytest.mark.long
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
            told.append(repr(TlsMaterial.from_secret(text, NAME)))
        except TlsCredentialError as error:
            told.append(repr(error))
    wait_for(lambda: site.codes() == [REFRESH], "the last finding")
    site.connect(accepted=False)
    told += [finding.message for finding in site.credentials.findings()]
    told += [repr(vars(site.credentials)), repr(site.credentials.findings()), caplog.text]
    shutil.rmtree(tmp_path)
    for line in [line for key in keys for line in key.splitlines() if "-----" not in line]:
        assert not any(line[:32] in text for text in told)
    assert "client certificate CN=site-1" in caplog.text
