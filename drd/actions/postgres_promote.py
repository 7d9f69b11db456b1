"""Promoting a PostgreSQL standby."""

from __future__ import annotations

from typing import ClassVar

from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class PostgresPromote(Action):
    """Make a PostgreSQL standby the primary; a fence of the old one has to stand before it."""

    kind: ClassVar[str] = "postgres_promote"
    is_carried_out: ClassVar[bool] = False
    is_final: ClassVar[bool] = True

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node."""
        return f"promote {self.node}"
