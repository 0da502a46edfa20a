"""The local MQTT broker: Debian's mosquitto with a configuration of our own, on loopback only."""

from __future__ import annotations

import os

from ops.host.child_environment import child_environment
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.ports import port_is_listening, require_free_port
from ops.host.processes import (
    GENTLY,
    ProcessRecord,
    end_processes,
    process_is_running,
    running_process,
    spawn_process,
)
from ops.host.site_settings import LOOPBACK, SiteSettings

NAME = "broker"
_CONFIG = """\
# Written by `ven_control.sh start`.
listener {port} 127.0.0.1
# Only this machine reaches it.
allow_anonymous true
# With Nagle's algorithm a command takes 88 ms in place of 0.3.
set_tcp_nodelay true
# 20 by default, which caps a subscriber that acknowledges after its commit.
max_inflight_messages 100
# 1000 messages by default: what an ingest that is away misses beyond that would be lost.
max_queued_messages 0
max_queued_bytes 1000000000
persistence true
persistence_location {data}/
autosave_interval 60
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


def is_local_broker(settings: SiteSettings) -> bool:
    """Whether the agent's broker is the one we start; a real one is somebody else's."""
    target = settings.ven_target()
    endpoint = settings.variables.get("IOT_ENDPOINT")
    local = target.broker_host in (LOOPBACK, "localhost", "::1")
    return not endpoint and target.broker_tls is None and local


def find_mosquitto() -> str:
    """The broker's program; Debian puts it where a plain user's PATH does not reach."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    import shutil  # only `start` needs it

    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise OpsError("mosquitto is not installed", "Install it: apt-get install mosquitto")
    return program


def start_local_broker(paths: Paths, settings: SiteSettings) -> tuple[ProcessRecord, bool]:
    """The running broker, and whether it was started just now."""
    port = settings.ven_target().broker_port
    record = running_process(paths, NAME)
    if record and record.variant == f"port {port}":
        return record, False
    stop_local_broker(paths)
    require_free_port(LOOPBACK, port, "the local broker", "VEN_BROKER_PORT")
    config = paths.run / "mosquitto.conf"
    config.write_text(_CONFIG.format(port=port, data=paths.broker))
    record = spawn_process(
        paths,
        NAME,
        [find_mosquitto(), "-c", config],
        child_environment(paths, {}),
        cwd=paths.broker,
        variant=f"port {port}",
    )
    wait_for_condition(
        lambda: port_is_listening(LOOPBACK, port) or not process_is_running(record), 120
    )
    if not process_is_running(record) or not port_is_listening(LOOPBACK, port):
        raise OpsError("the local broker does not listen", log=paths.output_log(NAME))
    return record, True


def stop_local_broker(paths: Paths) -> bool:
    """Whether there was one to stop."""
    return end_processes(paths, NAME, GENTLY)
