"""The credentials in use: renewed while the agent runs, and the old ones kept until they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cloud.credential_house import OURS, Site, renew, wait_for
from VenAgent.cloud.tls.credential_sources import FileCredentialSource, credential_source_of
from VenAgent.cloud.tls.credentials import (
    AGAIN_SEC,
    EXPIRES,
    EXPIRES_SOON,
    EXPOSED,
    REFRESH,
    REFUSED,
)
from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.cloud.tls.tls_material import TlsMaterial
from VenAgent.config.cloud_config import CloudTlsConfig
from VenAgent.reporting.active_alerts import ActiveAlerts

pytest_plugins = ["tests.cloud.credential_fixtures"]

# ---- files --------------------------------------------------------------------------------------


def test_renewed_files_are_noticed_and_the_connection_is_made_anew(
    site: Site, files: CloudTlsConfig
) -> None:
    before = site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    assert site.connect() != before
    assert site.codes() == []


def test_half_a_renewal_changes_nothing_but_is_told(site: Site, files: CloudTlsConfig) -> None:
    before = site.connect()
    assert files.client_cert
    new = OURS.issue("site-1")
    Path(files.client_cert).write_text(new.certificate)
    said = "does not belong to the client certificate"  # not yet while it is being written
    wait_for(lambda: any(said in f.message for f in site.credentials.findings()), "the finding")
    (finding,) = site.credentials.findings()
    assert finding.code == REFRESH
    assert "the ones in use stay" in finding.message
    assert site.connect() == before
    renew(files, new)
    wait_for(lambda: site.codes() == [], "it is well again")
    assert site.connect() != before


@pytest.mark.parametrize("name", ["ca_cert", "client_cert", "private_key"])
def test_a_file_that_is_just_being_written_is_no_part_that_is_not_used(
    tmp_path: Path, name: str
) -> None:
    paths = {each: tmp_path / each for each in ("ca_cert", "client_cert", "private_key")}
    for each, path in paths.items():
        path.write_text("" if each == name else "PEM")
    with pytest.raises(TlsCredentialError, match=rf"a TLS file is empty: \S+ \({name}\)"):
        TlsMaterial.from_files(**{each: str(path) for each, path in paths.items()})


def test_files_that_vanish_leave_the_ones_in_use(site: Site, files: CloudTlsConfig) -> None:
    before = site.connect()
    assert files.private_key
    Path(files.private_key).unlink()
    wait_for(lambda: site.codes() == [REFRESH], "the finding")
    assert site.connect() == before


def test_without_anything_to_use_a_connection_is_refused_with_the_reason(
    tmp_path: Path, sites: list[Site]
) -> None:
    sites.append(Site(FileCredentialSource("/nowhere/ca", "/nowhere/crt", "/nowhere/key")).start())
    with pytest.raises(TlsCredentialError, match="a TLS file is missing"):
        sites[0].credentials.context()
    assert sites[0].codes() == [REFRESH]


def test_a_certificate_that_expires_while_we_run_is_not_sent_any_more(site: Site) -> None:
    site.connect()
    assert site.codes() == []
    site.now += 340 * 86_400
    assert site.codes() == [EXPIRES]
    site.now += 30 * 86_400
    with pytest.raises(TlsCredentialError, match="expired on"):
        site.credentials.context()


def test_each_finding_is_an_alert_that_ends_with_it(site: Site) -> None:
    """As the agent calls it, again and again."""
    told: list[str] = []
    alerts = ActiveAlerts("site-1", lambda body: told.append(f"{body['severity']} {body['code']}"))
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


def test_a_key_that_everybody_can_read_is_told(site: Site, files: CloudTlsConfig) -> None:
    assert files.private_key
    Path(files.private_key).chmod(0o644)
    (finding,) = site.credentials.findings()
    assert finding.code == EXPOSED
    assert f"chmod 600 {files.private_key}" in finding.message
    Path(files.private_key).chmod(0o600)
    assert site.codes() == []


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
    site: Site, files: CloudTlsConfig
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
    site: Site, files: CloudTlsConfig
) -> None:
    site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    refused = site.connect(accepted=False)
    site.connect()
    site.now += AGAIN_SEC
    site.wait_for_change()
    assert site.connect() == refused
    assert site.codes() == []
    assert site.connect(accepted=False) == refused
    assert site.connect() == refused, "once accepted there is no way back"


def test_the_old_ones_are_not_used_once_they_have_expired(
    files: CloudTlsConfig, sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileCredentialSource, "every_sec", 0.01)
    renew(files, OURS.issue("site-1", days=0.01))
    sites.append(Site(credential_source_of(files, Path())).start())
    (site,) = sites
    before = site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    assert site.connect(accepted=False) != before
    site.now += 1_800
    assert site.connect() != before


def test_a_clock_that_was_set_back_does_not_keep_the_new_ones_out(
    site: Site, files: CloudTlsConfig
) -> None:
    site.connect()
    renew(files, OURS.issue("site-1"))
    site.wait_for_change()
    site.now += 10 * 86_400
    refused = site.connect(accepted=False)
    assert site.connect() != refused
    site.now -= 10 * 86_400
    site.wait_for_change()
    assert site.connect() == refused, "an hour has passed, by any clock"
