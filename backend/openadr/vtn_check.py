"""Whether the VTN can be used: reached over TLS, its token, its clock, its programmes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from backend.openadr.openadr3_vtn import OpenAdr3Vtn, OpenAdr3VtnError
from backend.openadr.openadr20b_ven import OpenAdr20bVen
from backend.openadr.openadr_settings import OpenAdrSettings

CLOCK_APART_SEC = 5.0


@dataclass(frozen=True)
class _Finding:
    """`code` is stable, for programs; `text` says what to do."""

    ok: bool
    code: str
    text: str


async def check_vtn(settings: OpenAdrSettings) -> list[_Finding]:
    """Changes nothing at the VTN: it registers no VEN."""
    is_tls = urlsplit(settings.vtn_url).scheme == "https"
    findings = [
        _Finding(True, "vtn_tls", "HTTPS, and its certificate is trusted")
        if is_tls
        else _Finding(True, "vtn_without_tls", "HTTP to this machine alone: only for trying")
    ]
    found = await (_check_20b(settings) if settings.version == "2.0b" else _check_3(settings))
    if not found[0].ok and is_tls:
        findings = []  # it says itself what is wrong with TLS
    return findings + found


async def _check_3(settings: OpenAdrSettings) -> list[_Finding]:
    vtn = OpenAdr3Vtn(settings)
    try:
        programs = await vtn.programs()
    except OpenAdr3VtnError as error:
        return [
            _Finding(
                False,
                "vtn_unusable",
                f"{error}. Look at OPENADR_VTN_URL, OPENADR_CLIENT_ID, OPENADR_CLIENT_SECRET, "
                "OPENADR_CA_CERT and OPENADR_PROGRAMS.",
            )
        ]
    finally:
        await vtn.close()
    names = ", ".join(sorted(programs.values())[:10])
    found = [_Finding(True, "vtn_token", "the VTN answers, and takes our token")]
    found.append(
        _Finding(True, "vtn_programs", f"programmes: {names}")
        if programs
        else _Finding(False, "vtn_no_programs", "the VTN shows us no programme: ask the utility")
    )
    offset_sec = vtn.connection.clock_offset_sec
    if offset_sec is not None:
        found.append(
            _Finding(
                abs(offset_sec) <= CLOCK_APART_SEC,
                "vtn_clock",
                f"the VTN's clock is {offset_sec:+.1f} s from ours"
                + ("" if abs(offset_sec) <= CLOCK_APART_SEC else ": events begin so much off"),
            )
        )
    return found


async def _check_20b(settings: OpenAdrSettings) -> list[_Finding]:
    async def never(_raw: object) -> str:
        raise AssertionError("no event is asked for")

    ven = OpenAdr20bVen(settings, never)
    try:
        answer = await ven.query_registration()
    finally:
        await ven.close()
    if not answer or answer[0] is None:
        text = "no answer to oadrQueryRegistration. Look at OPENADR_VTN_URL and the certificates."
        return [_Finding(False, "vtn_unusable", text)]
    return [_Finding(True, "vtn_answers", "the VTN answers oadrQueryRegistration")]
