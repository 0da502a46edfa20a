"""Registration, logs, staging, ports, the repair of VOLTTRON, and the commands' own texts."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli import ven_control as cli
from ops.clients.backend_client import BackendClient
from ops.clients.ven_registration import ven_registration
from ops.host import log_tail as logs
from ops.host import staging
from ops.host import terminal as show
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.ports import require_free_port
from ops.volttron import repair_volttron
from tests.ops.conftest import REPO
from tests.support.each_case import each_case
from tests.support.ports import free_port

COMMANDS = (
    *("start", "stop", "restart", "status", "logs", "load-config"),
    *("send-event", "restore", "ping", "shadow", "telemetry", "register", "backend"),
)


# --- register ----------------------------------------------------------------------------------


class Backend(BaseHTTPRequestHandler):
    """Answers as told, and keeps what it was sent."""

    status = 201
    answer = '{"id": 7}'
    received: list[tuple[str, dict[str, object]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.answer.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[str]:
    Backend.status, Backend.answer, Backend.received = 201, '{"id": 7}', []
    server = HTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_backend_gets_the_registration(backend: str) -> None:
    body = ven_registration("v1", None, 37.5, -122.0)
    assert BackendClient(backend + "/").post("/api/vens/", body) == {"id": 7}
    assert Backend.received == [
        (
            "/api/vens/",
            {
                "name": "VEN v1",
                "status": "online",
                "registrationId": "v1",
                "location": {"lat": 37.5, "lon": -122.0},
            },
        )
    ]


def test_a_place_needs_both_of_its_numbers() -> None:
    with pytest.raises(OpsError, match="belong together"):
        ven_registration("v1", None, 37.5, None)


def test_a_refusal_is_shown(backend: str) -> None:
    Backend.status, Backend.answer = 409, "it exists"
    with pytest.raises(OpsError, match="HTTP 409: it exists"):
        BackendClient(backend).post("/api/vens/", {})


def test_an_answer_that_is_not_the_backends(backend: str) -> None:
    Backend.answer = "<html>"
    with pytest.raises(OpsError, match="is it VenAgent's"):
        BackendClient(backend).post("/api/vens/", {})


@each_case("url", ["ftp://x", "file:///etc/passwd"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(OpsError, match="is not an http"):
        BackendClient(url)


def test_an_address_without_a_scheme_is_http(backend: str) -> None:
    assert BackendClient(backend.removeprefix("http://")).post("/api/vens/", {}) == {"id": 7}


def test_without_a_backend_it_says_what_to_set(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paths, "from_environment", lambda: paths)
    monkeypatch.delenv("BACKEND_URL", raising=False)
    result = CliRunner().invoke(cli.app, ["register"])
    assert isinstance(result.exception, OpsError)
    assert "BACKEND_URL is not set" in result.exception.what


def test_a_backend_that_does_not_run() -> None:
    with pytest.raises(OpsError, match="cannot reach the backend"):
        BackendClient(f"http://127.0.0.1:{free_port()}").post("/api/vens/", {})


# --- logs --------------------------------------------------------------------------------------


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert logs.log_tail(log, 3) == []
    log.write_text("a\nb\nc\n")
    assert logs.log_tail(log, 2) == ["b", "c"]
    assert logs.log_tail(log, 0) == []


def test_following_goes_on_through_rotation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    lines = logs.follow_log_tail(log, 1, poll_sec=0.01)
    assert next(lines) == "old"
    threading.Timer(0.05, lambda: _append(log, "one\n")).start()
    assert next(lines) == "one"
    log.rename(tmp_path / "log.1")
    log.write_text("two\n")
    assert next(lines) == "two"


def _append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


# --- staging -----------------------------------------------------------------------------------


def test_a_copy_has_what_is_asked_for_and_no_rests(paths: Paths, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    (repo / "pkg/__pycache__").mkdir(parents=True)
    (repo / "pkg/__pycache__/a.pyc").write_text("x")
    (repo / "pkg/a.py").write_text("1")
    (repo / "other").write_text("y")
    made = Paths(repo=repo, home=paths.home, user=paths.user)
    folder = staging.copy_to_staging(made, "agent", ["pkg"], {"config": repo / "other"})
    (folder / "left over").write_text("from a build")
    folder = staging.copy_to_staging(made, "agent", ["pkg"], {"config": repo / "other"})
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["config", "pkg/a.py"]


def test_a_fingerprint_changes_with_name_and_contents(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("1")
    prints = {
        staging.staging_fingerprint([("a", a)]),
        staging.staging_fingerprint([("b", b)]),
        staging.staging_fingerprint([("a", a), ("b", b)]),
    }
    a.write_text("2")
    prints.add(staging.staging_fingerprint([("a", a)]))
    assert len(prints) == 4
    b.write_text("2")
    assert staging.staging_fingerprint([("a", b)]) == staging.staging_fingerprint([("a", a)])


# --- ports -------------------------------------------------------------------------------------


def test_a_port_in_use_names_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OpsError, match=f"port {port} .*process {os.getpid()}") as error:
            require_free_port("127.0.0.1", port, "the broker", "VEN_BROKER_PORT")
    assert "VEN_BROKER_PORT" in " ".join(error.value.advice)
    require_free_port("127.0.0.1", port, "the broker", "VEN_BROKER_PORT")


# --- the repair of VOLTTRON --------------------------------------------------------------------


@each_case("number", [errno.EHOSTUNREACH, "113", "EHOSTUNREACH", "Errno.EHOSTUNREACH"])
def test_the_mended_line_reads_every_spelling(number: int | str) -> None:
    names = {"errno": errno, "errnum": number}
    exec(repair_volttron.MENDED, names)
    assert names["errnum"] == errno.EHOSTUNREACH


def test_a_repair_is_made_once() -> None:
    text = f"try:\n    {repair_volttron.BROKEN}\n"
    mended = repair_volttron.repair_volttron_source(text)
    assert repair_volttron.MENDED in mended
    assert repair_volttron.repair_volttron_source(mended) == mended


# --- what people see ---------------------------------------------------------------------------


@each_case("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli.app, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_a_stopped_system_exits_with_3(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENAGENT_HOME", str(paths.home))
    assert CliRunner().invoke(cli.app, ["status"]).exit_code == 3
    result = CliRunner().invoke(cli.app, ["status", "--json"])
    assert result.exit_code == 3
    assert json.loads(result.output)["state"] == "stopped"


def test_stopping_a_stopped_system_is_a_success(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENAGENT_HOME", str(paths.home))
    assert CliRunner().invoke(cli.app, ["stop"]).exit_code == 0


def test_an_ack_shows_power_and_circuits(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_ack(
        {
            "ok": True,
            "status": "accepted",
            "op": "event",
            "event_id": "e1",
            "requested_shed_kw": 5.0,
            "actual_shed_kw": 4.9,
            "shed_basis": "predicted",
            "circuits_curtailed": [
                {"name": "Dryer", "original_kw": 3.0, "curtailed_kw": 3.0, "final_kw": 0.0}
            ],
        }
    )
    shown = capsys.readouterr().out
    for text in ("accepted", "e1", "requested 5.00 kW", "actual 4.90 kW (predicted)", "Dryer"):
        assert text in shown


def test_an_error_shows_step_advice_and_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("the last line\n")
    with pytest.raises(OpsError), show.progress_step("doing it"):
        raise OpsError("it broke", "Mend it.", log=log)
    problem = OpsError("it broke", "Mend it.", log=log)
    problem.step = "doing it"
    show.print_error(problem)
    shown = capsys.readouterr().err
    for text in ("failed: doing it", "it broke", "Mend it.", "the last line"):
        assert text in shown


# --- scripts/environment.sh --------------------------------------------------------------------


def bash(script: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". scripts/environment.sh; {script}"],
        cwd=REPO,
        env={**os.environ, "VENAGENT_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Temporary failure in name resolution", "no network"),
        ("Could not resolve 'deb.debian.org'", "no network"),
        ("something else", "pip failed."),
    ],
)
def test_a_failed_installation_says_why(paths: Paths, line: str, reason: str) -> None:
    paths.environment_log.write_text(f"Collecting x\n{line}\n")
    result = bash("explain_failure 'pip failed' 'See the log.'", paths.home)
    assert result.returncode == 1
    assert f"error: pip failed: {reason}" in result.stderr or f"error: {reason}" in result.stderr
    assert line in result.stderr


def test_a_wrong_python_is_named(paths: Paths) -> None:
    result = bash('as_user() { "$@"; }; choose_python', paths.home, VENAGENT_PYTHON="/bin/false")
    assert result.returncode == 1
    assert "VENAGENT_PYTHON=/bin/false is not a Python 3.10 or 3.11" in result.stderr


def test_missing_packages_without_sudo_are_named(paths: Paths, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").symlink_to("/bin/true")
    script = f"is_root() {{ false; }}; PATH='{tools}'; install_packages mosquitto"
    result = bash(script, paths.home)
    assert result.returncode == 1
    assert "not root and no sudo" in result.stderr
    assert "apt-get install mosquitto" in result.stderr


def test_apts_lock_is_waited_for_and_another_failure_is_not(paths: Paths, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    script = """
        eval "$READ_PACKAGE_LISTS"
        sleep() { echo "waited $1"; }
        apt-get() {
          echo "$*" >>"$TRIED"
          [ "$(wc -l <"$TRIED")" -gt 2 ] && return 0
          echo "E: Could not get lock /var/lib/apt/lists/lock."
          return 100
        }
        read_package_lists
        apt-get() { echo "E: Could not resolve host"; return 100; }
        read_package_lists || echo "gave up at once"
    """
    result = bash(script, paths.home, TRIED=str(tried))
    assert result.returncode == 0, result.stderr
    assert tried.read_text().splitlines() == ["update -q"] * 3
    assert result.stdout.count("waited 5") == 2
    assert result.stdout.splitlines()[-2:] == ["E: Could not resolve host", "gave up at once"]


def test_a_state_root_with_a_long_name_is_refused(paths: Paths, tmp_path: Path) -> None:
    result = bash("getent() { :; }; id() { echo 1; }; ensure_home", tmp_path / ("x" * 60))
    assert result.returncode == 1
    assert "VENAGENT_HOME is too long" in result.stderr


def test_an_environment_is_current_when_its_requirements_are(paths: Paths) -> None:
    venv = paths.home / "tools"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to("/bin/true")
    (venv / ".tools").write_text("hash\n")
    assert bash('is_current "$TOOLS_VENV" .tools hash', paths.home).returncode == 0
    assert bash('is_current "$TOOLS_VENV" .tools other', paths.home).returncode == 1
