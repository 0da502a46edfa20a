"""Prometheus metrics of dispatch."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

EVENT_TURNS = Counter("venagent_event_turns_total", "Turns of events.", ["turn"])
ACTIVATION_DELAY = Histogram(
    "venagent_event_activation_delay_seconds",
    "From an event's start to its being active.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
COMMANDS = Counter("venagent_commands_total", "Commands handed to the broker.", ["result"])
HEARTBEATS = Counter(
    "venagent_limit_heartbeats_total", "Signs of life for limits with a failsafe.", ["result"]
)
BATCH_SECONDS = Histogram(
    "venagent_dispatch_batch_seconds",
    "One batch: claimed, published, marked.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
