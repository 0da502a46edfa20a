"""What `start` brings up beside VOLTTRON, in its order, and what of it runs."""
