"""Loopback ports that stay the same from one start to the next where they can."""

from __future__ import annotations

import socket
from pathlib import Path

ADDRESS = "127.0.0.1"


def noted_port(note: Path) -> int:
    """The port of the last time, so that the configuration stays the same where it can; 0 when there is none."""
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0


def is_free(port: int) -> bool:
    """Whether nobody listens on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """One that nobody listens on now; somebody else may be quicker."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])
