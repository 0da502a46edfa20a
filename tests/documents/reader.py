"""Someone who follows the documents: types each command where it is to be typed, and looks."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tests.config.builders import ROOT
from tests.documents.pages import Command
from tests.support.ports import free_port

WITHIN_SEC = 150.0
"""A command may take this long; `start` is the longest."""
_INSTANCE = """
set -euo pipefail
. scripts/environment.sh
ensure_home
mkdir "$PLATFORM_VENV"
cd "$1" # all but the agent, which the platform's tests may be installing at this moment
find . -iname venagent -prune -o -name 'venagent-*' -prune -o -name '~*' -prune \
  -o ! -type d ! -name '*.pyc.*' -print0 |
  tar --null -T - -cf - | tar -C "$PLATFORM_VENV" -xf -
cd "$PLATFORM_VENV"
grep -rlIF "$1" bin pip.conf | xargs sed -i "s|$1|$PLATFORM_VENV|g"
requirements_hash "${PLATFORM_FILES[@]}" >.platform
"""


@contextmanager
def process(command: Sequence[str | Path], **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process of the test's own, ended by its pid."""
    running = subprocess.Popen(  # type: ignore[call-overload]
        [str(part) for part in command], text=True, stdin=subprocess.DEVNULL, **options
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(10)


class Reader:
    """Has a clone, a state folder and ports of its own, and VOLTTRON's environment made already."""

    def __init__(self, name: str) -> None:
        folder = self.folder = Path(os.environ["TMPDIR"]) / name  # short: see environment.sh
        folder.mkdir()
        self.clone, self.home, self.own = folder / "clone", folder / "h", folder / "me"
        shutil.copytree(ROOT, self.clone, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        for made in (self.home, self.own, folder / "t"):
            made.mkdir()
        tools, platform = Path(sys.prefix), Path(os.environ["VENAGENT_TEST_PLATFORM"])
        (self.home / "tools").symlink_to(tools)
        self.ports = {
            name: free_port()
            for name in (
                *("VEN_BROKER_PORT", "VEN_PANEL_PORT", "VEN_PANEL_CONTROL_PORT", "VEN_VIP_PORT"),
                *("WEB_PORT", "API_PORT", "INGEST_HEALTH_PORT", "UDP_PORT"),
            )
        }
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "MQTT_", "PYTEST_", "VENAGENT_"))
            and name not in ("PYTHONPATH", "PIP_FIND_LINKS", "COLUMNS")
        } | {
            **{name: str(port) for name, port in self.ports.items()},
            "VENAGENT_HOME": str(self.home),
            "VOLTTRON_HOME": str(self.home / "volttron"),
            "HOME": str(self.own),
            "TMPDIR": str(folder / "t"),
            "TERM": "xterm",
            "EDITOR": str(self._editor()),
        }
        script = ["bash", "-c", _INSTANCE, "instance", str(platform)]
        subprocess.run(script, cwd=self.clone, env=self.environment, check=True)
        self.lost = ""
        """The command without which none of the others can succeed, when it failed."""
        self.said: dict[str, str] = {}
        """What each command said, by its text: the later ones ask for it."""
        self.words: dict[str, str] = {}
        """What stands for what in the documents' commands, beside tables.SUBSTITUTIONS."""

    def _editor(self) -> Path:
        """What `vctl config edit` opens: it makes one change, as a person would."""
        editor = self.folder / "editor"
        change = 's/"amperage": 200/"amperage": 190/'
        editor.write_text(f'#!/bin/sh\nnew=$(sed \'{change}\' "$1") && echo "$new" >"$1"\n')
        editor.chmod(0o755)
        return editor

    def log(self, name: str) -> BinaryIO:
        """Where a process of the test's own writes."""
        return (self.folder / f"{name}.out").open("wb")

    def surroundings(self, text: str) -> dict[str, str]:
        """VOLTTRON's environment is active for its own commands, else the tools' one."""
        first = ["platform", "tools"] if _is_volttrons(text) else ["tools", "platform"]
        folders = [str(self.home / name / "bin") for name in first]
        path = ":".join([*folders, str(self.clone / "scripts"), os.environ["PATH"]])
        made = {**self.environment, "PATH": path}
        if _is_volttrons(text):
            constraints = self.home / "platform/requirements/constraints-platform.txt"
            made["PIP_CONSTRAINT"] = constraints.as_uri()  # pip takes a space for the next file
            made["PIP_NO_DEPS"] = "1"  # they are there
        return made

    def typed(self, command: Command, substitutions: Mapping[str, str]) -> str:
        """The command as it is typed here."""
        text = command.text
        for theirs, ours in {**substitutions, **self.words}.items():
            text = text.replace(theirs, ours)
        return text

    def run(self, text: str, before: Sequence[str] = (), **variables: str) -> str:
        """What it writes; AssertionError if it fails. `before` sets the block's variables."""
        script = "\n".join(["set -e", *before, text])
        said = self.folder / "said"
        with said.open("wb") as output:
            running = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.clone,
                env={**self.surroundings(text), **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code: int | str = running.wait(WITHIN_SEC)
            except subprocess.TimeoutExpired:
                code = f"nothing within {WITHIN_SEC:g} s"
            finally:
                _end_group(running.pid)
                running.wait()
        text_said = said.read_text(errors="replace")
        assert code == 0, f"{text}\nended with {code}:\n{text_said}"
        return text_said

    def watch(self, text: str, until: str, **variables: str) -> str:
        """What it writes on a terminal until that appears, and then Ctrl-C, which it obeys."""
        ours, theirs = pty.openpty()
        running = subprocess.Popen(
            ["bash", "-c", f"exec {text}"],
            cwd=self.clone,
            env={**self.surroundings(text), **variables, "COLUMNS": "120", "LINES": "50"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        said = _Terminal(ours)
        try:
            deadline = time.monotonic() + 180
            while not re.search(until, said.text):
                assert running.poll() is None, f"{text}\nended by itself:\n{said.text}"
                assert time.monotonic() < deadline, f"{text}\nnever said {until!r}:\n{said.text}"
                time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            code = running.wait(60)
            assert code in (0, -signal.SIGINT, 130), f"{text}\nended with {code}:\n{said.text}"
        finally:
            _end_group(running.pid)
            running.wait()
            os.close(ours)
        return said.text

    def help(self, text: str) -> None:
        """Its options are those that it has."""
        words = [word.strip("[],…") for word in text.split()]
        options = [word for word in words if word.startswith("--")]
        named = shlex.split(text.split(" --")[0].split(" [")[0])
        known = self.run(shlex.join([*named, "--help"]))
        for option in options:
            assert option in known, f"{text}: there is no {option}:\n{known}"


class _Terminal:
    """Reads a terminal's other end all the time, so that nothing on it waits."""

    def __init__(self, handle: int) -> None:
        self.text = ""
        self._handle = handle
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is closed
            while part := os.read(self._handle, 65536):
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part.decode(errors="replace"))


def _end_group(group: int) -> None:
    """What a command left in its own session; what it was to leave has one of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _is_volttrons(text: str) -> bool:
    return text.startswith(("vctl ", "volttron ", "pip install ", "python -m tests.web."))
