"""Fixtures of the tests of credentials, which name this module in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cloud.credential_house import NAME, OURS, Site, Vault
from VenAgent.cloud.tls import credential_sources
from VenAgent.cloud.tls.credential_sources import FileCredentialSource, credential_source_of
from VenAgent.config.cloud_config import CloudTlsConfig


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    sites: list[Site] = []
    yield sites
    for site in sites:
        site.stop()


@pytest.fixture
def files(tmp_path: Path) -> CloudTlsConfig:
    return OURS.files(tmp_path, "site-1")


@pytest.fixture
def site(files: CloudTlsConfig, sites: list[Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(FileCredentialSource, "every_sec", 0.01)
    sites.append(Site(credential_source_of(files, Path())).start())
    return sites[-1]


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Vault:
    vault = Vault(OURS.issue("site-1"))
    monkeypatch.setattr(credential_sources, "SecretsManagerFetch", lambda: vault)
    return vault


@pytest.fixture
def secret_site(vault: Vault, tmp_path: Path, sites: list[Site]) -> Callable[[], Site]:
    tls = CloudTlsConfig(secret_name=NAME, region="eu-west-1")

    def make() -> Site:
        sites.append(Site(credential_source_of(tls, tmp_path)))
        return sites[-1].start()

    return make
