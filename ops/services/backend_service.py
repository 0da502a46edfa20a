"""The operator's side on this machine: ingest, and the API with console and dispatch.

SQLite below the state root unless DATABASE_URL names another database; the local broker unless
MQTT_HOST, MQTT_BROKER or IOT_ENDPOINT names one.
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.host import staging
from ops.host.child_environment import child_environment
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError, unreachable_words
from ops.host.paths import Paths
from ops.host.ports import require_free_port
from ops.host.processes import (
    GENTLY,
    ProcessRecord,
    end_processes,
    process_is_running,
    running_process,
    spawn_process,
)
from ops.host.site_settings import LOOPBACK, SiteSettings

INGEST, API, OPENADR = "backend-ingest", "backend-api", "backend-openadr"
PORT, HEALTH_PORT = 8_000, 9_108
UP_WITHIN_SEC = 60.0
_SPEAKS = "speaks to the VTN"
"""What backend-openadr logs once its settings, packages and database are good."""
VARIABLES = (
    *("LOG_LEVEL", "IOT_ENDPOINT"),
    *("CA_CERT", "CLIENT_CERT", "PRIVATE_KEY", "CA_CERT_PEM", "CLIENT_CERT_PEM"),
    *("PRIVATE_KEY_PEM", "BACKEND_LOADS_TOPIC", "STORE_RAW_PAYLOAD", "OFFLINE_AFTER_SEC"),
    *("COMMAND_PUBLISHER", "COMMAND_TOPIC", "TELEMETRY_MAX_AHEAD_SEC"),
)
_DATABASE_VARIABLES = (
    *("DATABASE_URL", "DATABASE_DIRECT_URL", "DATABASE_POOLER"),
    *("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME", "DB_SSLMODE", "DB_SSLROOTCERT"),
)
PREFIXES = (
    "AWS_",
    "EVENT_",
    "ALERT_",
    "ALERTS_",
    "MQTT_",
    "API_",
    "DISPATCH_",
    "INGEST_",
    "RETENTION_",
    "KINESIS_",
    "MEASURE_",
    "BASELINE_",
    "OPENADR_",
)


def backend_service_variables(
    paths: Paths, settings: SiteSettings, environment: Mapping[str, str]
) -> dict[str, str]:
    """The backend's environment: what is set for it, and the defaults of this machine."""
    given = {
        name: value
        for name, value in environment.items()
        if (name in (*VARIABLES, *_DATABASE_VARIABLES) or name.startswith(PREFIXES))
        and value.strip()
    }
    if not any(name in given for name in _DATABASE_VARIABLES):
        file = backend_service_folder(paths) / "backend.sqlite"
        given["DATABASE_URL"] = f"sqlite:///{file}"
    given.setdefault("API_PORT", str(PORT))
    given.setdefault("INGEST_HEALTH_PORT", str(HEALTH_PORT))
    if backend_service_uses_local_broker(given):
        given |= {"MQTT_HOST": LOOPBACK, "MQTT_PORT": str(settings.ven_target().broker_port)}
    return given


def backend_service_uses_local_broker(environment: Mapping[str, str]) -> bool:
    """Nothing names another one."""
    return not any(environment.get(name) for name in ("MQTT_HOST", "MQTT_BROKER", "IOT_ENDPOINT"))


def backend_service_folder(paths: Paths) -> Path:
    return paths.home / "backend"


def start_backend_service(
    paths: Paths, environment: Mapping[str, str]
) -> list[tuple[ProcessRecord, bool]]:
    """Its processes, each with whether it was started just now. Raises OpsError."""
    variant = _variant(environment)
    commands = [(API, "serve"), (INGEST, "ingest")]
    if backend_service_speaks_openadr(environment):
        commands.append((OPENADR, "openadr"))
    records = [running_process(paths, name) for name, _ in commands]
    if all(record and record.variant == variant for record in records):
        return [(record, False) for record in records if record]
    stop_backend_service(paths)
    api_port, health_port = int(environment["API_PORT"]), int(environment["INGEST_HEALTH_PORT"])
    require_free_port(LOOPBACK, api_port, "the backend's API", "API_PORT")
    require_free_port(LOOPBACK, health_port, "the ingest's health port", "INGEST_HEALTH_PORT")
    source = staging.copy_to_staging(paths, "backend", ["backend", "VenAgent"])
    started = []
    for name, command in commands:
        record = spawn_process(
            paths,
            name,
            [paths.tools_python, "-m", "backend", command],
            child_environment(
                paths, {**environment, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
            ),
            cwd=backend_service_folder(paths),
            umask=0o077,
            variant=variant,
        )
        if name == OPENADR:
            _wait_until_it_speaks(paths, record)
        else:
            _wait_until_up(paths, record, _health_urls(environment)[name])
        started.append((record, True))
    return started


def _variant(environment: Mapping[str, str]) -> str:
    """What it was started with; of secrets (a database's password, keys) only a fingerprint."""
    everything = json.dumps(dict(sorted(environment.items())))
    return json.dumps(
        {
            "API_HOST": _api_host(environment),
            "API_PORT": environment["API_PORT"],
            "INGEST_HEALTH_PORT": environment["INGEST_HEALTH_PORT"],
            "database": _database_words(environment),
            "openadr": backend_service_speaks_openadr(environment),
            "fingerprint": hashlib.sha256(everything.encode()).hexdigest(),
        }
    )


def _database_words(environment: Mapping[str, str]) -> str:
    """Which database, without its password."""
    named = environment.get("DATABASE_URL") or environment.get("DB_HOST", "")
    return named.split("@")[-1]


def _wait_until_up(paths: Paths, record: ProcessRecord, url: str) -> None:
    wait_for_condition(
        lambda: not process_is_running(record) or not _process_health(url), UP_WITHIN_SEC, 0.2
    )
    if not process_is_running(record):
        raise OpsError(f"{record.name} ended at once", log=paths.output_log(record.name))
    reasons = _process_health(url)
    if reasons:
        raise OpsError(
            f"{record.name} runs, but is not ready: {'; '.join(reasons)}",
            "Correct that; it goes on by itself. `backend stop` ends it.",
            log=paths.output_log(record.name),
        )


def _wait_until_it_speaks(paths: Paths, record: ProcessRecord) -> None:
    """The VTN itself may be away: it is asked again and again."""
    log = paths.output_log(record.name)

    def speaks() -> bool:
        return log.exists() and _SPEAKS in log.read_text(errors="replace")

    wait_for_condition(lambda: not process_is_running(record) or speaks(), UP_WITHIN_SEC, 0.2)
    if not process_is_running(record):
        raise OpsError(
            f"{record.name} ended at once",
            "Look at the OPENADR_… settings (docs/openadr.md).",
            log=log,
        )


def backend_service_speaks_openadr(environment: Mapping[str, str]) -> bool:
    """A utility's VTN is named."""
    return bool(environment.get("OPENADR_VTN_URL", "").strip())


def with_running_backend_service_database(
    paths: Paths, environment: Mapping[str, str]
) -> dict[str, str]:
    """`environment` with the database of the backend that runs here; its own when none does."""
    running = running_backend_service_database(paths)
    kept = {
        name: value
        for name, value in environment.items()
        if not running or name not in _DATABASE_VARIABLES
    }
    return {**kept, **running}


def running_backend_service_database(paths: Paths) -> dict[str, str]:
    """The variables that name the database of the backend that runs here; none when none does."""
    record = running_process(paths, API) or running_process(paths, INGEST)
    if record is None:
        return {}
    try:
        content = Path(f"/proc/{record.pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (part.decode(errors="replace").partition("=") for part in content.split(b"\0"))
    return {name: value for name, _, value in pairs if name in _DATABASE_VARIABLES and value}


def stop_backend_service(paths: Paths) -> bool:
    """Whether there was anything to stop. The API first: it takes no more events then."""
    ended = [end_processes(paths, name, GENTLY) for name in (OPENADR, API, INGEST)]
    return any(ended)


def _api_host(environment: Mapping[str, str]) -> str:
    """Where the API is reached from this machine."""
    host = environment.get("API_HOST", LOOPBACK)
    return LOOPBACK if host in ("0.0.0.0", "::", "localhost") else host


def _api_url(environment: Mapping[str, str]) -> str:
    host = _api_host(environment)
    return f"http://{f'[{host}]' if ':' in host else host}:{environment['API_PORT']}"


def _health_urls(environment: Mapping[str, str]) -> dict[str, str]:
    port = environment["INGEST_HEALTH_PORT"]  # 0: it is switched off
    return {
        API: f"{_api_url(environment)}/health/db-check",
        INGEST: "" if port == "0" else f"http://{LOOPBACK}:{port}/health/ready",
    }


def _process_health(url: str) -> list[str]:
    """What a process says is wrong with it; nothing when all is well, or it cannot be asked."""
    if not url:
        return []
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        try:
            answer = json.load(error)
        except ValueError:
            return [f"HTTP {error.code} from {url}"]
    except OSError as error:
        return [f"{url} does not answer: {unreachable_words(error)}"]
    except ValueError:
        return [f"{url} does not answer in JSON"]
    return [str(reason) for reason in answer.get("reasons", [])]


def backend_service_status(paths: Paths) -> dict[str, Any]:
    """What runs, and how it is; `exit_code` as of `status`."""
    records = {name: running_process(paths, name) for name in (API, INGEST, OPENADR)}
    if not any(record and json.loads(record.variant).get("openadr") for record in records.values()):
        del records[OPENADR]  # no VTN is named
    parts: dict[str, Any] = {}
    for name, record in records.items():
        if record is None:
            parts[name] = {"running": False, "reasons": []}
            continue
        url = _health_urls(json.loads(record.variant)).get(name, "")
        parts[name] = {"running": True, "pid": record.pid, "reasons": _process_health(url)}
    api = records[API]
    up = [part["running"] for part in parts.values()]
    well = all(up) and not any(part["reasons"] for part in parts.values())
    found: dict[str, Any] = {
        "state": "running" if well else "stopped" if not any(up) else "failing",
        "parts": parts,
        "exit_code": 0 if well else 3 if not any(up) else 1,
    }
    if api is not None:
        given = json.loads(api.variant)
        found["url"] = _api_url(given).replace(f"//{LOOPBACK}:", "//localhost:")
        found["database"] = given["database"]
        found["network"] = _network(found["url"])
    return found


def _network(url: str) -> dict[str, Any] | None:
    """The fleet's figures; None where a key is needed."""
    try:
        with urllib.request.urlopen(f"{url}/api/stats/network", timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
    except (OSError, ValueError):
        return None
    return answer


def backend_service_url(paths: Paths) -> str | None:
    """Of the backend that runs here, for those who need one."""
    record = running_process(paths, API)
    return None if record is None else _api_url(json.loads(record.variant))
