"""Running programs. One await is one child's life, and the child dies with the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

Stream = Literal["stdout", "stderr"]
OnLine = Callable[[Stream, bytes], bool | None]
"""Called for each whole line, without its line end, on the event loop; it must not block.

Returning False says that nothing has moved although a line was written: it does not put off the `stall`.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run.

    `secrets` are handed over as readable file descriptors: each occurrence of `{name}` in `environment` values or in
    `argv` is replaced by the path (`/dev/fd/N`) under which the child can read that secret, as often as it likes.
    The child's environment is exactly `environment`: nothing is inherited.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    working_directory: Path | None = None
    user: str | None = None
    deadline: timedelta = timedelta(minutes=5)
    """The child is stopped when it has run this long."""
    stall: timedelta | None = None
    """The child is stopped when it has written no line that tells of movement for this long."""
    counts_work: bool = False
    """What the child reads and computes counts as movement too: for programs that write nothing while they work."""
    stop_signals: tuple[tuple[int, timedelta], ...] = ((2, timedelta(seconds=15)), (15, timedelta(seconds=10)))
    """Signals sent to the child's process group, each with the time it gets before the next; SIGKILL comes last."""
    standard_input: bytes | None = None
    """Bytes for the child's standard input; None means `/dev/null`. Never a place for a secret that argv would show."""
    gives_way: bool = False
    """Run behind drd's own loop, which watches, and all else that the machine does at usual priority."""
    io_idle: bool = False
    """Run in the idle class of input and output, and with the lowest processor priority."""
    output: Path | None = None
    """Where standard output goes when it is data instead of lines; `on_line` then sees standard error only."""


class Ending(StrEnum):
    """Why a child's life ended."""

    EXITED = "exited"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child's life ended. `code` is its exit status, or minus the signal that killed it."""

    code: int
    ending: Ending
    seconds: float
    stderr_tail: str = ""
    """The last few kilobytes of standard error, decoded, never holding one of the command's secrets."""
    processor_seconds: float = 0.0
    peak_memory_bytes: int = 0
    """Never less than what drd itself used when it started the child: the kernel counts from before the exec."""


class Runner(Protocol):
    """Runs programs."""

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        """Run `command` to its end.

        Cancelling the await stops the child by its `stop_signals`, waits until its whole process group is gone, and
        then raises `CancelledError`. Raises `ProgramMissing` when the program is not there.
        """
        ...

    async def pipe(self, producer: Command, consumer: Command, on_line: OnLine | None = None) -> tuple[Ended, Ended]:
        """Run two programs, the second reading what the first writes, and return both endings in that order.

        The consumer sees the end of its input only after the producer has exited with 0: when the producer ends in any
        other way, the consumer is stopped by its signals while its input is still open, so it can take no torn stream
        for a whole one. When the consumer ends first, the producer is stopped. `on_line` sees the consumer's lines; the
        producer's standard error is in its `stderr_tail`. Cancelling and errors are as with `run`, for both.
        """
        ...
