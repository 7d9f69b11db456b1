"""Starting and stopping a systemd service."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class Service(Action):
    """Start, stop, restart or reload a systemd unit, here or on a node."""

    kind: ClassVar[str] = "service"

    unit: Annotated[str, Field(min_length=1)]
    """As systemd calls it, `haproxy.service` or `haproxy`."""
    do: Literal["start", "stop", "restart", "reload"]
    """What systemctl is asked."""
    node: NodeName | None = None
    """Where it runs; left out, on this machine."""

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """What becomes of which unit."""
        return f"{self.do} {self.unit}" + (f" on {self.node}" if self.node else "")
