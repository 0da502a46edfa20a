"""A PostgreSQL server of our own, in a folder and on a port of its own, for tests and benchmarks.

PostgreSQL refuses root: then it runs as the plain user (VENAGENT_USER).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError

SUPERUSER = "venagent"
_INITDB_OPTIONS = ["-U", SUPERUSER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
_START_TIMEOUT_SEC = 30
_STOP_TIMEOUT_SEC = 30


def _find_program(name: str) -> str:
    """A program of PostgreSQL's; Debian keeps the server's outside of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    program = shutil.which(name, path=path)
    if program is None:
        raise OpsError("PostgreSQL is not installed", "Install it: apt-get install postgresql")
    return program


@contextmanager
def postgres_server(
    port: int,
    settings: Sequence[str] = (),
    parent: Path | None = None,
    keep: Path | None = None,
) -> Iterator[str]:
    """Runs a server on loopback; gives its URL, without a database.

    `settings` are lines of postgresql.conf ("fsync=off"). Its data is in a new folder below
    `parent` and removed afterwards, or in the folder `keep`, where it stays for the next server.
    """
    folder = keep or Path(tempfile.mkdtemp(prefix="pg.", dir=parent))
    folder.mkdir(exist_ok=True)
    user = os.environ.get("VENAGENT_USER") or "venagent"
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    data, log = folder / "data", folder / "log"
    options = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
    try:
        if not data.exists():
            initdb = [_find_program("initdb"), "-D", str(data), *_INITDB_OPTIONS]
            _run(initdb, folder, environment, as_user)
        with log.open("wb") as output:
            arguments = [word for option in (*options, *settings) for word in ("-c", option)]
            process = subprocess.Popen(  # type: ignore[call-overload]
                # It ends with us, also when we are killed.
                [
                    "setpriv",
                    "--pdeathsig",
                    "INT",
                    _find_program("postgres"),
                    "-D",
                    str(data),
                    *arguments,
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                start_new_session=True,
                **as_user,
            )
        try:
            _wait_until_ready(process, port, log)
            yield f"postgresql://{SUPERUSER}@127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: connections are ended
            try:
                process.wait(_STOP_TIMEOUT_SEC)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _run(
    command: list[str], folder: Path, environment: dict[str, str], as_user: dict[str, object]
) -> None:
    done = subprocess.run(  # type: ignore[call-overload]
        command, cwd=folder, env=environment, capture_output=True, text=True, **as_user
    )
    if done.returncode != 0:
        raise OpsError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    probe = [_find_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", SUPERUSER]

    def answers() -> bool:
        return subprocess.run(probe, check=False).returncode == 0

    wait_for_condition(lambda: process.poll() is not None or answers(), _START_TIMEOUT_SEC)
    if process.poll() is not None or not answers():
        raise OpsError(f"PostgreSQL does not run on port {port}: {log.read_text()[-500:]}")
