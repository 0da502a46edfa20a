"""The floors: one schedule request and eight writes on the actuator, with nothing around.

Run by event_latency.py in the platform's environment, as the plain user. Each line on standard
input (JSON: {"value": …, "together": …}) is one round, its writes in parallel or in one call; the
answer is a line of JSON with its times.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta

import gevent
from volttron.client.vip.agent import build_agent
from volttron.utils import format_timestamp, get_aware_utc_now

ACTUATOR = "platform.actuator"
TIMEOUT_SEC = 10.0


def main() -> None:
    """Arguments: the VIP address, the device, the points."""
    address, device, *points = sys.argv[1:]
    agent = build_agent(address=address, identity=f"benchmark.{os.getpid()}")
    call = agent.vip.rpc.call
    print(json.dumps({"ready": True}), flush=True)
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        value, together = order["value"], order.get("together", False)
        task = f"bare-{time.time()}-{number}"
        now = get_aware_utc_now()
        slot = [device, format_timestamp(now), format_timestamp(now + timedelta(seconds=20))]
        while True:  # the agent gives its last reservation back after it has answered
            begun = time.time()
            made = call(ACTUATOR, "request_new_schedule", "", task, "HIGH", [slot]).get(
                timeout=TIMEOUT_SEC
            )
            if made["result"] == "SUCCESS":
                break
            gevent.sleep(0.02)
        scheduled = time.time()
        topics = [f"{device}/{point}" for point in points]
        if together:
            writes = [call(ACTUATOR, "set_multiple_points", "", [[t, value] for t in topics])]
        else:
            writes = [call(ACTUATOR, "set_point", "", topic, value) for topic in topics]
        for write in writes:
            write.get(timeout=TIMEOUT_SEC)
        done = time.time()
        call(ACTUATOR, "request_cancel_schedule", "", task).get(timeout=TIMEOUT_SEC)
        print(json.dumps({"begun": begun, "scheduled": scheduled, "done": done}), flush=True)


if __name__ == "__main__":
    main()
