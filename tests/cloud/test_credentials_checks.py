"""Everything that can be wrong with CA, certificate and key has its own message."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest

from tests.support.authority import Authority, Pair, key_pem, new_key
from tests.support.each_case import each_case
from VenAgent.cloud.tls.certificates import check_certificates
from VenAgent.cloud.tls.credentials import EXPIRES, EXPIRES_SOON, credentials_expiry_findings
from VenAgent.cloud.tls.tls_errors import TlsCredentialError, explain_tls_error
from VenAgent.cloud.tls.tls_material import TlsMaterial, TlsMaterialPart
from VenAgent.config.cloud_config import CloudTlsConfig

DAY_SEC = 86_400.0
OURS = Authority("Our CA")
VEN = OURS.issue("site-1")


def material(
    ca: str = OURS.pem, certificate: str = VEN.certificate, key: str = VEN.key
) -> TlsMaterial:
    return TlsMaterial(
        TlsMaterialPart("CA certificate", "the file ca", ca),
        TlsMaterialPart("client certificate", "the file cert", certificate),
        TlsMaterialPart("private key", "the file key", key),
    )


def refusal(wrong: TlsMaterial, now: float | None = None) -> str:
    with pytest.raises(TlsCredentialError) as refused:
        check_certificates(wrong, time.time() if now is None else now)
    assert "BEGIN" not in str(refused.value)
    return str(refused.value)


def test_whole_credentials_tell_whose_they_are_and_until_when() -> None:
    facts = check_certificates(material(), time.time())
    assert facts.subject == "CN=site-1"
    assert facts.not_after_ts == pytest.approx(time.time() + 365 * DAY_SEC, abs=3_600)
    assert isinstance(material().context(), ssl.SSLContext)


def test_a_key_of_another_certificate() -> None:
    why = refusal(material(key=OURS.issue("site-2").key))
    assert "the private key does not belong to the client certificate CN=site-1" in why
    assert "same provisioning" in why


def test_an_expired_certificate() -> None:
    old = OURS.issue("site-1", days=-1, since_days=9)
    why = refusal(material(certificate=old.certificate, key=old.key))
    assert "CN=site-1 expired on " in why
    assert "renew it" in why


def test_a_certificate_that_is_not_valid_yet_names_the_clock() -> None:
    early = OURS.issue("site-1", since_days=-2)
    why = refusal(material(certificate=early.certificate, key=early.key))
    assert "is not valid before" in why
    assert "correct the clock" in why


def test_an_expired_ca() -> None:
    old = Authority("Old CA", days=-0.5)
    assert "the CA certificate CN=Old CA in the file ca expired on" in refusal(material(ca=old.pem))


def test_a_client_certificate_in_the_place_of_the_ca() -> None:
    assert "holds no certificate of an authority" in refusal(material(ca=VEN.certificate))


def test_one_valid_ca_among_others_is_enough() -> None:
    check_certificates(material(ca=Authority("Old CA", days=-0.5).pem + OURS.pem), time.time())


@each_case("which", ["ca", "certificate", "key"])
def test_rubbish_in_the_place_of(which: str) -> None:
    why = refusal(material(**{which: "no certificate, no key\n"}))
    assert "in PEM form: is it the right one?" in why


@each_case(("which", "kind"), [("certificate", "CERTIFICATE"), ("key", "PRIVATE KEY")])
def test_damaged_text_in_the_place_of(which: str, kind: str) -> None:
    why = refusal(material(**{which: f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n"}))
    assert "damaged" in why
    assert "copy it again" in why


def test_certificate_and_key_swapped() -> None:
    why = refusal(material(certificate=VEN.key, key=VEN.certificate))
    assert "but a private key: are the two swapped?" in why
    assert "but a certificate: are the two" in refusal(material(key=VEN.certificate))


def test_a_key_with_a_password() -> None:
    why = refusal(material(key=key_pem(new_key(), b"secret")))
    assert "protected by a password" in why
    assert "openssl pkey" in why


def test_a_chain_with_its_issuers_in_order_is_taken() -> None:
    middle = Authority("Middle CA", OURS)
    pair = middle.issue("site-1")
    facts = check_certificates(
        material(certificate=pair.certificate + middle.pem, key=pair.key), time.time()
    )
    assert facts.subject == "CN=site-1"


def test_a_chain_with_a_stranger_in_it() -> None:
    chain = VEN.certificate + Authority("Another CA").pem
    assert "the chain in the file cert is broken" in refusal(material(certificate=chain))


@pytest.mark.parametrize(
    "damage",
    [
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", " "),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: "remarks of a tool\n" + pem + "more remarks",
    ],
    ids=["literal backslash n", "blanks", "DOS", "remarks"],
)
def test_line_ends_in_any_form_are_read(damage) -> None:  # type: ignore[no-untyped-def]
    odd = material(damage(OURS.pem), damage(VEN.certificate), damage(VEN.key))
    assert check_certificates(odd, time.time()) == check_certificates(material(), time.time())
    odd.context()


# ---- files --------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> CloudTlsConfig:
    return OURS.files(tmp_path, "site-1")


def read(files: CloudTlsConfig, **changed: str) -> TlsMaterial:
    names = {**files.model_dump(include={"ca_cert", "client_cert", "private_key"}), **changed}
    return TlsMaterial.from_files(**names)


def test_files_are_read(files: CloudTlsConfig) -> None:
    assert check_certificates(read(files), time.time()).subject == "CN=site-1"


@pytest.mark.parametrize("name", ["ca_cert", "client_cert", "private_key"])
def test_a_missing_file_is_named(files: CloudTlsConfig, name: str) -> None:
    with pytest.raises(TlsCredentialError, match="a TLS file is missing") as refused:
        read(files, **{name: "/nowhere/it.pem"})
    assert f"/nowhere/it.pem ({name})" in str(refused.value)


def test_a_file_that_may_not_be_read_names_the_user(files: CloudTlsConfig, tmp_path: Path) -> None:
    with pytest.raises(TlsCredentialError, match=r"cannot be read: Is a directory") as refused:
        read(files, private_key=str(tmp_path))
    assert f"user id {os.geteuid()}" in str(refused.value)


# ---- what is seen of them -----------------------------------------------------------------------


def test_no_repr_holds_key_material() -> None:
    whole = material()
    for line in VEN.key.splitlines():
        assert line not in repr(whole)
    assert VEN.certificate.splitlines()[1] not in repr(whole)


@each_case(
    ("days", "codes"),
    [(31, []), (29, [EXPIRES]), (8, [EXPIRES]), (6, [EXPIRES, EXPIRES_SOON])],
)
def test_its_end_is_told_30_days_and_again_7_days_before(days: float, codes: list[str]) -> None:
    pair: Pair = OURS.issue("site-1", days=days)
    facts = check_certificates(material(certificate=pair.certificate, key=pair.key), time.time())
    findings = credentials_expiry_findings(facts, time.time())
    assert [finding.code for finding in findings] == codes
    for finding in findings:
        assert "CN=site-1 expires on " in finding.message
        assert "renew it" in finding.message


# ---- the handshake ------------------------------------------------------------------------------


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


@each_case(
    ("reason", "words"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "does not accept our client certificate"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "has expired"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "has been revoked"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "set broker.tls"),
        ("WRONG_VERSION_NUMBER", "is that the plain port?"),
        ("SOMETHING_ELSE", "SOMETHING_ELSE"),
    ],
)
def test_what_the_broker_says_no_with_is_explained(reason: str, words: str) -> None:
    why = explain_tls_error(alert(reason), "broker:8883")
    assert why.startswith("TLS with broker:8883 failed: ")
    assert words in why
