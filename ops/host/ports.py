"""TCP ports of this machine: who has one, and when something begins to listen."""

from __future__ import annotations

import contextlib
import errno
import socket

from ops.host.ops_error import OpsError


def require_free_port(host: str, port: int, what: str, variable: str) -> None:
    """Raises OpsError, naming who has the port, when `what` could not listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise OpsError(
                f"{what} may not use port {port}", f"Set {variable} to a port from 1024 up."
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OpsError(f"{what} cannot use {host}:{port}: {error.strerror}") from None
            owner = _port_owner(port) or "another program"
            raise OpsError(
                f"{what} needs port {port} of {host}, which is in use by {owner}",
                f"Stop that program, or set {variable} to another port.",
            ) from None


def _port_owner(port: int) -> str | None:
    """ "mosquitto (process 123)", as far as we may see it."""
    import psutil  # only here, where a port is taken; `status` is asked every minute

    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.laddr.port != port:
            continue
        if connection.pid is None:
            return "another user's program"
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return None


def port_is_listening(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
