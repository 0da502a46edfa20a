"""The wire: topics, commands, acks, telemetry, shadow. No I/O; the backend imports it too.

Every spelling that a peer has ever used is understood, exactly one superset is sent, and what is
not understood is refused by name.
"""

SCHEMA_VERSION = "1.0"
MAX_PAYLOAD_BYTES = 100_000
"""Ours stay below this; AWS IoT Core's own limit is 128 KB."""
MAX_TEXT_CHARACTERS = 256
"""Of an id or another text in a command."""
