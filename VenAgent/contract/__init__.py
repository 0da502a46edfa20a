"""The wire: topics, commands, acks, telemetry, shadow. No I/O; the backend imports it too.

The reader is tolerant (every spelling a peer has ever used is understood), the writer is strict
(exactly one superset is sent).
"""

SCHEMA_VERSION = "1.0"
MAX_PAYLOAD_BYTES = 100_000
"""Ours stay below this; AWS IoT Core's own limit is 128 KB."""
