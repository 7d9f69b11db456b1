"""The two places where the daemon listens."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from drd.core.errors import Busy, UsageError

LONGEST_SOCKET_PATH = 107
"""Bytes: unix(7) gives 108 with the final zero."""


def bind_control_socket(path: Path) -> socket.socket:
    """A unix socket that only this user can reach; what a dead daemon left at `path` is replaced.

    Raises `Busy` when somebody answers there and `UsageError` when `path` cannot be a socket.
    """
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    if len(os.fsencode(staging)) > LONGEST_SOCKET_PATH:
        raise UsageError(
            f"{path} is too long for a socket ({LONGEST_SOCKET_PATH - len(staging.name)} bytes and its name)",
            "write a shorter folder as state: in drd.yaml",
        )
    _make_way(path)
    staging.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(os.fspath(staging))
    # The mode is set before anybody can find the socket under its name.
    staging.chmod(0o600)
    staging.rename(path)
    return listener


def bind_tcp(host: str, port: int, who_listens: Callable[[int], str]) -> socket.socket:
    """A TCP socket for metrics. Raises `Busy` with the holder's name, `UsageError` for an address that is not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise UsageError(
            f"{host} is no address: {error.strerror}", "http: {listen: 127.0.0.1:9476} in drd.yaml"
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _not_bound(host, port, error, who_listens) from error
    return listener


def remove_control_socket(path: Path, listener_inode: int) -> None:
    """Remove the socket file, unless another daemon has put its own there since."""
    try:
        if path.lstat().st_ino == listener_inode:
            path.unlink()
    except FileNotFoundError:
        return


def _make_way(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} is there and is no socket", f"look at it, and remove it: rm {path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            # Nobody listens. The new socket is renamed over the old one, so there is nothing to remove first.
            return
        except TimeoutError:
            pass
    raise Busy(f"another daemon listens on {path}", "drd status")


def _not_bound(host: str, port: int, error: OSError, who_listens: Callable[[int], str]) -> Busy | UsageError:
    elsewhere = "choose another address in drd.yaml: http: {listen: 127.0.0.1:9477}"
    if error.errno == errno.EADDRINUSE:
        holder = who_listens(port)
        by = f" by {holder}" if holder else ""
        return Busy(f"port {port} on {host} is in use{by}", f"stop it, or {elsewhere}")
    return UsageError(f"cannot listen on {host} port {port}: {error.strerror}", elsewhere)
