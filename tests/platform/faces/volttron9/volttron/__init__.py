"""A stand-in for VOLTTRON 9: its names, and what of its behaviour the agent must live with."""
