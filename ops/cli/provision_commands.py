"""`ven_control.sh provision` and `provision-sign`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.command_options import refuse_odd_thing_option
from ops.host import site_settings as settings
from ops.host import terminal as show
from ops.host.json_file import read_json_file
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.provision.aws_registry import AwsRegistry, AwsRegistryThing
from ops.provision.issued_certificate import (
    IssuedCertificate,
    known_issued_certificate,
    read_issued_certificate,
    remember_issued_certificate,
)
from ops.provision.site_folder import SiteFolder, renewal_site_folder
from ops.provision.site_identity import (
    ensure_site_identity_request,
    finish_site_identity_renewal,
    install_site_identity,
    put_renewed_site_identity_in_place,
    write_site_identity_config,
)
from VenAgent.cloud.tls.certificates import certificate_expiry_text

Thing = Annotated[str, typer.Option(help="The site's name in AWS IoT: its thing and VEN id.")]
Region = Annotated[str | None, typer.Option(envvar="AWS_REGION", help="Of AWS.")]
Policy = Annotated[
    list[str] | None,
    typer.Option(help="IoT policy (VenPolicyName); once more for a second one (VenBusPolicyName)."),
]
VEN_POLICY = "venagent-ven"
ThingType = Annotated[str, typer.Option(help="Thing type (VenThingTypeName); empty for none.")]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="The thing had another certificate: replace that site.")
]


def provision_command(
    thing: Thing,
    region: Region = None,
    policy: Policy = None,
    thing_type: ThingType = "venagent-ven",
    folder: Annotated[Path | None, typer.Option(help="Where the files are kept.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="The agent's configuration to complete.")
    ] = None,
    root_ca: Annotated[
        Path | None, typer.Option(help="The broker's CA (PEM), if not Amazon's.")
    ] = None,
    csr_only: Annotated[
        bool, typer.Option("--csr-only", help="Make key and request, and ask AWS for nothing.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="What `provision-sign` wrote, or a certificate (PEM).")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="AWS IoT endpoint, beside a certificate in PEM.")
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="A new key and certificate.")] = False,
    retire: Annotated[
        bool, typer.Option("--retire", help="Take the thing's certificates before out of use.")
    ] = False,
    take_over: TakeOver = False,
) -> None:
    """Give this site its identity in AWS IoT Core.

    Makes a private key that never leaves this machine, has its request signed by AWS, attaches
    policy and thing, and writes the agent's configuration. May be run again at any time. Without
    AWS credentials here: --csr-only, then `provision-sign` where there are some, then
    --certificate with what it wrote.
    """
    refuse_odd_thing_option("--thing", thing)
    paths = Paths.from_environment()
    site = SiteFolder.of(paths, thing, folder)
    contents = (
        read_json_file(config) if config else settings.current_site_settings(paths, {}).agent_config
    )
    if finish_site_identity_renewal(site):
        show.print_note("a renewal that had broken off was finished")
        if renew:
            _tell_next(site, renew=True)
            return
    target = renewal_site_folder(site) if renew else site
    if retire:
        _retire(site, region)
        return
    with show.progress_step(f"key and request in {target.path}") as done:
        request = ensure_site_identity_request(target)
        done.append("the key stays here")
    if csr_only:
        show.print_note(
            f"have {target.request} signed: ven_control.sh provision-sign --thing {thing}"
        )
        return
    wanted = AwsRegistryThing(thing, tuple(policy or [VEN_POLICY]), thing_type or None, take_over)
    if certificate is not None:
        issued = read_issued_certificate(certificate, thing, endpoint)
    else:
        before = read_issued_certificate(site.issued, thing, None) if site.issued.exists() else None
        issued = _sign(wanted, region, request, target.issued, before, target)
    with show.progress_step("certificate, CA and configuration") as done:
        facts = install_site_identity(target, issued, root_ca)
        if renew:
            put_renewed_site_identity_in_place(target, site)
        write_site_identity_config(site, contents, issued)
        done.append(f"valid until {certificate_expiry_text(facts.not_after_ts)}")
    _tell_next(site, renew=renew)


def provision_sign_command(
    thing: Thing,
    csr: Annotated[Path, typer.Option(help="The site's request.csr.")],
    out: Annotated[Path, typer.Option(help="The file to write, for the site.")],
    region: Region = None,
    policy: Policy = None,
    thing_type: ThingType = "venagent-ven",
    take_over: TakeOver = False,
) -> None:
    """Have a site's request signed by AWS: the operator's half of `provision --csr-only`."""
    refuse_odd_thing_option("--thing", thing)
    try:
        request = csr.read_text()
    except OSError as error:
        raise OpsError(f"cannot read {csr}: {error.strerror}") from None
    wanted = AwsRegistryThing(thing, tuple(policy or [VEN_POLICY]), thing_type or None, take_over)
    _sign(wanted, region, request, out, None, None)
    show.print_note(
        f"on the site: ven_control.sh provision --thing {thing} --certificate {out.name}"
    )


def _sign(
    wanted: AwsRegistryThing,
    region: str | None,
    request: str,
    memory: Path,
    before: IssuedCertificate | None,
    site: SiteFolder | None,
) -> IssuedCertificate:
    """The certificate for `request`: the one in the file `memory`, or a new one, kept there.

    `before` is the one that this site has.
    """
    registry = AwsRegistry(region)
    issued = known_issued_certificate(memory, wanted.thing, request)
    own = issued or before
    with show.progress_step(f"thing {wanted.thing} in AWS") as done:
        registry.prepare(wanted, None if own is None else own.certificate_arn)
        if issued is None:
            issued = registry.issue(wanted, request)
            remember_issued_certificate(memory, issued, site)
            done.append("a certificate was made")
        else:
            done.append("it has its certificate")
        if issued.certificate_arn is not None:
            registry.attach(wanted, issued.certificate_arn)
    return issued


def _retire(site: SiteFolder, region: str | None) -> None:
    if renewal_site_folder(site).path.exists():
        raise OpsError(
            f"a renewal of {site.thing} has not been finished: its certificate would be retired",
            f"ven_control.sh provision --thing {site.thing} --renew",
        )
    arn = None
    if site.issued.exists():
        arn = read_issued_certificate(site.issued, site.thing, None).certificate_arn
    if arn is None:
        raise OpsError(f"{site.path} does not tell which certificate of {site.thing} is in use")
    retired = AwsRegistry(region).retire_others(site.thing, arn)
    show.print_note(f"taken out of use: {', '.join(retired) or 'none'}")


def _tell_next(site: SiteFolder, *, renew: bool) -> None:
    if renew:
        show.print_note("a running agent takes it up within a minute: see `ven_control.sh status`")
        show.print_note(f"then: ven_control.sh provision --thing {site.thing} --retire")
        return
    show.print_note(f"start it: ven_control.sh start --no-panel --config {site.agent_config}")
    show.print_note(f"or: vctl config store ven.agent config {site.agent_config}")
