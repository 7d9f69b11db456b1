"""Sending clients to another server through HAProxy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class Haproxy(Action):
    """Send the clients of an HAProxy backend to one server and to no other."""

    kind: ClassVar[str] = "haproxy"

    backend: str
    """The backend, as HAProxy calls it."""
    server: NodeName
    """The server's name in the backend, which is the node's name."""
    socket: Path = Path("/run/haproxy/admin.sock")
    """HAProxy's runtime socket, with level admin."""

    def references(self) -> tuple[Reference, ...]:
        """The server, unless it is a role or a variable."""
        return node_references(self.server, "server")

    def summary(self) -> str:
        """Which backend, to which server."""
        return f"send clients of {self.backend} to {self.server}"
