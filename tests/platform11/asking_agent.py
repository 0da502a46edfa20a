"""Another agent of the platform, in VOLTTRON 11's own Python: one call to an agent, its answer as
JSON. The argument is a JSON list: the agent, the method, its arguments, and those by name; or
"pubsub", a topic, and the message that is published there; or "peerlist"."""

from __future__ import annotations

import json
import sys

from volttron.client.commands.connection import ControlConnection
from volttron.utils.context import ClientContext

connection = ControlConnection(address=ClientContext.get_address())
try:
    peer, method, arguments, named = json.loads(sys.argv[1])
    if peer == "pubsub":
        header = {"TimeStamp": "2099-01-01T00:00:00+00:00"}
        call = connection.server.vip.pubsub.publish(peer, method, header, *arguments)
    elif peer == "peerlist":
        call = connection.server.vip.peerlist()
    else:
        call = connection.server.vip.rpc.call(peer, method, *arguments, **named)
    print(json.dumps(call.get(timeout=20), default=str))
finally:
    connection.kill()
