"""`diagnostics`: an archive for a person who helps from afar, without what is secret.

Secrets are removed from every text on its way in: PEM blocks, passwords, tokens and keys by their
names, AWS access keys, credentials in URLs, and VOLTTRON's curve keys. No file of keys, no
journal and no outbox is taken.
"""

from __future__ import annotations

import io
import json
import platform as machine
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from ops.doctor import examination as doctor
from ops.host import log_tail as logs
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.services import status_report as status
from ops.volttron import config_store, vctl
from ops.volttron import volttron_platform as volttron

LOG_LINES = 3_000
MAX_LOG_BYTES = 1_000_000
REMOVED = "[removed]"
_PEM = re.compile(r"-----BEGIN [^-]+-----.*?(-----END [^-]+-----|\Z)", re.DOTALL)
_END_OF_PEM = re.compile(r"\A(?:(?!-----BEGIN ).)*?-----END [^-]+-----", re.DOTALL)
_PEM_LINE = re.compile(r"^[A-Za-z0-9+/]{60,76}={0,2}$", re.MULTILINE)
_NAMED = re.compile(
    r"""(?ix)
    ( (?: secret (?:_?key|_access_key)? | private_?key | pass(?:word|wd|phrase)? | pwd | token
        | authorization | api_?key | access_?key(?:_id)? | credentials? | cookie | serverkey
        | publickey ) \w*                       # the name
      ["']? \s* (?: [:=] | \s(?=bearer|basic) ) \s* (?:bearer\s+|basic\s+)? )
    ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^\s"',;&}\]]+ )
    """
)
_AWS_ID = re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b")
_USER_INFO = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_CURVE_KEY = re.compile(r"(?<![A-Za-z0-9_/.-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_/.-])")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def diagnostics_without_secrets(text: str) -> str:
    """The text with what could be a secret removed; rather too much than too little."""
    text = _END_OF_PEM.sub(f"{REMOVED} (PEM)", text)  # a log's tail may begin inside a block
    text = _PEM.sub(f"{REMOVED} (PEM)", text)
    text = _PEM_LINE.sub(REMOVED, text)
    text = _NAMED.sub(lambda match: match.group(1) + _like(match.group(2)), text)
    for pattern in (_AWS_ID, _USER_INFO, _JWT, _CURVE_KEY):
        text = pattern.sub(REMOVED, text)
    return text


def _like(value: str) -> str:
    """In the quotes that the value had, so that JSON stays JSON."""
    quote = value[0] if value[0] in "\"'" else ""
    return f"{quote}{REMOVED}{quote}"


def write_diagnostics_archive(
    paths: Paths, settings: SiteSettings, target: Path, progress: Callable[[str], None]
) -> list[str]:
    """Write the archive; the names of what is in it. Readable for its owner only."""
    names = []
    folder = target.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    try:
        with (
            _whole_or_not_at_all(target) as file,
            tarfile.open(fileobj=file, mode="w:gz") as archive,
        ):
            for name, produce in _parts(paths, settings):
                progress(name)
                contents = diagnostics_without_secrets(_produced(produce)).encode()
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(contents), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(contents))
                names.append(name)
    except FileExistsError:
        raise OpsError(f"{target} is there already", "Name another file with --output.") from None
    except OSError as error:
        raise OpsError(f"cannot write {target}: {error.strerror}") from None
    return names


@contextmanager
def _whole_or_not_at_all(target: Path) -> Iterator[BinaryIO]:
    """A new file, for its owner only."""
    with target.open("xb") as file:
        try:
            target.chmod(0o600)
            yield file
            file.flush()
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _produced(produce: Callable[[], str]) -> str:
    """A part that cannot be had says why, in its place."""
    try:
        return produce()
    except (OpsError, OSError, subprocess.SubprocessError) as error:
        return f"could not be had: {error}\n"


def _parts(paths: Paths, settings: SiteSettings) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "versions.txt", lambda: _versions(paths)
    yield (
        "doctor.json",
        lambda: _json([c.as_json() for c in doctor.examination_of_site(paths, settings)]),
    )
    yield "status.json", lambda: _json(status.site_status_report(paths, settings))
    yield "settings.json", lambda: _json(asdict(settings))
    for identity in (config_store.AGENT, config_store.DRIVER):
        yield (
            f"config_store/{identity}.txt",
            lambda identity=identity: _stored(paths, identity),  # type: ignore[misc]
        )
    for name, path in {
        "platform": paths.platform_log,
        "broker": paths.output_log("broker"),
        "panel": paths.output_log("panel"),
        "environment": paths.environment_log,
    }.items():
        yield f"logs/{name}.log", lambda path=path: _tail(path)  # type: ignore[misc]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


def _tail(path: Path) -> str:
    lines = logs.log_tail(path, LOG_LINES, MAX_LOG_BYTES)
    return "\n".join(lines) + "\n" if lines else f"there is no {path}\n"


def _versions(paths: Paths) -> str:
    """Machine, repository, and the packages of both environments."""
    lines = [
        f"{machine.platform()}, Python {machine.python_version()}",
        f"repository: {_said('git', '-C', str(paths.repo), 'describe', '--always', '--dirty')}",
    ]
    for name, python in (
        ("tools", paths.tools_python),
        ("platform", paths.platform_bin / "python"),
    ):
        lines += ["", f"{name} environment:", _said(str(python), "-m", "pip", "freeze")]
    return "\n".join(lines) + "\n"


def _said(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {error}"
    return result.stdout.strip() or "unknown"


def _stored(paths: Paths, identity: str) -> str:
    """All entries of an agent's config store."""
    if volttron.volttron_platform_pid(paths) is None:
        return "VOLTTRON does not run, so its config store cannot be read\n"
    parts = []
    for name in config_store.config_store_names(paths, identity):
        # --raw: a registry stays a CSV
        contents = vctl.vctl_output(paths, "config", "get", identity, name, "--raw")
        parts.append(f"=== {name}\n{contents}\n")
    return "\n".join(parts) or "nothing is stored\n"
