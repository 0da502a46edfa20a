"""What a person sets, read and checked.

- `agent_config.py`       the whole: the way in, and what the other rooms ask of it
- `site_config.py`        the building's blocks: panel, events, leases, calendar
- `circuit_config.py`     a circuit: its points, how it is shed, what guards it
                          (each class of `circuit_..._config.py` adds the settings of one thing)
- `cloud_config.py`       the broker's blocks: broker, outbox, topics, streams
- `bus_bridge_config.py`  the bus bridge's block
- `web_config.py`         the local page's block
- `measurement_units.py`  one word for each unit, however it is written
- `config_block.py`       the kinds of value that the blocks share
- `environment.py`        the environment variables that win over it
- `config_errors.py`      the error that names each wrong field
"""

from VenAgent.config.agent_config import AgentConfig
from VenAgent.config.config_errors import ConfigError

__all__ = ["AgentConfig", "ConfigError"]
