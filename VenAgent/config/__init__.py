"""What a person sets, read and checked.

- `agent.py`        the whole: the way in, and what the other rooms ask of it
- `site.py`         the building's blocks: panel, circuits, events, leases, calendar
- `cloud.py`        the broker's blocks: broker, outbox, topics, streams
- `bridge.py`       the bus bridge's block (the local page's stands in `VenAgent.config.web_config`)
- `types.py`        the kinds of value that the blocks share
- `environment.py`  the environment variables that win over it
- `findings.py`     the error that names each wrong field
"""

from VenAgent.config.agent_config import AgentConfig
from VenAgent.config.errors import ConfigError

__all__ = ["AgentConfig", "ConfigError"]
