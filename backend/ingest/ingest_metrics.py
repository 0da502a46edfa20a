"""What the ingest counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter(
    "venagent_ingest_messages_total", "Messages by what became of them", ["source", "outcome"]
)
BATCH_SECONDS = Histogram(
    "venagent_ingest_batch_seconds",
    "Reading, storing and committing a batch",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_SIZE = Histogram(
    "venagent_ingest_batch_messages",
    "Messages in a batch",
    buckets=(1, 10, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000),
)
LAG_SECONDS = Histogram(
    "venagent_ingest_lag_seconds",
    "From a batch's oldest message's arrival to its commit",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
WAITING = Gauge("venagent_ingest_waiting_messages", "Messages that arrived and are not stored yet")
KINESIS_BEHIND = Gauge(
    "venagent_ingest_kinesis_behind_seconds", "How far the furthest shard is behind the stream"
)
FAILURES = Counter("venagent_ingest_database_failures_total", "Batches that had to be tried again")
CONNECTED = Gauge("venagent_ingest_broker_connected", "1 while the broker is connected")
DEAD_LETTERS_DROPPED = Counter(
    "venagent_ingest_dead_letters_dropped_total", "Refused messages that were not kept: too many."
)
