"""The plain user that VOLTTRON and all else runs as, since VOLTTRON refuses root."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from ops.host.ops_error import OpsError
from ops.host.paths import Paths


def plain_user(paths: Paths) -> dict[str, Any]:
    """What makes subprocess run something as the plain user; nothing when we are it already."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(paths.user)
    except KeyError:
        raise OpsError(f"the user {paths.user} does not exist", "Run `start`.") from None
    groups = os.getgrouplist(paths.user, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def plain_user_can_read(paths: Paths, file: Path) -> bool:
    """Whether the plain user can read a file."""
    return subprocess.run(["test", "-r", file], check=False, **plain_user(paths)).returncode == 0
