"""The configuration's block `bus_bridge`."""

from __future__ import annotations

from typing import Any

from tests.config.builders import MINIMAL, explained
from tests.config.builders import load as load_config
from tests.support.each_case import each_case
from VenAgent.config import AgentConfig


def load(**block: Any) -> AgentConfig:
    return load_config({**MINIMAL, "bus_bridge": block})


def test_it_is_off_by_default() -> None:
    config = load_config()
    assert config.bus_bridge.enabled is False
    assert config.bus_bridge.accepted(config.ven_id) == ()


def test_what_it_accepts_unless_told_otherwise() -> None:
    config = load(enabled=True, publish=["cloud/weather"])
    assert config.bus_bridge.accepted("site-1") == ("ven/bus/site-1/in",)
    config = load(enabled=True, publish=["cloud/weather"], accept=["grid/prices"])
    assert config.bus_bridge.accepted("site-1") == ("grid/prices",)
    config = load(enabled=True, forward=["devices"])
    assert config.bus_bridge.accepted("site-1") == ()


@each_case(
    ("block", "words"),
    [
        ({"enabled": True}, ["neither forward nor publish"]),
        ({"enabled": True, "publish": ["devices/actuators"]}, ["devices/", "cloud/weather"]),
        ({"enabled": True, "publish": ["ven/site-1/event"]}, ["below ven/"]),
        ({"enabled": True, "forward": ["devices/#"]}, ["forward"]),
        ({"enabled": True, "forward": ["/devices"]}, ["forward"]),
        ({"enabled": True, "forward": ["devices/"]}, ["forward"]),
        ({"enabled": True, "forward": [""]}, ["forward"]),
        ({"enabled": True, "forward": ["d"]}, ["forward"]),
        ({"enabled": True, "forward": ["a"], "interval_sec": 0}, ["interval_sec"]),
        ({"enabled": True, "forward": ["ab"], "queue_length": 0}, ["queue_length"]),
        ({"enabled": True, "forward": ["ab"], "flood_per_sec": "inf"}, ["flood_per_sec"]),
        ({"enabled": True, "publish": ["cloud"], "accept": ["ven"]}, ["covers our own topic"]),
        ({"enabled": True, "publish": ["cloud"], "accept": ["ven/cmd"]}, ["ven/cmd"]),
        ({"enabled": True, "publish": ["cloud"], "accept": ["$aws/things"]}, ["$aws/things"]),
        ({"forwards": ["devices"]}, ["forwards", "not a setting"]),
    ],
)
def test_what_is_wrong_is_named(block: dict[str, Any], words: list[str]) -> None:
    text = explained({**MINIMAL, "bus_bridge": block})
    for word in words:
        assert word in text
