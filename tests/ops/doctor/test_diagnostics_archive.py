"""The archive for a helper holds what explains, and nothing secret."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.doctor import diagnostics_archive as diagnostics
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from tests.support.authority import Authority
from tests.support.ports import free_port

AWS_ID = "AKIA" + "IOSFODNN7EXAMPLE"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CURVE_KEY = "PRq83aYqPNtQMbYw0dJYjvFzEvIn9B-rQ3o3c8B_xyz"
PAGE_TOKEN = "page-token-of-the-site-0123456789"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2ZW4ifQ.c2lnbmF0dXJl"


def planted(paths: Paths, settings: SiteSettings, folder: Path) -> tuple[SiteSettings, list[str]]:
    """A site with secrets wherever one could slip in; the secrets."""
    pem = Authority().issue("thing").key
    log = paths.platform_log
    tail_of_a_key = "\n".join(pem.splitlines()[-2:])
    log.write_text(
        f"{tail_of_a_key}\n2026-11-21 10:00:00,000 () volttron INFO: event evt-1 active\n{pem}\n"
        f'password = "hunter2 & more"\nAuthorization: Bearer {JWT}\n'
        f"aws_secret_access_key={AWS_SECRET} {AWS_ID}\n"
        f"tcp://127.0.0.1:22916?serverkey={CURVE_KEY}&secretkey={CURVE_KEY}\n"
    )
    paths.output_log("broker").write_text("mqtt://operator:s3same@broker.example:1883 refused\n")
    config = {**settings.agent_config, "web": {"token": PAGE_TOKEN}}
    variables = {"BACKEND_URL": "https://site:opensesame@backend.example", "AWS_REGION": "eu"}
    variables["VEN_BROKER_PORT"] = str(free_port())
    changed = replace(settings, agent_config=config, variables=variables)
    lines = [line for line in pem.splitlines() if "-----" not in line]
    secrets = [
        *lines,
        "hunter2",
        JWT,
        AWS_ID,
        AWS_SECRET,
        CURVE_KEY,
        "s3same",
        "page-token-of-the-site-0123456789",
    ]
    return changed, [*secrets, "opensesame"]


def contents(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        return {
            member.name.partition("/")[2]: (archive.extractfile(member) or file.open("rb"))
            .read()
            .decode()
            for member in archive
        }


def test_the_archive_holds_no_secret_and_still_explains(
    paths: Paths, settings: SiteSettings, tmp_path: Path
) -> None:
    settings, secrets = planted(paths, settings, tmp_path)
    file = tmp_path / "help.tar.gz"
    seen: list[str] = []
    names = diagnostics.write_diagnostics_archive(paths, settings, file, seen.append)
    found = contents(file)
    assert list(found) == names == seen
    for secret in secrets:
        holding = [name for name, text in found.items() if secret in text]
        assert holding == [], f"{secret!r} is in {holding}"
    assert "event evt-1 active" in found["logs/platform.log"]
    assert json.loads(found["settings.json"])["agent_config"]["ven_id"] == "volttron_thing"
    assert json.loads(found["settings.json"])["agent_config"]["web"]["token"] == "[removed]"
    assert {"broker", "platform"} <= {c["name"] for c in json.loads(found["doctor.json"])}
    assert "broker.example" in found["logs/broker.log"]
    assert file.stat().st_mode & 0o077 == 0


def test_an_archive_that_is_there_is_not_overwritten(
    paths: Paths, settings: SiteSettings, tmp_path: Path
) -> None:
    file = tmp_path / "help.tar.gz"
    file.write_text("mine")
    with pytest.raises(OpsError, match="is there already"):
        diagnostics.write_diagnostics_archive(paths, settings, file, lambda name: None)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_archive_that_was_broken_off_leaves_no_file(
    paths: Paths, settings: SiteSettings, tmp_path: Path, end: BaseException
) -> None:
    file = tmp_path / "help.tar.gz"

    def broken_off(name: str) -> None:
        raise end

    with pytest.raises((KeyboardInterrupt, OpsError)):
        diagnostics.write_diagnostics_archive(paths, settings, file, broken_off)
    assert not file.exists()


SEPARATORS = "\"'\\,;&}] \n\r\t\x0b\x0c\x1c\x1d\x1e\x1f"
ASCII = st.characters(max_codepoint=127, exclude_characters=SEPARATORS)


@given(st.text(ASCII, min_size=6, max_size=40))
def test_a_value_named_password_never_survives(value: str) -> None:
    for text in (
        json.dumps({"password": value}),
        f"password={value}",
        f"PASSWORD: {value} rest",
        f"api_key = '{value}'",
    ):
        assert f"{value}" not in diagnostics.diagnostics_without_secrets(text).replace(
            "[removed]", ""
        )


def test_what_is_no_secret_stays() -> None:
    text = "2026-11-21 heater1_contactor of site/building/panel is 4.5 kW; PRIVATE circuits: 8"
    assert diagnostics.diagnostics_without_secrets(text) == text
