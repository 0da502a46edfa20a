"""OpenADR 3 over TLS: the VTN's certificate is checked, and ours is shown where it is asked for."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from backend.openadr.vtn_check import check_vtn
from backend.store.database import Database
from tests.backend.dispatching import add_vens
from tests.openadr import vtn3
from tests.openadr.stage import events, hurry, service_for, settings_for
from tests.openadr.test_openadr3_faults import problem
from tests.openadr.test_openadr20b_tls import Certificates

pytestmark = pytest.mark.asyncio


def context_of_vtn(certificates: Certificates, *, newest: ssl.TLSVersion) -> ssl.SSLContext:
    """It lets in who has a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.vtn)
    context.load_verify_locations(str(certificates.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest
    return context


async def test_certificates_of_both_sides_are_checked_also_for_the_token(
    database: Database, tmp_path: Path
) -> None:
    await add_vens(database, {"a": 2.0})
    certificates = Certificates(tmp_path)
    ours = {
        "OPENADR_CA_CERT": str(certificates.ca),
        "OPENADR_CLIENT_CERT": certificates.ven[0],
        "OPENADR_CLIENT_KEY": certificates.ven[1],
    }
    stranger = {
        "OPENADR_CLIENT_CERT": certificates.stranger[0],
        "OPENADR_CLIENT_KEY": certificates.stranger[1],
    }
    newest = ssl.TLSVersion.MAXIMUM_SUPPORTED
    with vtn3.running(tls=context_of_vtn(certificates, newest=newest)) as vtn:
        vtn.event("e1", kws=[-1.0])
        for settings in (
            {**ours, "OPENADR_CLIENT_CERT": "", "OPENADR_CLIENT_KEY": ""},
            {**ours, **stranger},
            {**ours, "OPENADR_CA_CERT": ""},
        ):
            async with service_for(database, vtn.url, **settings) as service:
                hurry(service)
                await service.turn()
            assert "cannot be reached" in str(await problem(database))
            findings = await check_vtn(settings_for(vtn.url, **settings))
            assert [finding.code for finding in findings] == ["vtn_unusable"]
        assert vtn.tokens_given == 0
        async with service_for(database, vtn.url, **ours) as service:
            await service.turn()
        assert await problem(database) is None
        findings = await check_vtn(settings_for(vtn.url, **ours))
        assert {finding.code for finding in findings if finding.ok} >= {"vtn_tls", "vtn_token"}
    assert len(await events(database)) == 1


async def test_tls_before_12_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    settings = {
        "OPENADR_CA_CERT": str(certificates.ca),
        "OPENADR_CLIENT_CERT": certificates.ven[0],
        "OPENADR_CLIENT_KEY": certificates.ven[1],
    }
    old = context_of_vtn(certificates, newest=ssl.TLSVersion.TLSv1_1)
    with vtn3.running(tls=old) as vtn:
        findings = await check_vtn(settings_for(vtn.url, **settings))
    assert [finding.ok for finding in findings] == [False]


async def test_the_secret_is_not_sent_without_tls_to_a_token_server(
    database: Database, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    newest = ssl.TLSVersion.MAXIMUM_SUPPORTED
    settings = {
        "OPENADR_CA_CERT": str(certificates.ca),
        "OPENADR_CLIENT_CERT": certificates.ven[0],
        "OPENADR_CLIENT_KEY": certificates.ven[1],
        "OPENADR_TOKEN_URL": "http://tokens.example/token",
    }
    with vtn3.running(tls=context_of_vtn(certificates, newest=newest)) as vtn:
        async with service_for(database, vtn.url, **settings) as service:
            await service.turn()
    assert "HTTPS" in str(await problem(database))
