"""The agent's version: read by setup.py without importing the package."""

__version__ = "1.0.0"
