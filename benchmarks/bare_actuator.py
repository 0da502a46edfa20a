"""The floor: one schedule request and eight parallel writes on the actuator, with nothing around.

Run by event_latency.py in the platform's environment, as the plain user. Each line on standard
input (JSON: {"value": …}) is one round; the answer is a line of JSON with its times.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta

from volttron.client.vip.agent import build_agent
from volttron.utils import format_timestamp, get_aware_utc_now

from VenAgent.volttron_api import RPC_FAILURES  # repairs VIPError in this process

ACTUATOR, IDENTITY = "platform.actuator", "benchmark.bare"
TIMEOUT_SEC = 10.0


def main() -> None:
    """Arguments: the VIP address, the device, the points."""
    address, device, *points = sys.argv[1:]
    agent = build_agent(address=address, identity=IDENTITY)
    call = agent.vip.rpc.call
    print(json.dumps({"ready": True}), flush=True)
    for number, line in enumerate(sys.stdin):
        value = json.loads(line)["value"]
        task = f"bare-{time.time()}-{number}"
        now = get_aware_utc_now()
        slot = [device, format_timestamp(now), format_timestamp(now + timedelta(minutes=10))]
        begun = time.time()
        made = call(ACTUATOR, "request_new_schedule", "", task, "HIGH", [slot]).get(TIMEOUT_SEC)
        scheduled = time.time()
        writes = [call(ACTUATOR, "set_point", "", f"{device}/{p}", value) for p in points]
        for write in writes:
            write.get(timeout=TIMEOUT_SEC)
        done = time.time()
        try:
            call(ACTUATOR, "request_cancel_schedule", "", task).get(timeout=TIMEOUT_SEC)
        except RPC_FAILURES as failure:
            made = {"result": str(failure)}
        times = {"begun": begun, "scheduled": scheduled, "done": done, "result": made["result"]}
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
