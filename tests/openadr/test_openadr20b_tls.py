"""OpenADR 2.0b over mutual TLS with signed messages, against openleadr's own VTN."""

from __future__ import annotations

from pathlib import Path

import pytest
from openleadr.utils import certificate_fingerprint

from backend.openadr.openadr20b_service import OpenAdr20bService
from backend.openadr.vtn_check import check_vtn
from backend.openadr.vtn_link import LINKS
from backend.store.database import Database
from tests.backend.dispatching import add_vens, rows
from tests.openadr.stage import events, settings_for
from tests.openadr.vtn20b import running_vtn20b
from tests.support.authority import Authority, Pair
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio


class Certificates:
    """One authority, the VTN's pair and a VEN's."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        self.ca = folder / "ca.pem"
        self.ca.write_text(authority.pem)
        self.vtn = self._pair(authority.issue("127.0.0.1"), folder, "vtn")
        self.ven = self._pair(authority.issue("operator"), folder, "ven")
        other = Authority("Another CA")
        self.stranger = self._pair(other.issue("stranger"), folder, "stranger")

    @staticmethod
    def _pair(pair: Pair, folder: Path, name: str) -> tuple[str, str]:
        certificate, key = pair.write(folder, name)
        return str(certificate), str(key)

    def fingerprint(self, pair: tuple[str, str]) -> str:
        return str(certificate_fingerprint(Path(pair[0]).read_text()))

    def settings(self, pair: tuple[str, str], fingerprint: str) -> dict[str, str]:
        return {
            "OPENADR_CA_CERT": str(self.ca),
            "OPENADR_CLIENT_CERT": pair[0],
            "OPENADR_CLIENT_KEY": pair[1],
            "OPENADR_VTN_FINGERPRINT": fingerprint,
        }


async def test_certificates_of_both_sides_are_checked_and_messages_signed(
    database: Database, tmp_path: Path
) -> None:
    await add_vens(database, {"a": 2.0})
    certificates = Certificates(tmp_path)
    port = free_port()
    url = f"https://127.0.0.1:{port}/OpenADR2/Simple/2.0b"

    async def lookup(ven_id: str) -> dict[str, str]:
        return {
            "ven_id": ven_id,
            "ven_name": "operator",
            "registration_id": "registration-1",
            "fingerprint": certificates.fingerprint(certificates.ven),
        }

    async with running_vtn20b(
        port,
        cert=certificates.vtn[0],
        key=certificates.vtn[1],
        http_cert=certificates.vtn[0],
        http_key=certificates.vtn[1],
        http_ca_file=str(certificates.ca),
        ven_lookup=lookup,
    ) as vtn:
        good = certificates.settings(certificates.ven, certificates.fingerprint(certificates.vtn))
        service = OpenAdr20bService(database, settings_for(url, "2.0b", **good))
        await service.turn()
        event_id = vtn.event([3])
        await service.turn()
        await service.close()
        assert vtn.opts == [(event_id, "optIn")]
        assert len(await events(database)) == 1
        assert all(f.ok for f in await check_vtn(settings_for(url, "2.0b", **good)))

        stranger = certificates.settings(certificates.stranger, good["OPENADR_VTN_FINGERPRINT"])
        findings = await check_vtn(settings_for(url, "2.0b", **stranger))
        assert findings[-1].code == "vtn_unusable"

        registered = vtn.registrations
        forged = certificates.settings(certificates.ven, "00:11:22:33:44:55:66:77:88:99")
        service = OpenAdr20bService(database, settings_for(url, "2.0b", **forged))
        await service.turn()
        await service.close()
        assert vtn.registrations == registered + 1  # it was asked, but its answer is not believed
    (link,) = await rows(database, LINKS)
    assert link.problem
