"""Running a program."""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar

from pydantic import Field

from drd.clients.shell import find_program, run_program
from drd.core.runbook import NodeName
from drd.ports.action import Action, Facts, Preview, Reference, Situation, may_be, node_references


class Command(Action):
    """Run a program, here or on a node; exit code 0 is success."""

    kind: ClassVar[str] = "command"

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them, and no secret belongs in them."""
    node: NodeName | None = None
    """Where it runs; left out, on this machine."""

    async def preview(self, at: Situation) -> Preview:
        """The whole command and where it runs."""
        words = shlex.join(self.argv)
        if self.node is not None:
            return Preview(
                (f"on {at.machine(self.node).name}: {words}",), ("whether the program is there and may run",)
            )
        missing = find_program(self.argv[0])
        return Preview((f"here: {words}",), () if missing is None else (missing,))

    async def apply(self, at: Situation) -> Facts:
        """Run it to its end."""
        machine = None if self.node is None else at.machine(self.node)
        await run_program(at.world.runner, self.argv, machine, at.timeout, at.world.configuration)
        return {}

    def commands_on(self, node: str, user: str, *, is_own: bool) -> tuple[tuple[str, ...], ...]:
        """The program with its arguments, also where some of them are known only in a run."""
        return (self.argv,) if may_be(self.node, node, is_own=is_own) else ()

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which program, and where; arguments are left out."""
        return f"run {self.argv[0]}" + (f" on {self.node}" if self.node else "")
