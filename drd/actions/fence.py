"""Fencing: making certain that a node acknowledges no write, also after a reboot."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.lists import OneOrMany
from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class Rung(StrEnum):
    """A way to fence."""

    SSH = "ssh"
    POWER = "power"
    REVOKE = "revoke"
    PROXY = "proxy"


class Fence(Action):
    """Make certain that a node acknowledges no write, also after a reboot."""

    kind: ClassVar[str] = "fence"

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""
    by: Annotated[OneOrMany[Rung], Field(min_length=1)]
    """Ways in order; the first that is confirmed is enough.

    `ssh` stops and masks the service, `power` switches the node off, `revoke` takes its clients' right to connect,
    `proxy` cuts it off from clients that come through one.
    """

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node, by which ways."""
        return f"fence {self.node} by {', then '.join(self.by)}"
