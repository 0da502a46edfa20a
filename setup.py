"""For VOLTTRON 9 and 10, which call it; everything is in pyproject.toml."""

from setuptools import setup

setup()
