"""What a VEN keeps on the disk, opened, configured and closed together."""

from __future__ import annotations

from typing import Any

from VenAgent.cloud.outbox import Outbox
from VenAgent.cloud.outbox_file import unused_outbox_file_seq
from VenAgent.config import AgentConfig
from VenAgent.storage.ended_events import EndedEvents
from VenAgent.storage.journal import Journal
from VenAgent.storage.power_history import PowerHistory
from VenAgent.volttron_compat import volttron_compat_data_dir, volttron_compat_dir_outside


class DataFolder:
    """The agent's data folder, and beside it, where no installation copies it, the ended events.

    `journal_damage` is a sentence for a person, if the journal was put aside or cannot be read.
    """

    def __init__(self, agent: Any, config: AgentConfig, now: float) -> None:
        self.path = volttron_compat_data_dir(agent)
        self.outbox_file = self.path / "outbox.sqlite"
        self.outbox = Outbox(self.outbox_file, synced=True, first_seq=unused_outbox_file_seq())
        self.journal, self.journal_damage = Journal.open(self.path / "journal.sqlite", now)
        self.ended = EndedEvents(volttron_compat_dir_outside(agent) / "ended-events.jsonl")
        self.history = PowerHistory(
            self.path / "history.sqlite",
            now,
            config.calendar.build(),
            measured_by=config.measured_by(),
        )

    def reconfigure(self, config: AgentConfig) -> None:
        """The readings from now on are this configuration's."""
        self.history.calendar = config.calendar.build()
        self.history.measure_by(config.measured_by())

    def send_as(self, config: AgentConfig) -> None:
        """What is put into the outbox from now on is this configuration's."""
        self.outbox.belong_to(config.ven_id)
        self.outbox.max_bytes = int(config.outbox.max_mb * 1e6)

    def troubles(self) -> tuple[str | None, ...]:
        """What is wrong with journal and history, a sentence each; None where all is well."""
        return self.journal_damage, self.history.complaint, self.history.failure

    def close(self) -> None:
        self.journal.close()
        self.history.close()
        self.outbox.close()
