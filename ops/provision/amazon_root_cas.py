"""Amazon's root CAs, of which the AWS library brings a copy."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path

from ops.host.ops_error import OpsError

AMAZON_ROOTS = (
    "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
)
"""SHA-256 fingerprints of Amazon Root CA 1 to 4 (amazontrust.com/repository)."""


def amazon_root_cas() -> str:
    """Amazon's root CAs, from the trust store that the AWS library brings; PEM."""
    import botocore  # it takes a while

    store = (Path(botocore.__file__).parent / "cacert.pem").read_text()
    pems = re.findall(
        r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", store, re.DOTALL
    )
    # By fingerprint: what stands in the others is not read, some of them break newer rules.
    by_print = {hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(): pem for pem in pems}
    if AMAZON_ROOTS[0] not in by_print:
        raise OpsError(
            "Amazon Root CA 1 is not in the AWS library's trust store",
            "Fetch it from https://www.amazontrust.com/repository/ and name it with --root-ca.",
        )
    return "".join(by_print[each] for each in AMAZON_ROOTS if each in by_print)
