"""The operator's part of provisioning: AWS IoT Core, through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ops.host.ops_error import OpsError
from ops.provision.issued_certificate import IssuedCertificate

_ADVICE = {
    "AccessDeniedException": "Your AWS identity lacks the stack's ProvisioningPolicy.",
    "UnrecognizedClientException": "AWS does not know your access key: is it still valid?",
    "InvalidClientTokenId": "AWS does not know your access key: is it still valid?",
    "ExpiredTokenException": "Your AWS session has expired: sign in again.",
    "ThrottlingException": "AWS is busy with others' requests: try again.",
    "LimitExceededException": "The account's limit is reached: have it raised.",
}


@dataclass(frozen=True)
class AwsRegistryThing:
    """What a site is given. The names are outputs of deploy/aws/venagent.yaml."""

    thing: str
    policies: tuple[str, ...]
    thing_type: str | None
    take_over: bool = False
    """The thing may have another certificate: this site replaces the one that had it."""


class AwsRegistry:
    """AWS IoT Core of one account and region, which are those of the environment or profile."""

    def __init__(self, region: str | None) -> None:
        import boto3

        with _explained("connecting to AWS"):
            self._iot = boto3.Session(region_name=region).client("iot")

    def endpoint(self) -> str:
        with _explained("asking for the endpoint"):
            answer = self._iot.describe_endpoint(endpointType="iot:Data-ATS")
        return str(answer["endpointAddress"])

    def prepare(self, wanted: AwsRegistryThing, own_arn: str | None) -> None:
        """All that can be refused is, before a certificate is made."""
        for policy in wanted.policies:
            self._require_policy(policy)
        with _explained(f"creating the thing {wanted.thing}"):
            if not self._thing_exists(wanted.thing):
                kind = {} if wanted.thing_type is None else {"thingTypeName": wanted.thing_type}
                self._create_thing(wanted.thing, kind)
            others = {arn for arn in self._certificates(wanted.thing) if arn != own_arn}
        if others and not wanted.take_over and own_arn is None:
            raise OpsError(
                f"the thing {wanted.thing} has a certificate already: is it another site's?",
                "Two sites with one name cut each other off. If this site replaces it: --take-over",
            )

    def _require_policy(self, policy: str) -> None:
        with _explained(f"looking for the policy {policy}"):
            try:
                self._iot.get_policy(policyName=policy)
            except self._iot.exceptions.ResourceNotFoundException:
                raise OpsError(
                    f"there is no IoT policy {policy} in this account and region",
                    "Deploy deploy/aws/venagent.yaml first, or name another with --policy.",
                ) from None

    def _thing_exists(self, thing: str) -> bool:
        try:
            self._iot.describe_thing(thingName=thing)
        except self._iot.exceptions.ResourceNotFoundException:
            return False
        return True

    def _create_thing(self, thing: str, kind: dict[str, str]) -> None:
        try:
            self._iot.create_thing(thingName=thing, **kind)
        except self._iot.exceptions.ResourceNotFoundException:
            raise OpsError(
                f"there is no thing type {kind['thingTypeName']} in this account and region",
                "Deploy deploy/aws/venagent.yaml first, or name another with --thing-type.",
            ) from None

    def issue(self, wanted: AwsRegistryThing, request: str) -> IssuedCertificate:
        """A certificate for `request` (CSR, PEM), active from now on."""
        endpoint = self.endpoint()
        with _explained("having the request signed"):
            try:
                made = self._iot.create_certificate_from_csr(
                    certificateSigningRequest=request, setAsActive=True
                )
            except self._iot.exceptions.InvalidRequestException:
                raise OpsError(
                    "AWS refuses the request", "It must be a CSR in PEM form, as `provision` makes."
                ) from None
        return IssuedCertificate(
            thing=wanted.thing,
            endpoint=endpoint,
            certificate=made["certificatePem"],
            certificate_arn=made["certificateArn"],
        )

    def attach(self, wanted: AwsRegistryThing, certificate_arn: str) -> None:
        """Policy and thing to the certificate; nothing happens if they are."""
        with _explained("attaching the certificate"):
            for policy in wanted.policies:
                self._iot.attach_policy(policyName=policy, target=certificate_arn)
            self._iot.attach_thing_principal(thingName=wanted.thing, principal=certificate_arn)

    def retire_others(self, thing: str, certificate_arn: str) -> list[str]:
        """Take the thing's other certificates out of use; their ids."""
        retired = []
        with _explained("retiring the certificates before"):
            for arn in sorted(self._certificates(thing) - {certificate_arn}):
                number = arn.rpartition("/")[2]
                self._iot.detach_thing_principal(thingName=thing, principal=arn)
                self._iot.update_certificate(certificateId=number, newStatus="INACTIVE")
                retired.append(number)
        return retired

    def _certificates(self, thing: str) -> set[str]:
        pages = self._iot.get_paginator("list_thing_principals").paginate(thingName=thing)
        return {arn for page in pages for arn in page["principals"]}


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """AWS's refusals as something to act on."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        found: Any = error.response.get("Error", {})
        code = str(found.get("Code", "no reason"))
        raise OpsError(
            f"{doing}: AWS refuses: {code}: {found.get('Message', '')}",
            *([_ADVICE[code]] if code in _ADVICE else []),
        ) from None
    except BotoCoreError as error:
        raise OpsError(
            f"{doing}: {error}",
            "Sign in to AWS (aws configure, AWS_PROFILE) and name the region (--region).",
            "A site without AWS credentials: --csr-only here, `provision-sign` where there are.",
        ) from None
