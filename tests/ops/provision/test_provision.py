"""A site's identity in AWS: made by one command, in one go or in two halves; AWS is moto's."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from moto import mock_aws
from moto.iot.models import IoTBackend
from typer.testing import CliRunner, Result

from ops.cli.ven_control import app
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.provision.amazon_root_cas import amazon_root_cas
from ops.provision.site_folder import SiteFolder
from ops.provision.site_identity import ensure_site_identity_request
from tests.support import aws_models
from tests.support.authority import Authority
from tests.support.iot_policy import ven_policy
from VenAgent.cloud.tls.certificates import check_certificates
from VenAgent.cloud.tls.tls_material import TlsMaterial
from VenAgent.config import AgentConfig

REGION = "eu-west-1"
THING = "site-1"
OURS = Authority("Our CA")
Run = Callable[..., Result]


@pytest.fixture
def run(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command of ven_control.sh, as the plain user; its result."""
    monkeypatch.setattr("ops.cli.provision_commands.Paths.from_environment", lambda: paths)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for name in ("AWS_REGION", "AWS_PROFILE", "IOT_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)

    def run(command: str, *options: str | Path) -> Result:
        arguments = [command, "--thing", THING, *map(str, options)]
        return CliRunner().invoke(app, arguments)

    return run


@pytest.fixture
def iot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """AWS IoT Core with the stack's policy and thing type."""
    aws_models.share(monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr(IoTBackend, "create_certificate_from_csr", _sign_as_aws_does)
    with mock_aws():
        iot = boto3.client("iot", region_name=REGION)
        iot.create_policy(policyName="venagent-ven", policyDocument=json.dumps(ven_policy()))
        iot.create_thing_type(thingTypeName="venagent-ven")
        yield iot


def _sign_as_aws_does(backend: IoTBackend, csr: str, set_as_active: bool) -> Any:
    """For the key of the request: moto's own certificate is for a key that nobody has."""
    certificate = OURS.certify(THING, x509.load_pem_x509_csr(csr.encode()).public_key())
    return backend.register_certificate(certificate, None, set_as_active, "INACTIVE")


@pytest.fixture
def folder(paths: Paths) -> Path:
    return paths.home / "certificates" / THING


def done(result: Result) -> Result:
    if result.exception is not None:
        raise result.exception
    return result


def principals(iot: Any) -> list[str]:
    return list(iot.list_thing_principals(thingName=THING)["principals"])


def files_of(folder: Path) -> tuple[str, ...]:
    names = ("ca.pem", "client.crt", "private.key")
    return tuple((folder / name).read_text() for name in names)


# ---- in one go ----------------------------------------------------------------------------------


@pytest.mark.long
def test_one_command_gives_a_site_all_it_needs(run: Run, iot: Any, folder: Path) -> None:
    done(run("provision"))
    tls = json.loads((folder / "agent.json").read_text())["broker"]["tls"]
    facts = check_certificates(TlsMaterial.from_files(**tls), time.time())
    assert facts.subject
    (arn,) = principals(iot)
    attached = iot.list_attached_policies(target=arn)["policies"]
    assert [policy["policyName"] for policy in attached] == ["venagent-ven"]
    assert iot.describe_thing(thingName=THING)["thingTypeName"] == "venagent-ven"
    certificate = iot.describe_certificate(certificateId=arn.rpartition("/")[2])
    assert certificate["certificateDescription"]["status"] == "ACTIVE"


@pytest.mark.long
def test_the_agents_configuration_is_complete(run: Run, iot: Any, folder: Path) -> None:
    done(run("provision"))
    config = AgentConfig.load(json.loads((folder / "agent.json").read_text()), {})
    assert config.ven_id == THING
    assert config.broker.host.endswith(f"-ats.iot.{REGION}.amazonaws.com")
    assert config.broker.port == 8883


def test_a_configuration_that_is_named_is_kept_but_for_name_and_broker(
    run: Run, iot: Any, folder: Path, tmp_path: Path, paths: Paths
) -> None:
    mine = json.loads((paths.repo / "config").read_text())
    mine["panel"]["amperage"] = 60
    mine["broker"] = {"host": "old", "keepalive_sec": 45, "tls": {"secret_name": "old"}}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    done(run("provision", "--config", tmp_path / "mine.json"))
    config = AgentConfig.load(json.loads((folder / "agent.json").read_text()), {})
    assert config.panel.amperage == 60
    assert config.broker.keepalive_sec == 45


def test_the_key_never_leaves_and_is_for_its_user_alone(run: Run, iot: Any, folder: Path) -> None:
    sent: list[str] = []
    with mock.patch(
        "botocore.client.BaseClient._make_api_call", autospec=True, side_effect=_spy(sent)
    ):
        result = done(run("provision"))
    key = (folder / "private.key").read_text()
    assert stat.S_IMODE((folder / "private.key").stat().st_mode) == 0o600
    told = [*sent, result.output, (folder / "issued.json").read_text()]
    told += [(folder / name).read_text() for name in ("agent.json", "request.csr", "client.crt")]
    assert any("CERTIFICATE REQUEST" in text for text in sent)
    for line in key.splitlines()[1:-1]:
        assert not any(line in text for text in told)


def _spy(sent: list[str]) -> Any:
    from botocore.client import BaseClient

    real = BaseClient._make_api_call

    def call(client: Any, name: str, parameters: dict[str, Any]) -> Any:
        sent.append(json.dumps(parameters))
        return real(client, name, parameters)

    return call


@pytest.mark.long
def test_run_again_it_changes_nothing(run: Run, iot: Any, folder: Path) -> None:
    done(run("provision"))
    before = files_of(folder)
    done(run("provision"))
    assert files_of(folder) == before
    assert len(principals(iot)) == 1
    assert len(iot.list_certificates()["certificates"]) == 1


def test_what_broke_off_goes_on_where_it_was(run: Run, iot: Any, folder: Path) -> None:
    with mock.patch(
        "ops.provision.aws_registry.AwsRegistry.attach", side_effect=OpsError("the network")
    ):
        assert isinstance(run("provision").exception, OpsError)
    done(run("provision"))
    assert len(iot.list_certificates()["certificates"]) == 1
    assert len(principals(iot)) == 1


def test_a_lost_key_gets_a_new_certificate(run: Run, iot: Any, folder: Path) -> None:
    done(run("provision"))
    (folder / "private.key").unlink()
    done(run("provision"))
    tls = json.loads((folder / "agent.json").read_text())["broker"]["tls"]
    TlsMaterial.from_files(**tls)
    assert len(principals(iot)) == 2


def test_another_sites_name_is_not_taken(run: Run, iot: Any, tmp_path: Path) -> None:
    done(run("provision"))
    refused = run("provision", "--folder", tmp_path / "another-site")
    assert isinstance(refused.exception, OpsError)
    assert "has a certificate already" in str(refused.exception)
    assert len(iot.list_certificates()["certificates"]) == 1
    done(run("provision", "--folder", tmp_path / "another-site", "--take-over"))


@pytest.mark.long
def test_a_renewal_replaces_key_and_certificate_and_the_old_one_can_be_retired(
    run: Run, iot: Any, folder: Path
) -> None:
    done(run("provision"))
    before = files_of(folder)
    (old,) = principals(iot)
    done(run("provision", "--renew"))
    after = files_of(folder)
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]
    assert not (folder / "renewal").exists()
    assert len(principals(iot)) == 2, "both work until the agent has taken the new one up"
    done(run("provision", "--retire"))
    (new,) = principals(iot)
    assert new != old
    number = old.rpartition("/")[2]
    described = iot.describe_certificate(certificateId=number)["certificateDescription"]
    assert described["status"] == "INACTIVE"


@pytest.mark.long
@pytest.mark.parametrize(("moved", "then"), [(1, "--retire"), (2, "--renew"), (4, "--retire")])
def test_a_renewal_that_breaks_off_while_it_is_put_in_place_is_finished(
    run: Run, iot: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, moved: int, then: str
) -> None:
    """At a power cut after so many of the five files; the certificate in use is never retired."""
    done(run("provision"))
    replace, calls = Path.replace, 0

    def until_the_power_cut(path: Path, target: Path) -> Path:
        nonlocal calls
        if path.parent.name == "renewal" and not path.name.endswith(".new"):
            calls += 1
            if calls > moved:
                raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", until_the_power_cut)
        assert run("provision", "--renew").exception is not None
    if moved < 2 and then == "--retire":
        assert "--renew" in str(vars(run("provision", then).exception))
        done(run("provision", "--renew"))
    else:
        done(run("provision", then))
    if moved >= 2 or then == "--renew":
        assert not (folder / "renewal").exists()
    TlsMaterial.from_files(**json.loads((folder / "agent.json").read_text())["broker"]["tls"])
    in_use = x509.load_pem_x509_certificate((folder / "client.crt").read_bytes())
    key = serialization.load_pem_private_key((folder / "private.key").read_bytes(), None)
    assert in_use.public_key() == key.public_key()
    known = json.loads((folder / "issued.json").read_text())
    assert known["certificate"] == (folder / "client.crt").read_text()
    assert known["certificate_arn"] in principals(iot)


# ---- in two halves ------------------------------------------------------------------------------


def test_a_site_without_aws_credentials_is_provisioned_in_two_halves(
    run: Run, iot: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mock.patch("boto3.Session", side_effect=AssertionError("AWS was asked for something")):
        done(run("provision", "--csr-only"))
    out = tmp_path / "site-1.json"
    done(run("provision-sign", "--csr", folder / "request.csr", "--out", out))
    done(run("provision-sign", "--csr", folder / "request.csr", "--out", out))
    assert len(iot.list_certificates()["certificates"]) == 1
    assert "PRIVATE" not in out.read_text()
    with mock.patch("boto3.Session", side_effect=AssertionError("AWS was asked for something")):
        done(run("provision", "--certificate", out))
    config = AgentConfig.load(json.loads((folder / "agent.json").read_text()), {})
    assert config.broker.host.endswith("amazonaws.com")


def signed(folder: Path, name: str = THING) -> str:
    """A certificate of a CA of the test for the request in `folder`."""
    request = x509.load_pem_x509_csr((folder / "request.csr").read_bytes())
    return OURS.certify(name, request.public_key())


def test_a_certificate_from_elsewhere_needs_its_endpoint(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    done(run("provision", "--csr-only"))
    certificate, ca = tmp_path / "site.crt", tmp_path / "ca.pem"
    certificate.write_text(signed(folder))
    ca.write_text(OURS.pem)
    refused = run("provision", "--certificate", certificate)
    assert "does not say where to connect" in str(refused.exception)
    options = ("--endpoint", "mqtt.example", "--root-ca", ca)
    done(run("provision", "--certificate", certificate, *options))
    config = AgentConfig.load(json.loads((folder / "agent.json").read_text()), {})
    assert config.broker.host == "mqtt.example"
    assert (folder / "ca.pem").read_text() == OURS.pem


def test_a_certificate_for_another_key_changes_nothing(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    done(run("provision", "--csr-only"))
    other = tmp_path / "other.crt"
    other.write_text(OURS.issue(THING).certificate)
    refused = run("provision", "--certificate", other, "--endpoint", "mqtt.example")
    assert "does not belong to the client certificate" in str(refused.exception)
    assert sorted(path.name for path in folder.iterdir()) == ["private.key", "request.csr"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rubbish", "neither a certificate (PEM) nor a file of `provision-sign`"),
        ('{"thing": "site-2", "endpoint": "e", "certificate": "c"}', "is for site-2, not for"),
    ],
)
def test_a_file_that_is_not_the_sites_certificate(
    run: Run, tmp_path: Path, text: str, words: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(text)
    assert words in str(run("provision", "--certificate", wrong).exception)


# ---- what is refused ----------------------------------------------------------------------------


def test_a_policy_that_is_not_there_is_told_before_anything_is_made(run: Run, iot: Any) -> None:
    refused = run("provision", "--policy", "none")
    assert "there is no IoT policy none" in str(refused.exception)
    assert iot.list_things()["things"] == []
    assert iot.list_certificates()["certificates"] == []


def test_a_site_without_credentials_is_told_of_the_other_way(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    refused = run("provision", "--region", REGION)
    assert isinstance(refused.exception, OpsError)
    assert "--csr-only" in " ".join(refused.exception.advice)


def test_what_aws_forbids_is_told_with_the_policy_that_is_needed(run: Run, iot: Any) -> None:
    from botocore.exceptions import ClientError

    no = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetPolicy")
    with mock.patch("botocore.client.BaseClient._make_api_call", side_effect=no):
        refused = run("provision")
    assert isinstance(refused.exception, OpsError)
    assert "ProvisioningPolicy" in " ".join(refused.exception.advice)


def test_a_name_that_aws_does_not_take(run: Run) -> None:
    refused = CliRunner().invoke(app, ["provision", "--thing", "a/+"])
    assert "is no name of a VEN" in str(refused.exception)


def test_amazons_roots_are_found_by_their_fingerprints() -> None:
    roots = [
        x509.load_pem_x509_certificate(f"-----BEGIN{pem}".encode())
        for pem in amazon_root_cas().split("-----BEGIN")[1:]
    ]
    assert [root.subject.rfc4514_string() for root in roots] == [
        f"CN=Amazon Root CA {number},O=Amazon,C=US" for number in (1, 2, 3, 4)
    ]


def test_as_root_the_files_belong_to_volttrons_user(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Path, str]] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.chown", lambda path, user, group: given.append((path, user)))
    site = SiteFolder.of(paths, THING, None)
    ensure_site_identity_request(site)
    assert {user for _, user in given} == {paths.user}
    assert {path.name for path, _ in given} == {THING, "private.key.new", "request.csr.new"}
