"""What the columns `status` and `state` say, by table."""

from __future__ import annotations

from VenAgent.contract.acks import OVER_STATUSES, SHEDDING_STATUSES, AckStatus

SCHEDULED, ACTIVE, COMPLETED, CANCELLED = "scheduled", "active", "completed", "cancelled"
"""An event's status."""

PENDING, PUBLISHED, ACKED = "pending", "published", "acked"
WITHDRAWN, EXPIRED, NOT_RESPONDING = "withdrawn", "expired", "not_responding"
OPEN = (PENDING, PUBLISHED)
"""A command's state: pending → published → acked; the others end it too."""

ASSIGNED, COMMANDED = "assigned", "commanded"
SHEDDING = SHEDDING_STATUSES
REJECTED = AckStatus.REJECTED.value
CONCLUDED = (AckStatus.COMPLETED.value, AckStatus.REBOUND.value, AckStatus.OPTED_OUT.value)
"""These VENs have restored. One that failed or is silent may shed, and is told to restore; so is
one that has refused: it may be a modification that it refused."""
REFUSING = (REJECTED, AckStatus.FAILED.value, AckStatus.OPTED_OUT.value)
GONE = OVER_STATUSES
"""A participant's status: assigned → commanded, then as its acks say, or `not_responding`. Those
gone deliver nothing; `not_responding` neither."""

ONLINE, OFFLINE, UNKNOWN = "online", "offline", "unknown"
MAINTENANCE = "maintenance"
AVAILABLE, OPTED_OUT = "available", "opted_out"
"""A VEN's status; maintenance is an operator's word, and stays until an operator ends it."""
