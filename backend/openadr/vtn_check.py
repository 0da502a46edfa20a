"""Whether the VTN can be used: reached over TLS, its token, its clock, its programmes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from backend.openadr.openadr_settings import OpenAdrSettings
from backend.openadr.ven20b import Ven20b
from backend.openadr.vtn3 import Vtn3, Vtn3Error

CLOCK_APART_SEC = 5.0


@dataclass(frozen=True)
class VtnCheckFinding:
    """`code` is stable, for programs; `text` says what to do."""

    ok: bool
    code: str
    text: str


async def check_vtn(settings: OpenAdrSettings) -> list[VtnCheckFinding]:
    """Changes nothing at the VTN: it registers no VEN."""
    is_tls = urlsplit(settings.vtn_url).scheme == "https"
    findings = [
        VtnCheckFinding(True, "vtn_tls", "HTTPS, and its certificate is trusted")
        if is_tls
        else VtnCheckFinding(True, "vtn_without_tls", "HTTP to this machine alone: only for trying")
    ]
    found = await (_check_20b(settings) if settings.version == "2.0b" else _check_3(settings))
    if not found[0].ok and is_tls:
        findings = []  # it says itself what is wrong with TLS
    return findings + found


async def _check_3(settings: OpenAdrSettings) -> list[VtnCheckFinding]:
    vtn = Vtn3(settings)
    try:
        programs = await vtn.programs()
    except Vtn3Error as error:
        return [
            VtnCheckFinding(
                False,
                "vtn_unusable",
                f"{error}. Look at OPENADR_VTN_URL, OPENADR_CLIENT_ID, OPENADR_CLIENT_SECRET, "
                "OPENADR_CA_CERT and OPENADR_PROGRAMS.",
            )
        ]
    finally:
        await vtn.close()
    names = ", ".join(sorted(programs.values())[:10])
    found = [VtnCheckFinding(True, "vtn_token", "the VTN answers, and takes our token")]
    found.append(
        VtnCheckFinding(True, "vtn_programs", f"programmes: {names}")
        if programs
        else VtnCheckFinding(
            False, "vtn_no_programs", "the VTN shows us no programme: ask the utility"
        )
    )
    offset_sec = vtn.clock_offset_sec
    if offset_sec is not None:
        found.append(
            VtnCheckFinding(
                abs(offset_sec) <= CLOCK_APART_SEC,
                "vtn_clock",
                f"the VTN's clock is {offset_sec:+.1f} s from ours"
                + ("" if abs(offset_sec) <= CLOCK_APART_SEC else ": events begin so much off"),
            )
        )
    return found


async def _check_20b(settings: OpenAdrSettings) -> list[VtnCheckFinding]:
    async def never(_raw: object) -> str:
        raise AssertionError("no event is asked for")

    ven = Ven20b(settings, never)
    try:
        answer = await ven.query_registration()
    finally:
        await ven.close()
    if not answer or answer[0] is None:
        text = "no answer to oadrQueryRegistration. Look at OPENADR_VTN_URL and the certificates."
        return [VtnCheckFinding(False, "vtn_unusable", text)]
    return [VtnCheckFinding(True, "vtn_answers", "the VTN answers oadrQueryRegistration")]
