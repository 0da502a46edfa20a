"""The doctor tells whose VOLTTRON goes deaf after a call to an absent agent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.doctor.unreachable_peer_check import unreachable_peer_check
from ops.host.paths import Paths
from tests.support.each_case import each_case

VOLTTRON_9, VOLTTRON_10 = "volttron.platform.vip.agent", "volttron.client.vip.agent"
AS_SHIPPED = {
    VOLTTRON_9: "int(errnum)",
    VOLTTRON_10: "getattr(errno, errnum.split('.')[-1])",
}
"""What `from_errno` of each makes of the text that the router sends."""

IMPORTED = {
    VOLTTRON_9: ("volttron.platform.control.control_connection", "volttron.platform.jsonrpc"),
    VOLTTRON_10: (
        "volttron.client.commands.connection",
        "volttron.utils.context",
        "volttron.utils.jsonrpc",
    ),
}
"""What else of them a call needs."""


@pytest.mark.long
@each_case(
    "generation, package, reading, text, ok, remedy",
    [
        (9, VOLTTRON_9, AS_SHIPPED[VOLTTRON_9], "113", True, ""),
        (9, VOLTTRON_9, AS_SHIPPED[VOLTTRON_9], "Errno.EHOSTUNREACH", False, "Python 3.11"),
        (10, VOLTTRON_10, AS_SHIPPED[VOLTTRON_10], "Errno.EHOSTUNREACH", True, ""),
        (10, VOLTTRON_10, AS_SHIPPED[VOLTTRON_10], "113", False, "repair_volttron.py"),
        (11, VOLTTRON_10, AS_SHIPPED[VOLTTRON_10], "113", False, "repair_volttron.py"),
        (11, VOLTTRON_10, "int(errnum)", "113", True, ""),
        (10, VOLTTRON_10, "1 / 0", "113", None, ""),
    ],
)
def test_each_generation_on_each_python(
    paths: Paths,
    generation: int,
    package: str,
    reading: str,
    text: str,
    ok: bool | None,
    remedy: str,
) -> None:
    program = paths.home / f"{generation}-{text}-{ok}/bin"
    modules = program / "modules"
    folder = modules / package.replace(".", "/")
    folder.mkdir(parents=True)
    stub = "class Error(Exception): pass\nclass RemoteError(Exception): pass\n"
    stub += "ControlConnection = ClientContext = None\n"
    for name in IMPORTED[package]:
        module = modules / (name.replace(".", "/") + ".py")
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(stub)
    (modules / "gevent.py").write_text("")
    (folder / "errors.py").write_text(
        "import errno\nclass VIPError(Exception):\n    @classmethod\n"
        f"    def from_errno(cls, errnum, *args):\n        return {reading}\n"
    )
    (modules / "zmq.py").write_text(
        f"class E:\n    def __str__(self):\n        return {text!r}\nEHOSTUNREACH = E()\n"
    )
    (program / "python").write_text(f'#!/bin/sh\nPYTHONPATH={modules} exec python3 "$@"\n')
    (program / "python").chmod(0o755)
    theirs = replace(
        paths, existing=paths.volttron_home, existing_bin=program, generation=generation
    )
    check = unreachable_peer_check(theirs)
    assert (check.ok, remedy in check.remedy) == (ok, True), check
