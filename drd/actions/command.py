"""Running a program."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.runbook import NodeName
from drd.ports.action import Action, Reference, node_references


class Command(Action):
    """Run a program, here or on a node; exit code 0 is success."""

    kind: ClassVar[str] = "command"

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them, and no secret belongs in them."""
    node: NodeName | None = None
    """Where it runs; left out, on this machine."""

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which program, and where; arguments are left out."""
        return f"run {self.argv[0]}" + (f" on {self.node}" if self.node else "")
