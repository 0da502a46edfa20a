"""Another agent of the platform, in VOLTTRON 11's own Python: one call to the driver, its answer as
JSON. The argument is a JSON list: method, and its arguments."""

from __future__ import annotations

import json
import sys

from volttron.client.commands.connection import ControlConnection
from volttron.utils.context import ClientContext

connection = ControlConnection(address=ClientContext.get_address())
try:
    method, *arguments = json.loads(sys.argv[1])
    call = connection.server.vip.rpc.call("platform.driver", method, *arguments)
    print(json.dumps(call.get(timeout=20), default=str))
finally:
    connection.kill()
