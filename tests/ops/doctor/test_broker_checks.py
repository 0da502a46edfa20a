"""The doctor on a broker, its TLS and our certificate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.doctor import broker_checks as doctor_tls
from ops.doctor.doctor_check import DoctorCheck
from tests.ops.conftest import mosquitto
from tests.support.authority import Authority
from tests.support.connect_proxy import ThreadedConnectProxy
from tests.support.ports import free_port
from VenAgent.config.cloud_config import CloudBrokerConfig, CloudTlsConfig


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def tls_port(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[int]:
    """A mosquitto that demands client certificates."""
    folder = tmp_path_factory.mktemp("broker")
    files = authority.files(folder, "broker")
    user = "user root\n" if os.geteuid() == 0 else ""  # it would drop to one who cannot read
    config = (
        f"{user}cafile {files.ca_cert}\ncertfile {files.client_cert}\n"
        f"keyfile {files.private_key}\nrequire_certificate true\n"
    )
    with mosquitto(folder, config) as port:
        yield port


@pytest.fixture(scope="module")
def login_port(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[int]:
    """A mosquitto with TLS that knows us by user name and password."""
    folder = tmp_path_factory.mktemp("login")
    files = authority.files(folder, "broker")
    user = "user root\n" if os.geteuid() == 0 else ""
    config = f"{user}certfile {files.client_cert}\nkeyfile {files.private_key}\n"
    with mosquitto(folder, config) as port:
        yield port


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> CloudTlsConfig:
    """A good certificate of a thing, with its key and CA."""
    return authority.files(tmp_path, "thing")


@pytest.fixture
def _takes_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a broker that will not refuse: no need to wait for its alert."""
    monkeypatch.setattr(doctor_tls, "ALERT_WITHIN_SEC", 0.02)


@pytest.fixture
def _refuses_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its alert is waited for, however slow the machine is."""
    monkeypatch.setattr(doctor_tls, "ALERT_WITHIN_SEC", 30.0)


def looked_at(
    port: int, files: CloudTlsConfig | None, can_read: Callable[[Path], bool] = lambda file: True
) -> dict[str, DoctorCheck]:
    where = CloudBrokerConfig(host="127.0.0.1", port=port, tls=files)
    return {check.name: check for check in doctor_tls.broker_checks(where, can_read=can_read)}


@pytest.mark.usefixtures("_takes_us")
def test_a_tls_broker_with_good_certificates_has_nothing_wrong(
    files: CloudTlsConfig, tls_port: int
) -> None:
    checks = looked_at(tls_port, files)
    assert {name: check.ok for name, check in checks.items()} == {
        "certificate": True,
        "private key": True,
        "CA": True,
        "broker": True,
    }
    assert "TLSv1." in checks["broker"].text
    assert not any(check.remedy for check in checks.values())


def test_a_broker_of_another_authority_is_not_trusted(
    files: CloudTlsConfig, tls_port: int, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(Authority("Other CA").pem)
    mixed = files.model_copy(update={"ca_cert": str(other)})
    checks = looked_at(tls_port, mixed)
    assert "Other CA" in checks["CA"].text
    assert checks["broker"].ok is False
    assert "not trusted" in checks["broker"].text
    assert "CA_CERT" in checks["broker"].remedy


@pytest.mark.usefixtures("_refuses_us")
def test_a_broker_that_does_not_take_our_certificate_is_told(
    files: CloudTlsConfig, tls_port: int, tmp_path: Path
) -> None:
    """With TLS 1.3 the handshake itself succeeds, and the refusal comes after it."""
    foreign = Authority("Other CA").files(tmp_path, "foreign")
    mixed = foreign.model_copy(update={"ca_cert": files.ca_cert})
    check = looked_at(tls_port, mixed)["broker"]
    assert check.ok is False
    assert "does not accept our client certificate" in check.text


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "expired on"), (10, "(9 days)"), (10.5, "(10 days)")]
)
def test_a_certificate_that_ends_is_told_before_it_does(
    authority: Authority,
    tmp_path: Path,
    tls_port: int,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    words: str,
) -> None:
    monkeypatch.setattr(doctor_tls, "ALERT_WITHIN_SEC", 0.02 if days > 0 else 30.0)
    checks = looked_at(tls_port, authority.files(tmp_path, "thing", days=days, since_days=2))
    assert checks["certificate"].ok is False
    assert words in checks["certificate"].text
    assert "new certificate" in checks["certificate"].remedy
    assert checks["broker"].ok is (days > 0)


def test_a_key_of_another_certificate_or_open_to_all_is_told(
    authority: Authority, files: CloudTlsConfig, tmp_path: Path
) -> None:
    other = authority.files(tmp_path, "other")
    mixed = files.model_copy(update={"private_key": other.private_key})
    checks = looked_at(free_port(), mixed)
    assert "not the key of the certificate" in checks["private key"].text
    assert checks["broker"].ok is None
    assert files.private_key
    Path(files.private_key).chmod(0o644)
    check = looked_at(free_port(), files)["private key"]
    assert check.ok is False
    assert "mode 644" in check.text
    assert "chmod 600" in check.remedy


def test_files_that_are_missing_or_no_pem_are_told_without_their_contents(
    files: CloudTlsConfig, tls_port: int, tmp_path: Path
) -> None:
    gone = files.model_copy(update={"client_cert": "/nowhere/cert.pem"})
    assert "No such file" in looked_at(free_port(), gone)["certificate"].text
    junk = tmp_path / "junk.key"
    junk.write_text("my secret words")
    bad = files.model_copy(update={"private_key": str(junk)})
    check = looked_at(free_port(), bad)["private key"]
    assert check.ok is False
    assert "secret" not in check.text
    for ca in ("/nowhere/ca.pem", str(junk)):
        checks = looked_at(tls_port, files.model_copy(update={"ca_cert": ca}))
        assert "CA_CERT" in checks["CA"].remedy
        assert checks["broker"].ok is None


@pytest.mark.usefixtures("_takes_us")
@pytest.mark.parametrize(
    ("name", "setting"),
    [("CA", "ca_cert"), ("certificate", "client_cert"), ("private key", "private_key")],
)
def test_a_file_that_volttrons_user_cannot_read_is_told(
    files: CloudTlsConfig, tls_port: int, name: str, setting: str
) -> None:
    unreadable = Path(getattr(files, setting))
    checks = looked_at(tls_port, files, lambda file: file != unreadable)
    assert [check.name for check in checks.values() if check.ok is False] == [name]
    assert str(unreadable) in checks[name].text
    assert "chmod 640" in checks[name].remedy


def test_a_port_where_nobody_listens_is_told(broker_port: int) -> None:
    assert looked_at(broker_port, None)["broker"].ok is True
    check = looked_at(free_port(), None)["broker"]
    assert check.ok is False
    assert "Connection refused" in check.text


@pytest.mark.usefixtures("_takes_us")
def test_a_broker_that_knows_us_by_password_is_shaken_hands_with_through_a_proxy(
    files: CloudTlsConfig, login_port: int, tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("secret")
    login = {"username": "site", "password_file": str(password_file)}
    server_only = CloudTlsConfig(ca_cert=files.ca_cert)

    def looked(**more: object) -> dict[str, DoctorCheck]:
        block = {"host": "127.0.0.1", "port": login_port, "tls": server_only, **login, **more}
        where = CloudBrokerConfig.model_validate(block)
        return {check.name: check for check in doctor_tls.broker_checks(where)}

    checks = looked()
    assert {name: check.ok for name, check in checks.items()} == {
        "login": True,
        "CA": True,
        "broker": True,
    }
    assert "handshake done" in checks["broker"].text
    with ThreadedConnectProxy() as proxy:
        text = looked(proxy=f"http://127.0.0.1:{proxy.port}")["broker"].text
        assert f"through the proxy 127.0.0.1:{proxy.port}" in text
        assert "handshake done" in text
        assert len(proxy.asked) == 1
    gone = looked(proxy=f"http://a:s3cr@127.0.0.1:{proxy.port}")["broker"]
    assert gone.ok is False
    assert "proxy" in gone.text
    assert "s3cr" not in gone.text
    slipped = looked(proxy="http://a:s3cr@127.0.0.1:99999")["broker"]
    assert slipped.ok is False
    assert "cannot be read" in slipped.text
    password_file.unlink()
    assert "secret" not in str(looked())


def test_a_password_file_that_volttrons_user_cannot_read_is_told(
    login_port: int, tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("secret")
    where = CloudBrokerConfig(
        host="127.0.0.1", port=login_port, username="site", password_file=str(password_file)
    )
    checks = {
        check.name: check for check in doctor_tls.broker_checks(where, can_read=lambda file: False)
    }
    assert checks["login"].ok is False
    assert str(password_file) in checks["login"].text
