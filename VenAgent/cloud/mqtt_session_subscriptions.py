"""What the broker delivers to us by its session."""

from __future__ import annotations


class MqttSessionSubscriptions:
    """What the broker's session is known to have subscribed, from one connection to the next."""

    def __init__(self) -> None:
        self.filters: set[str] = set()
        self.refused: set[str] = set()
        self.retained: set[str] = set()
        """Topics where the broker keeps a message for later subscribers."""

    def trouble(self) -> str:
        """What a person should see to; empty when all is well."""
        troubles = []
        if self.refused:
            troubles.append(
                f"the broker does not let us receive {', '.join(sorted(self.refused))}: "
                f"its policy (ACL) must allow to subscribe there"
            )
        if self.retained:
            troubles.append(
                f"the broker keeps a message on {', '.join(sorted(self.retained))}, which is not "
                f"obeyed: publish commands without the retain flag, and an empty message with it "
                f"to remove the one that is kept"
            )
        return "; ".join(troubles)
