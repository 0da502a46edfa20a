"""`start` with a BACnet device: the proxy is there before the driver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.services import site_stack as bring_up
from ops.volttron import config_store, vctl
from ops.volttron.device_model import device_model_entries
from tests.ops.conftest import REPO


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What vctl was told to install, with its configuration; and it runs then."""
    done: list[dict[str, str]] = []

    def must(paths: Paths, *arguments: str | Path, timeout_sec: float = 60) -> str:
        words = [str(argument) for argument in arguments]
        config = Path(words[words.index("--agent-config") + 1]).read_text()
        done.append({"package": words[words.index("install") + 1], **json.loads(config)})
        return ""

    monkeypatch.setattr(vctl, "vctl_output", must)
    running = vctl.VctlAgentStatus("platform.bacnet_proxy", "", "running [1]", "GOOD", "")
    monkeypatch.setattr(vctl, "vctl_status", lambda paths: {running.identity: running})
    return done


def entries(model: str) -> list[config_store.ConfigStoreEntry]:
    return device_model_entries(REPO / "MeterDriverConfigs" / model, "site/panel")


def test_the_proxy_is_installed_with_this_machines_address(
    paths: Paths, installed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEN_BACNET_ADDRESS", "192.168.1.10/24")
    assert bring_up.ensure_site_stack_bacnet_proxy(paths, entries("bacnet_panel"), {}) is True
    assert installed == [{"package": "volttron-bacnet-proxy", "device_address": "192.168.1.10/24"}]
    assert (
        bring_up.ensure_site_stack_bacnet_proxy(
            paths, entries("bacnet_panel"), vctl.vctl_status(paths)
        )
        is False
    )
    assert len(installed) == 1


def test_without_an_address_it_says_what_to_set(
    paths: Paths, installed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VEN_BACNET_ADDRESS", raising=False)
    with pytest.raises(OpsError) as refused:
        bring_up.ensure_site_stack_bacnet_proxy(paths, entries("bacnet_panel"), {})
    assert "VEN_BACNET_ADDRESS" in refused.value.advice[0]
    assert installed == []


@pytest.mark.parametrize("model", ["simulated_panel", "site_meter_and_relays", "fake_panel"])
def test_other_devices_need_no_proxy(
    paths: Paths, installed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.delenv("VEN_BACNET_ADDRESS", raising=False)
    assert bring_up.ensure_site_stack_bacnet_proxy(paths, entries(model), {}) is False
    assert installed == []


def test_whoever_names_an_address_gets_the_proxy(
    paths: Paths, installed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor says so of a device that was loaded by another command."""
    monkeypatch.setenv("VEN_BACNET_ADDRESS", "192.168.1.10/24")
    assert bring_up.ensure_site_stack_bacnet_proxy(paths, entries("simulated_panel"), {}) is True
    assert [each["package"] for each in installed] == ["volttron-bacnet-proxy"]
