"""Another agent of VOLTTRON 11, in its own Python: it does what it reads, line by line, and answers
each with a line.

A line is a JSON list: the agent that is asked, the method, its arguments, and those by name;
"pubsub" as the agent publishes to the topic in the method's place. The answer is `{"answer": …}` or
`{"error": "the exception's name and text"}`. The first line that it writes is its identity, when it
is on the bus. It has one of its own: `vctl` has another, and may run beside it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import gevent
from gevent.fileobject import FileObject
from volttron.client.commands.connection import ControlConnection
from volttron.client.vip.agent import Agent
from volttron.types.agent_context import AgentOptions
from volttron.types.auth import VolttronCredentials
from volttron.utils.context import ClientContext

IDENTITY = "asking.agent"
ANSWER_SEC = 20


def credentials() -> VolttronCredentials:
    """What the platform makes for an agent that it installs, with an administrator's rights."""
    connection = ControlConnection(address=ClientContext.get_address())
    try:
        call = connection.server.vip.rpc.call
        call("platform.auth", "create_credentials", identity=IDENTITY).get(timeout=ANSWER_SEC)
        call("platform.auth", "add_agents_to_group", "admin_users", [IDENTITY]).get(ANSWER_SEC)
    finally:
        connection.kill()
    store = f"{ClientContext.get_volttron_home()}/credentials_store"
    with open(f"{store}/{IDENTITY}.json") as file:
        return VolttronCredentials(**json.load(file))


def connected() -> Agent:
    options = AgentOptions(
        heartbeat_autostart=False,
        volttron_home=ClientContext.get_volttron_home(),
        enable_store=False,
    )
    agent = Agent(credentials=credentials(), options=options, address=ClientContext.get_address())
    is_running = gevent.event.Event()
    gevent.spawn(agent.core.run, is_running)
    is_running.wait()
    return agent


def ask(agent: Agent, peer: str, method: str, arguments: Any, named: dict[str, Any]) -> Any:
    if peer == "pubsub":
        header = {"TimeStamp": "2099-01-01T00:00:00+00:00"}
        call = agent.vip.pubsub.publish(peer, method, header, *arguments)
    elif peer == "peerlist":
        call = agent.vip.peerlist()
    else:
        call = agent.vip.rpc.call(peer, method, *arguments, **named)
    return call.get(timeout=ANSWER_SEC)


def main() -> None:
    agent = connected()
    print(json.dumps(IDENTITY), flush=True)
    for line in FileObject(sys.stdin, "r"):
        try:
            said = {"answer": ask(agent, *json.loads(line))}
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said, default=str), flush=True)


if __name__ == "__main__":
    main()
