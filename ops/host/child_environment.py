"""The environment variables of what we start: those that are meant for it, and no others.

root's environment is not the plain user's business. PYTHONPATH would put the clone in front of the
installed agent, and PIP_FIND_LINKS breaks `vctl install` of an installed package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ops.host.paths import Paths

_PASSED = {
    *("LANG", "LANGUAGE", "TZ", "TERM"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}
_PASSED_PREFIXES = ("LC_", "PIP_", "AWS_")
_WITHHELD = {"PIP_FIND_LINKS"}


def child_environment(paths: Paths, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that runs as the plain user; `extra` wins."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and name not in _WITHHELD
    }
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        **passed,
        "HOME": str(paths.user_home),
        "USER": paths.user,
        "LOGNAME": paths.user,
        **extra,
    }


def platform_child_environment(paths: Paths, variables: Mapping[str, str]) -> dict[str, str]:
    """VOLTTRON's and `vctl`'s; the platform's agents inherit it, `variables` too."""
    base = child_environment(paths, {})
    # As an address: pip takes a space for the next file. An existing VOLTTRON has its own rules,
    # and 11 is held by the project in its VOLTTRON_HOME.
    ours: dict[str, str] = {}
    if paths.existing is None and paths.generation == 10:
        ours = {"PIP_CONSTRAINT": paths.constraints.as_uri()}
    elif paths.existing is None:
        ours = {"VIRTUAL_ENV": str(paths.platform_environment)}
    return {
        **base,
        **variables,
        "PATH": f"{paths.platform_bin}:{base['PATH']}",
        "VOLTTRON_HOME": str(paths.volttron_home),
        **ours,
    }
