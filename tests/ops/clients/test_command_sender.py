"""How the commands ask the VEN on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.clients import command_sender as commands
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def over_rpc(paths: Paths, peer: str, method: str, **_: Any) -> dict[str, Any]:
        asked.append(("rpc", peer, method))
        return {"health": "GOOD"}

    def over_mqtt(agent: Any, message: dict[str, Any], timeout_sec: float) -> dict[str, Any]:
        asked.append(("mqtt", message["op"], message["what"]))
        return {"ok": True, "data": {"health": "GOOD"}}

    monkeypatch.setattr("ops.volttron.volttron_rpc.call_volttron_rpc", over_rpc)
    monkeypatch.setattr(commands, "send_command_to_ven", over_mqtt)
    return asked


@pytest.mark.parametrize(("what", "method"), [("status", "status"), ("shadow", "get_panel")])
def test_with_a_certificate_it_is_asked_on_the_bus_since_a_site_may_not_command_itself(
    paths: Paths, settings: SiteSettings, asked: list[tuple[Any, ...]], what: str, method: str
) -> None:
    here = settings.ven_target()
    in_aws = replace(here, broker_tls={"ca_cert": "ca", "client_cert": "c", "private_key": "k"})
    answers = [commands.send_command_to_own_ven(paths, one, what, 5.0) for one in (here, in_aws)]
    assert answers == [{"ok": True, "data": {"health": "GOOD"}}] * 2
    assert asked == [("mqtt", "get", what), ("rpc", "ven.agent", method)]
