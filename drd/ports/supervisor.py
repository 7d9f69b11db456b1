"""Whoever started the daemon and watches over its process: systemd, or nobody."""

from __future__ import annotations

from typing import Protocol


class Supervisor(Protocol):
    """Told what the process is doing; none of it may fail or block."""

    def ready(self, status: str) -> None:
        """The daemon does its work from now on."""
        ...

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        ...

    def status(self, text: str) -> None:
        """One line for people."""
        ...

    def stopping(self) -> None:
        """The daemon is leaving."""
        ...

    def ping(self) -> None:
        """The scheduler's loop is alive."""
        ...
