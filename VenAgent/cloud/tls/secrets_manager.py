"""A secret from AWS Secrets Manager, fetched by a process of its own.

boto3 takes 26 MB, and does not know of gevent's patched TLS: neither is the agent's business. The
process writes one JSON object, `{"secret": …}` or `{"error": …}`, into a pipe, and is gone.
"""

from __future__ import annotations

import json
import os
import posix
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FETCH_WITHIN_SEC = 60.0
SECRET_BYTES = 65_536
"""What AWS lets a secret have."""
_ROOT = str(Path(__file__).parents[2])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    f"from VenAgent.cloud.tls.secrets_manager import _main; _main(sys.argv[1:])"
)
_NO_RIGHT = "AccessDeniedException"


class SecretsManagerError(ValueError):
    """The secret could not be had; the text says why and what to do."""


class SecretsManagerFetch:
    """One fetch at a time, which `cancel` ends from another thread.

    gevent's processes (its `subprocess`, its `os.posix_spawn`) are for the main thread only, so
    the system's own calls are used.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._cancelled = False

    def run(self, name: str, region: str | None) -> str:
        """The secret's text. Blocks its thread for at most a minute; raises SecretsManagerError."""
        read_end, write_end = os.pipe()
        try:
            try:
                self._spawn([name, region or ""], write_end)
            finally:
                os.close(write_end)
            output = self._read(read_end)
        finally:
            os.close(read_end)
            self._reap()
        try:
            answer = json.loads(output)
        except ValueError:
            raise SecretsManagerError("the fetch of the secret ended without a word") from None
        if "secret" not in answer:
            raise SecretsManagerError(answer["error"])
        return str(answer["secret"])

    def _spawn(self, arguments: list[str], output: int) -> None:
        nowhere = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        command = [sys.executable, "-c", _PROGRAM, *arguments]
        with self._lock:
            if self._cancelled:
                raise SecretsManagerError("the fetch of the secret was cancelled")
            try:
                self._pid = posix.posix_spawn(
                    sys.executable,
                    command,
                    os.environ,
                    file_actions=[nothing, (os.POSIX_SPAWN_DUP2, output, 1), nowhere],
                )
            except OSError as error:
                raise SecretsManagerError(
                    f"no process for the secret's fetch: {error.strerror}"
                ) from None

    def _read(self, source: int) -> bytes:
        """All that comes until the other end is closed."""
        deadline = time.monotonic() + FETCH_WITHIN_SEC
        output = b""
        while True:
            readable, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise SecretsManagerError(
                    f"AWS Secrets Manager did not answer within {FETCH_WITHIN_SEC:g} s: "
                    f"may this machine reach the internet?"
                )
            data = os.read(source, SECRET_BYTES)
            if not data:
                return output
            output += data

    def _reap(self) -> None:
        """End the process if it has not ended, and take note of it."""
        with self._lock:
            pid, self._pid = self._pid, None
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # gevent has taken note of it
                posix.waitpid(pid, 0)

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)


def fetch_from_secrets_manager(name: str, region: str | None) -> str:
    """The text of the secret `name` (or ARN). Raises SecretsManagerError."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise SecretsManagerError(
            "boto3 is not installed in VOLTTRON's environment: pip install boto3"
        ) from None
    if name.startswith("arn:"):
        region = name.split(":")[3] or region
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})
    try:
        client = boto3.client("secretsmanager", region_name=region, config=config)
        answer = client.get_secret_value(SecretId=name)
    except ClientError as error:
        raise SecretsManagerError(_refusal(error.response.get("Error", {}), name)) from None
    except BotoCoreError as error:
        raise SecretsManagerError(_trouble(error, name)) from None
    if "SecretString" not in answer:
        raise SecretsManagerError(f"the secret {name} is binary: store a JSON text in it")
    return str(answer["SecretString"])


def _refusal(error: Any, name: str) -> str:
    """What AWS says no with."""
    code = str(error.get("Code", ""))
    if code == _NO_RIGHT:
        if "KMS" in str(error.get("Message", "")):
            return _no_kms(name)
        return (
            f"no permission on the secret {name}: allow this site's AWS identity "
            f"secretsmanager:GetSecretValue on it (deploy/aws: SiteSecretsPolicy)"
        )
    return {
        "ResourceNotFoundException": f"there is no secret {name} in this region and account: "
        f"correct broker.tls.secret_name (TLS_SECRET_NAME) or the region (AWS_REGION)",
        "InvalidRequestException": f"the secret {name} is marked for deletion: restore it, or "
        f"name another",
        "InvalidParameterException": f"{name!r} is no name of a secret: correct TLS_SECRET_NAME",
        "ValidationException": f"{name!r} is no name of a secret: correct TLS_SECRET_NAME",
        "DecryptionFailure": _no_kms(name),
        "UnrecognizedClientException": "AWS does not know this site's access key: renew it",
        "InvalidClientTokenId": "AWS does not know this site's access key: renew it",
        "InvalidSignatureException": "AWS refuses the signature: is the secret access key whole, "
        "and this machine's clock right?",
        "SignatureDoesNotMatch": "AWS refuses the signature: is the secret access key whole, and "
        "this machine's clock right?",
        "ExpiredTokenException": "this site's AWS session has expired: renew its credentials",
        "RequestExpired": "AWS refuses the request as too old: is this machine's clock right?",
    }.get(code, f"AWS Secrets Manager refuses the secret {name}: {code or 'no reason given'}")


def _no_kms(name: str) -> str:
    return f"no permission on the KMS key of the secret {name}: allow kms:Decrypt on that key"


def _trouble(error: Exception, name: str) -> str:
    """What boto3 gave up with, before AWS could say anything."""
    return {
        "NoCredentialsError": "this site has no AWS credentials to fetch its secret with: give "
        "VOLTTRON's environment AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role",
        "PartialCredentialsError": "the AWS credentials of this site are not whole: both "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed",
        "NoRegionError": "no AWS region is named: set broker.tls.region or AWS_REGION",
        "InvalidRegionError": "the AWS region is not one: correct broker.tls.region or AWS_REGION",
        "EndpointConnectionError": "AWS Secrets Manager cannot be reached: is the network up, and "
        "the region right?",
        "ConnectTimeoutError": "AWS Secrets Manager cannot be reached within 5 s",
        "ReadTimeoutError": "AWS Secrets Manager does not answer within 10 s",
        "SSLError": "TLS with AWS Secrets Manager fails: is a proxy in between?",
    }.get(
        type(error).__name__,
        f"the secret {name} could not be fetched: does `aws secretsmanager get-secret-value` "
        f"work as this user?",
    )


def _main(arguments: list[str]) -> None:
    """`NAME REGION`; the region may be empty."""
    name, region = arguments
    try:
        answer = {"secret": fetch_from_secrets_manager(name, region or None)}
    except SecretsManagerError as error:
        answer = {"error": str(error)}
    except Exception:  # noqa: BLE001  what it says may quote anything
        answer = {"error": "the fetch of the secret broke: is boto3 whole in this environment?"}
    sys.stdout.write(json.dumps(answer))
