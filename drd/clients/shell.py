"""Running a program here or on a machine of drd.yaml, for steps of runbooks."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

from drd.clients.ssh import NOT_REACHED, ssh_argv
from drd.core.errors import PermanentError, ProgramMissing, TransientError
from drd.core.units import format_duration
from drd.ports.machines import Machine, ShellCommand
from drd.ports.runner import Command, Ended, Ending, Runner

LONGEST = timedelta(hours=12)
"""How long a program may take whose step has no `timeout:`."""
NOT_FOUND = 127
"""What a shell says of a program that is not there."""
LINES_KEPT = 200
SAID = 400
"""So much of what a program wrote on standard error is told when it fails."""


class ProgramFailed(PermanentError):
    """A program that ended with another status than those that are accepted."""

    def __init__(self, message: str, hint: str, detail: str, status: int) -> None:
        super().__init__(message, hint, detail)
        self.status = status


async def run_program(
    runner: Runner,
    argv: Sequence[str],
    machine: Machine | None = None,
    patience: timedelta | None = None,
    configuration: Path | None = None,
    *,
    standard_input: bytes | None = None,
    output: Path | None = None,
    most_lines: int | None = LINES_KEPT,
    accepted: Collection[int] = (0,),
) -> tuple[str, ...]:
    """Run it to its end and return the lines that it wrote, unless they go to the file `output`.

    `configuration` is the drd.yaml that a program here finds in `DRD_CONFIG`, so that a drd speaks to this daemon.
    Raises `ProgramFailed` when it ended with another status than those that are accepted, and `TransientError` when it
    was not reached or was stopped, so that nobody knows what it has done.
    """
    lines: list[str] = []

    def keep(stream: str, line: bytes) -> None:
        if stream == "stdout" and (most_lines is None or len(lines) < most_lines):
            lines.append(line.decode("utf-8", "replace"))

    words = tuple(argv) if machine is None else _on(machine, argv)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    if configuration is not None:
        environment["DRD_CONFIG"] = str(configuration)
    command = Command(
        words,
        environment=environment,
        deadline=patience or LONGEST,
        standard_input=standard_input,
        output=output,
    )
    ended = await runner.run(command, keep)
    if ended.ending is not Ending.EXITED or ended.code not in accepted:
        _judge(ended, argv[0], machine, patience or LONGEST)
    return tuple(lines)


def find_program(name: str) -> str | None:
    """Why a program cannot be run here, or None."""
    return None if shutil.which(name) is not None else f"{name} is not installed here"


def _on(machine: Machine, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` on a machine. Raises what `ssh_argv` raises."""
    if isinstance(machine.shell, ShellCommand):
        return (*machine.shell.command, *argv)
    return ssh_argv(machine, argv)


def _judge(ended: Ended, program: str, machine: Machine | None, timeout: timedelta) -> None:
    where = "" if machine is None else f" on {machine.name}"
    said = " ".join(ended.stderr_tail.split())[-SAID:]
    if ended.ending is not Ending.EXITED:
        raise TransientError(f"{program}{where} was stopped after {format_duration(timeout)}", "raise the `timeout:`")
    if machine is not None and ended.code == NOT_REACHED:
        try_it = machine.shell.command if isinstance(machine.shell, ShellCommand) else ("ssh", machine.host)
        raise TransientError(f"{machine.name} is not reached by {try_it[0]}: {said}", f"try it: {shlex.join(try_it)}")
    if ended.code == NOT_FOUND and machine is not None:
        raise ProgramMissing(f"{program} is not installed{where}", "")
    if ended.code != 0:
        raise ProgramFailed(
            f"{program}{where} ended with status {ended.code}",
            "what it said stands in the daemon's log" if said else "",
            said,
            ended.code,
        )
