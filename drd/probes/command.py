"""What a program says, by how it ends."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from drd.core.errors import DrdError
from drd.core.probing import Failure, ProbeResult
from drd.core.units import PositiveDuration
from drd.ports.probe import Probe, Prober, Target, nothing
from drd.ports.runner import Command, Ending
from drd.ports.world import World

_AT_ONCE: tuple[tuple[int, timedelta], ...] = ((15, timedelta(milliseconds=500)),)


class CommandProbe(Probe):
    """A program that ends with 0 when all is well: `command: [/etc/drd/is-well, orders-1]`. There is no shell.

    It runs on drd's machine, and finds the node's name and address in DRD_NODE and DRD_HOST.
    """

    kind: ClassVar[str] = "command"

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments, as a list."""
    timeout: PositiveDuration = Field(default="5s", validate_default=True)
    """A program that takes longer is stopped, and counts as no answer."""

    @model_validator(mode="before")
    @classmethod
    def _a_list_of_words_is_enough(cls, value: Any) -> Any:
        return {"argv": value} if isinstance(value, list | tuple) else value

    def summary(self) -> str:
        """The program; its arguments may tell more than a log should hold."""
        return f"{self.argv[0]} ends with 0"

    @asynccontextmanager
    async def opened(self, world: World, target: Target) -> AsyncIterator[Prober]:
        """Ready to look."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "DRD_NODE": target.node,
            "DRD_HOST": target.host,
        }
        yield _Prober(world, Command(self.argv, environment, deadline=self.timeout, stop_signals=_AT_ONCE))


class _Prober:
    def __init__(self, world: World, command: Command) -> None:
        self._world, self._command = world, command

    async def look(self) -> ProbeResult:
        clock = self._world.clock
        began, program = clock.monotonic(), self._command.argv[0]
        try:
            ended = await self._world.runner.run(self._command)
        except DrdError as error:
            return ProbeResult(CommandProbe.kind, began, clock.monotonic() - began, Failure.PROTOCOL, error.message)
        took = clock.monotonic() - began
        if ended.ending is not Ending.EXITED:
            return ProbeResult(CommandProbe.kind, began, took, Failure.TIMEOUT, f"{program} took too long")
        if ended.code != 0:
            said = ended.stderr_tail.strip().splitlines()[-1:] or [f"it ended with {ended.code}"]
            return ProbeResult(CommandProbe.kind, began, took, Failure.WRONG_ANSWER, f"{program}: {said[0][:200]}")
        return ProbeResult(CommandProbe.kind, began, took)

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        return nothing
