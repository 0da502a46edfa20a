"""Checks of configurations before VOLTTRON sees them, and the reference of all settings."""
