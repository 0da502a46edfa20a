"""Named shadows through the real link: a panel of 100 circuits at the broker that behaves like AWS.

TLS with client certificates, the ACL made from deploy/aws/iot-policy.json, and the shadow service
with its 8 KB beside it. Only the building is made up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.builders import a_circuit, a_telemetry
from tests.platform.link_harness import ROOT, TOPICS, VEN_ID, Node, wait_until
from tests.support.authority import Authority
from tests.support.aws_broker import OPERATOR, AwsLikeBroker, Guest
from tests.support.shadow_service import ShadowService
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.outbox import Outbox, OutboxMessage
from VenAgent.cloud.shadow_client import ShadowClient
from VenAgent.cloud.shadow_desired import ShadowDesired
from VenAgent.config.agent_config import AgentConfig
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.shadow_document import (
    MAX_SHADOW_BYTES,
    NAMED_BUDGET,
    reported_shadow_document,
)
from VenAgent.reporting.reporter import Reporter

CIRCUITS = 100
NEIGHBOUR = "site-2"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[AwsLikeBroker]:
    folder = tmp_path / "aws"
    folder.mkdir()
    broker = AwsLikeBroker(folder, Authority("Test CA")).start()
    yield broker
    broker.stop()


@pytest.fixture
def service(broker: AwsLikeBroker) -> Iterator[ShadowService]:
    tls = broker.context(OPERATOR)
    service = ShadowService(broker.port, client_id=OPERATOR, tls=tls).start()
    yield service
    service.stop()


class Panel:
    """A building of so many circuits, its shadow, and the link that carries it."""

    def __init__(self, folder: Path, broker: AwsLikeBroker, circuits: int) -> None:
        self.closed = {f"circuit-{number}": True for number in range(circuits)}
        self.shadow = ShadowClient(TOPICS, "boot-1", self.closed)
        self.desired = ShadowDesired(
            self.shadow, self._obey, lambda name: self.closed[name], self._put, self._report
        )
        folder.mkdir()
        subscriptions = (TOPICS.command, *TOPICS.shadow_heard)
        tls = broker.files(VEN_ID)
        self.node = Node(folder, broker.port, tls, subscriptions=subscriptions)
        self.node._on_command = self._on_message  # type: ignore[method-assign]
        self.node.start()
        self.desired.connected()

    def _on_message(self, inbound: InboundMessage) -> None:
        self.desired.receive(inbound)
        self.node.link.acknowledge(inbound)

    def _obey(self, fields: Mapping[str, Any], _correlation_id: str) -> Mapping[str, Any]:
        self.closed[fields["loadId"]] = fields["enabled"]
        return {"ok": True}

    def _put(self, messages: Iterable[OutboxMessage]) -> None:
        self.node.outbox.put(messages)
        self.node.link.wake()

    def _report(self) -> None:
        telemetry = a_telemetry(
            circuits=tuple(
                a_circuit(name, name=f"Circuit of the building {name}", enabled=closed)
                for name, closed in self.closed.items()
            )
        )
        reported = reported_shadow_document(
            telemetry,
            available=dict.fromkeys(self.closed, True),
            active_event=None,
            report_interval_sec=5.0,
        )
        self._put(self.shadow.report(reported, time.monotonic()))

    def stop(self) -> None:
        self.node.stop()


def in_named_shadows(service: ShadowService) -> dict[str, bool]:
    names = service.reported(VEN_ID).get("circuit_shadows") or []
    parts = [service.reported(VEN_ID, name).get("circuits", []) for name in names]
    return {circuit["id"]: circuit["enabled"] for part in parts for circuit in part}


def test_a_panel_of_a_hundred_circuits_is_reported_and_switched_by_its_shadows(
    broker: AwsLikeBroker, service: ShadowService, tmp_path: Path
) -> None:
    panel = Panel(tmp_path / "large", broker, CIRCUITS)
    try:
        wait_until(lambda: in_named_shadows(service) == panel.closed, "all circuits are reported")
        off = dict.fromkeys(panel.closed, False)
        wish = [{"id": name, "enabled": False} for name in panel.closed]
        service.desire(VEN_ID, {"circuits": wish})
        wait_until(lambda: panel.closed == off, "all are switched off")
        wait_until(lambda: in_named_shadows(service) == off, "that is reported")
        wait_until(lambda: not service.desired(VEN_ID), "the wish is cleared")
        assert panel.shadow.rejected.keys() <= {"409"}, "nothing was too large"
        for name in [None, *service.store.names(VEN_ID)]:
            held = service.store.document(VEN_ID, name).state
            assert len(encode_json(held)) <= (MAX_SHADOW_BYTES if name is None else NAMED_BUDGET)
        assert "circuits" not in service.reported(VEN_ID)
    finally:
        panel.stop()
    smaller = Panel(tmp_path / "small", broker, 3)
    try:
        wait_until(lambda: service.store.names(VEN_ID) == [], "the named shadows are gone")
        assert len(service.reported(VEN_ID)["circuits"]) == 3
    finally:
        smaller.stop()
    assert "Denied PUBLISH" not in broker.log


def test_a_clock_that_is_set_back_does_not_put_off_what_the_shadow_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a gateway whose clock was wrong until its first synchronisation."""
    config = AgentConfig.load(json.loads((ROOT / "config").read_text()), {})
    shadow = ShadowClient(TOPICS, "boot-1", [])
    outbox = Outbox(tmp_path / "outbox.sqlite", synced=False)
    nothing: Any = lambda *_: None  # noqa: E731
    desired = ShadowDesired(shadow, nothing, nothing, outbox.put, nothing)
    reporter = Reporter(config, nothing, nothing, outbox, shadow, nothing, nothing)
    reporter.telemetry = lambda seq=0: a_telemetry()  # type: ignore[method-assign]
    reporter.shadow = lambda telemetry: reported_shadow_document(  # type: ignore[method-assign]
        telemetry, available={}, active_event=None, report_interval_sec=5.0
    )

    def asked() -> list[bytes]:
        return [one.payload for one in outbox.urgent(10) if one.topic == TOPICS.shadow_get]

    desired.connected()
    (first,) = asked()
    real_time, real_monotonic = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real_time() - 86_400.0)
    monkeypatch.setattr(time, "monotonic", lambda: real_monotonic() + 15.0)
    reporter.report_shadow()
    (again,) = asked()
    assert again != first, "it is asked again after ten seconds"
    outbox.close()


def test_a_neighbour_neither_reads_nor_writes_a_named_shadow(
    broker: AwsLikeBroker, service: ShadowService, tmp_path: Path
) -> None:
    panel = Panel(tmp_path / "large", broker, CIRCUITS)
    neighbour = Guest(broker, NEIGHBOUR).subscribe(f"{TOPICS.shadow}/#", f"ven/cmd/{NEIGHBOUR}")
    try:
        wait_until(lambda: in_named_shadows(service) == panel.closed, "all circuits are reported")
        forged = json.dumps({"state": {"reported": {"circuits": []}}})
        for topic in (TOPICS.named_shadow_update("circuits-1"), TOPICS.shadow_update):
            neighbour.publish(topic, forged)
        own = f"$aws/things/{NEIGHBOUR}/shadow/name/circuits-1/update"
        neighbour.publish(own, forged)
        wait_until(lambda: service.store.names(NEIGHBOUR), "its own shadow is there")
        assert in_named_shadows(service) == panel.closed
        assert neighbour.heard.empty()
    finally:
        neighbour.close()
        panel.stop()
