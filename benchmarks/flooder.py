"""A flood on the VOLTTRON bus: so many messages a second below one prefix, until told otherwise.

Run by link_flood.py in the platform's environment, as the plain user. Each line on standard input
(JSON: {"per_sec": …}, 0 for none) changes the rate and is answered by how many were published since
the last, in how many seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time

import gevent
from gevent.fileobject import FileObject
from volttron.client.vip.agent import build_agent

EVERY_SEC = 0.02
MESSAGE = [{"power": 1.5, "voltage": 240.1, "note": "x" * 100}, {"power": {"units": "kW"}}]


class Flooder:
    """Publishes at `per_sec`; what it falls behind is not made up for beyond a second."""

    def __init__(self, address: str, prefix: str) -> None:
        self._pubsub = build_agent(address=address, identity=f"benchmark.{os.getpid()}").vip.pubsub
        self._topic = f"{prefix}/all"
        self.per_sec = 0.0
        self.published = 0

    def run(self) -> None:
        due = time.monotonic()
        while True:
            now = time.monotonic()
            due = max(due, now - 1.0)
            while self.per_sec and due < now:
                self._pubsub.publish("pubsub", self._topic, headers={}, message=MESSAGE)
                self.published += 1
                due += 1.0 / self.per_sec
            if not self.per_sec:
                due = now
            gevent.sleep(EVERY_SEC)


def main() -> None:
    """Arguments: the VIP address, the prefix of the topics."""
    flooder = Flooder(*sys.argv[1:])
    gevent.spawn(flooder.run)
    print(json.dumps({"ready": True}), flush=True)
    began, published = time.monotonic(), 0
    for line in FileObject(sys.stdin.buffer):
        now, count = time.monotonic(), flooder.published
        answer = {"published": count - published, "seconds": now - began}
        began, published = now, count
        flooder.per_sec = float(json.loads(line)["per_sec"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
