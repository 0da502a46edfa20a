"""VenAgent: a VOLTTRON agent that makes a building a demand-response Virtual End Node."""

from VenAgent.version import __version__

__all__ = ["__version__"]
