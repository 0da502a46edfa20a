"""What an event delivered: baselines from stored history, and the figures of each VEN."""
