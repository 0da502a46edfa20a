"""The files of one site: where they are, and whose."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ops.host.ops_error import OpsError
from ops.host.paths import Paths


@dataclass(frozen=True)
class SiteFolder:
    """The files of one thing. With `owner` they belong to that user: VOLTTRON's."""

    path: Path
    thing: str
    owner: str | None = None

    @classmethod
    def of(cls, paths: Paths, thing: str, folder: Path | None) -> SiteFolder:
        """Where it is, unless another folder is named: below the state root."""
        owner = paths.user if os.geteuid() == 0 else None
        return cls(folder or paths.home / "certificates" / thing, thing, owner)

    @property
    def key(self) -> Path:
        return self.path / "private.key"

    @property
    def request(self) -> Path:
        return self.path / "request.csr"

    @property
    def certificate(self) -> Path:
        return self.path / "client.crt"

    @property
    def ca(self) -> Path:
        return self.path / "ca.pem"

    @property
    def agent_config(self) -> Path:
        return self.path / "agent.json"

    @property
    def issued(self) -> Path:
        return self.path / "issued.json"

    def write(self, path: Path, text: str, mode: int = 0o644) -> None:
        """All or nothing, in the hands of the one who reads it."""
        self._make()
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._hand_over(draft)
        draft.replace(path)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OpsError(
                f"cannot make the folder {self.path}: {error.strerror}", "Name one with --folder."
            ) from None
        self._hand_over(self.path)

    def _hand_over(self, path: Path) -> None:
        if self.owner is None:
            return
        try:
            shutil.chown(path, self.owner, self.owner)
        except LookupError:  # it is made by the first `start`
            raise OpsError(
                f"there is no user {self.owner} yet, whom the key is to belong to",
                "Run `ven_control.sh start` first, or set VENAGENT_USER.",
            ) from None


def renewal_site_folder(site: SiteFolder) -> SiteFolder:
    """A folder beside the present files, for a key and certificate that are to replace them."""
    return SiteFolder(site.path / "renewal", site.thing, site.owner)
