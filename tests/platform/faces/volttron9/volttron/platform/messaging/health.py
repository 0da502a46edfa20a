STATUS_GOOD = "GOOD"
STATUS_BAD = "BAD"
STATUS_STARTING = "STARTING"


class Status:
    """What the agent builds for an alert."""

    def __init__(self, status: str, context: str) -> None:
        self.status, self.context = status, context

    @classmethod
    def build(cls, status: str, context: str) -> "Status":
        return cls(status, context)
