"""VOLTTRON itself: up and down, its agents, its config store, its RPC."""
