"""A stand-in for VOLTTRON 11, for machines without it: its names, and what differs in it."""
