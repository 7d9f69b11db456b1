"""A runner for tests in which no program may be started."""

from drd.core.errors import ProgramMissing
from drd.ports.runner import Command, Ended, OnLine


class NoRunner:
    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        raise ProgramMissing(f"{command.argv[0]} is not to be started in this test", "")
