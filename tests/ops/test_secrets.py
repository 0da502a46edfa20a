"""Nothing secret below VENAGENT_HOME can be read by another user of the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.host.paths import Paths
from ops.host.site_settings import (
    SiteSettings,
    load_site_settings,
    save_site_settings,
    site_settings_secrets,
)
from ops.host.staging import copy_to_staging
from ops.provision.issued_certificate import IssuedCertificate
from ops.provision.site_folder import SiteFolder
from ops.provision.site_identity import ensure_site_identity_request, write_site_identity_config
from ops.volttron.config_store import ConfigStoreEntry, store_config_entry
from tests.support.readable_files import readable_by_others, told_to_others

TOKEN = "a-token-of-the-test-that-is-long-enough"
MQTT_PASSWORD = "a-password-of-the-test"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """As most machines have it: what is not made private can be read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def with_token(settings: SiteSettings) -> SiteSettings:
    config = {**settings.agent_config, "web": {"host": "0.0.0.0", "port": 8080, "token": TOKEN}}
    return replace(settings, agent_config=config, variables={"WEB_PORT": "8080"})


def test_settings_hold_no_secret_and_come_back_with_it(
    paths: Paths, with_token: SiteSettings, open_umask: None
) -> None:
    save_site_settings(paths, with_token)
    assert TOKEN not in paths.settings.read_text()
    assert paths.settings.stat().st_mode & 0o777 == 0o600
    assert paths.secrets.stat().st_mode & 0o777 == 0o600
    assert load_site_settings(paths) == with_token
    assert list(site_settings_secrets(with_token)) == [TOKEN]


def test_a_password_among_the_variables_is_a_secret_too(
    paths: Paths, settings: SiteSettings
) -> None:
    variables = {"MQTT_USERNAME": "site", "MQTT_PASSWORD": MQTT_PASSWORD, "CLIENT_ID": "prod-ven"}
    changed = replace(settings, variables=variables)
    save_site_settings(paths, changed)
    assert MQTT_PASSWORD not in paths.settings.read_text()
    assert "prod-ven" in paths.settings.read_text()
    assert load_site_settings(paths) == changed


def test_an_old_file_that_all_can_read_is_replaced(
    paths: Paths, with_token: SiteSettings, open_umask: None
) -> None:
    paths.settings.write_text(json.dumps({"agent_config": with_token.agent_config}))
    before = load_site_settings(paths)
    assert before is not None
    save_site_settings(paths, before)
    assert paths.settings.stat().st_mode & 0o777 == 0o600
    assert TOKEN not in paths.settings.read_text()


def test_nothing_secret_can_be_read_by_others(
    paths: Paths, with_token: SiteSettings, open_umask: None, tmp_path: Path
) -> None:
    """All that is written with a secret in it, and what vctl is lent meanwhile."""
    save_site_settings(paths, with_token)
    lent = tmp_path / "lent"
    vctl = paths.platform_bin / "vctl"
    vctl.write_text(f'#!/bin/sh\nstat -c %a "$5" >{lent}\n')
    vctl.chmod(0o755)
    contents = json.dumps(with_token.agent_config)
    store_config_entry(paths, ConfigStoreEntry("ven.agent", "config", contents, "json"))
    assert lent.read_text() == "600\n"
    config = tmp_path / "config"
    config.write_text(contents)
    copy_to_staging(paths, "agent", [], {"config": config})
    site = SiteFolder(paths.home / "certificates/thing", "thing")
    ensure_site_identity_request(site)
    issued = IssuedCertificate(thing="thing", endpoint="e.example", certificate="PEM")
    write_site_identity_config(site, with_token.agent_config, issued)
    key = next(line for line in site.key.read_text().splitlines() if "-----" not in line)
    assert told_to_others(paths.home, [TOKEN, key]) == []
    assert list(readable_by_others(paths.home))  # the walk sees what is open
