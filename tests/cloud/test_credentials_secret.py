"""The secret in AWS Secrets Manager: its spellings, and every way in which it cannot be had."""

from __future__ import annotations

import json
import os
import posix
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
)
from moto import mock_aws
from moto.server import ThreadedMotoServer

from tests.support import aws_models
from tests.support.authority import Authority
from tests.support.each_case import each_case
from VenAgent.cloud.tls.certificates import check_certificates
from VenAgent.cloud.tls.secrets_manager import (
    SecretsManagerError,
    SecretsManagerFetch,
    _main,
    fetch_from_secrets_manager,
)
from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.cloud.tls.tls_material import TlsMaterial

OURS = Authority("Our CA")
VEN = OURS.issue("site-1")
REGION = "eu-west-1"
NAME = "ven/site-1"


def parse(contents: Any, ca_cert: str | None = None) -> str:
    """The subject of the certificate in a secret."""
    text = contents if isinstance(contents, str) else json.dumps(contents)
    return check_certificates(TlsMaterial.from_secret(text, NAME, ca_cert), time.time()).subject


@each_case(
    ("ca", "certificate", "key"),
    [
        ("ca", "certificate", "privateKey"),
        ("CA_CERT", "CLIENT_CERT", "PRIVATE_KEY"),
        ("CA_CERT_PEM", "CLIENT_CERT_PEM", "PRIVATE_KEY_PEM"),
        ("ca_cert", "client_cert", "private_key"),
        ("rootCA", "certificatePem", "private-key"),
        ("AmazonRootCA1", "deviceCert", "deviceKey"),
        ("ca.crt", "tls.crt", "tls.key"),
        ("caCert", "cert", "key"),
    ],
)
def test_the_common_names_are_understood(ca: str, certificate: str, key: str) -> None:
    assert parse({ca: OURS.pem, certificate: VEN.certificate, key: VEN.key}) == "CN=site-1"


def test_what_aws_answers_to_create_keys_and_certificate_is_understood() -> None:
    answer = {
        "certificateArn": "arn:aws:iot:…",
        "certificatePem": VEN.certificate,
        "keyPair": {"PublicKey": "-----BEGIN PUBLIC KEY-----", "PrivateKey": VEN.key},
        "caPem": OURS.pem,
    }
    assert parse(answer) == "CN=site-1"


def test_line_ends_that_the_console_has_eaten_are_put_back() -> None:
    eaten = {"ca": OURS.pem, "cert": VEN.certificate, "key": VEN.key}
    assert parse({name: pem.replace("\n", " ") for name, pem in eaten.items()}) == "CN=site-1"
    assert parse({name: pem.replace("\n", "\\n") for name, pem in eaten.items()}) == "CN=site-1"


def test_a_secret_without_ca_takes_the_file_beside_it(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(OURS.pem)
    assert parse({"cert": VEN.certificate, "key": VEN.key}, str(ca)) == "CN=site-1"


def test_a_missing_ca_file_beside_a_secret_is_named() -> None:
    with pytest.raises(TlsCredentialError, match=r"a TLS file is missing: /nowhere/ca.pem"):
        parse({"cert": VEN.certificate, "key": VEN.key}, "/nowhere/ca.pem")


@each_case("text", ["not JSON " + VEN.key, json.dumps([VEN.key]), json.dumps(VEN.key)])
def test_a_secret_that_is_no_json_object(text: str) -> None:
    with pytest.raises(TlsCredentialError, match="is not a JSON object: store one with") as refused:
        parse(text)
    assert_without_key(refused.value)


def test_a_secret_that_lacks_the_key_names_what_it_has() -> None:
    with pytest.raises(TlsCredentialError) as refused:
        parse({"ca": OURS.pem, "certificate": VEN.certificate, "passphrase": VEN.key})
    assert "lacks private_key (it has ca, certificate, passphrase)" in str(refused.value)
    assert_without_key(refused.value)


def assert_without_key(error: BaseException) -> None:
    """Neither the error nor what it was raised from holds a line of the key."""
    seen: BaseException | None = error
    while seen is not None:
        told = repr(seen) + str(getattr(seen, "doc", ""))
        assert not any(line in told for line in VEN.key.splitlines())
        seen = seen.__cause__ or seen.__context__


# ---- fetched ------------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    aws_models.share(monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with mock_aws():
        yield boto3.client("secretsmanager", region_name=REGION)


def reason(name: str = NAME, region: str | None = REGION) -> str:
    with pytest.raises(SecretsManagerError) as refused:
        fetch_from_secrets_manager(name, region)
    return str(refused.value)


def test_a_secret_is_fetched_by_name_and_by_arn(aws: Any) -> None:
    arn = aws.create_secret(Name=NAME, SecretString="the text")["ARN"]
    assert fetch_from_secrets_manager(NAME, REGION) == "the text"
    assert (
        fetch_from_secrets_manager(arn, "us-east-1") == "the text"
    )  # an ARN says itself where it is


def test_a_secret_that_is_not_there(aws: Any) -> None:
    why = reason()
    assert f"there is no secret {NAME} in this region and account" in why
    assert "TLS_SECRET_NAME" in why


def test_a_binary_secret(aws: Any) -> None:
    aws.create_secret(Name=NAME, SecretBinary=b"\0\1")
    assert "is binary: store a JSON text" in reason()


def test_a_secret_marked_for_deletion(aws: Any) -> None:
    aws.create_secret(Name=NAME, SecretString="the text")
    aws.delete_secret(SecretId=NAME)
    assert "is marked for deletion: restore it" in reason()


def refusing(error: Exception) -> Any:
    return mock.patch("botocore.client.BaseClient._make_api_call", side_effect=error)


def client_error(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetSecretValue")


@pytest.mark.long
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (client_error("AccessDeniedException"), "secretsmanager:GetSecretValue"),
        (client_error("AccessDeniedException", "Access to KMS is not allowed"), "kms:Decrypt"),
        (client_error("DecryptionFailure"), "kms:Decrypt"),
        (client_error("UnrecognizedClientException"), "does not know this site's access key"),
        (client_error("ExpiredTokenException"), "session has expired"),
        (client_error("InvalidSignatureException"), "this machine's clock"),
        (client_error("InternalServiceError"), "InternalServiceError"),
        (NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
        (EndpointConnectionError(endpoint_url="https://x"), "cannot be reached"),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do(aws: Any, error: Exception, words: str) -> None:
    with refusing(error):
        assert words in reason()


def test_a_region_that_nobody_named(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert "set broker.tls.region or AWS_REGION" in reason(region=None)


# ---- in a process of its own --------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager as a server, for the process that fetches."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    yield boto3.client("secretsmanager", region_name=REGION, endpoint_url=url)
    server.stop()


@pytest.mark.long
def test_another_process_fetches_it_and_tells_why_it_cannot(served: Any) -> None:
    served.create_secret(Name="ven/of-a-process", SecretString="ä text\n")
    assert SecretsManagerFetch().run("ven/of-a-process", REGION) == "ä text\n"
    with pytest.raises(SecretsManagerError, match="there is no secret ven/none"):
        SecretsManagerFetch().run("ven/none", REGION)


def test_a_process_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(
        SecretsManagerError, match=r"^the fetch of the secret ended without a word$"
    ):
        SecretsManagerFetch().run(NAME, REGION)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(
        SecretsManagerError, match="no process for the secret's fetch: No such file"
    ):
        SecretsManagerFetch().run(NAME, REGION)


def test_an_error_that_nobody_thought_of_is_told_without_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with refusing(RuntimeError(VEN.key)):
        _main([NAME, REGION])
    assert json.loads(capsys.readouterr().out) == {
        "error": "the fetch of the secret broke: is boto3 whole in this environment?"
    }


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    spawned: list[int] = []
    posix_spawn = posix.posix_spawn

    def spawn(*arguments: Any, **options: Any) -> int:
        spawned.append(posix_spawn(*arguments, **options))
        return spawned[-1]

    monkeypatch.setattr(posix, "posix_spawn", spawn)
    monkeypatch.setattr("sys.executable", str(hanging))
    monkeypatch.setattr("VenAgent.cloud.tls.secrets_manager.FETCH_WITHIN_SEC", 0.1)
    with pytest.raises(SecretsManagerError, match="did not answer within"):
        SecretsManagerFetch().run(NAME, REGION)
    with pytest.raises(ProcessLookupError):
        os.kill(spawned[0], 0)


def test_a_fetch_that_was_cancelled_before_it_began_ends_at_once() -> None:
    fetched = SecretsManagerFetch()
    fetched.cancel()
    with pytest.raises(SecretsManagerError, match="was cancelled"):
        fetched.run(NAME, REGION)
