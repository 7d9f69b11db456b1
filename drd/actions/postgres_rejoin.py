"""Bringing a PostgreSQL node back as a standby."""

from __future__ import annotations

from typing import ClassVar

from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class PostgresRejoin(Action):
    """Bring a PostgreSQL node back as a standby of the primary, by rewinding or copying it anew."""

    kind: ClassVar[str] = "postgres_rejoin"
    is_carried_out: ClassVar[bool] = False

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node."""
        return f"bring {self.node} back as a standby"
