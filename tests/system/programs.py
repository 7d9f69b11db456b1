"""Processes as the tests see them: a drd that runs, its children, and what a command answered."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

SECONDS = 60.0
CARRIER = "drd.clients.carrier"

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], what: str, seconds: float = SECONDS) -> Found:
    """What `look` finds as soon as it finds something true; an AssertionError names `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its answer to --json."""
        return json.loads(self.stdout)

    def done(self, *codes: int) -> "Finished":
        """Itself, when it ended with one of `codes` (0 unless given); else an AssertionError with all that it said."""
        assert self.code in (codes or (0,)), f"exit code {self.code}\n{self.stdout}\n{self.stderr}"
        return self


class Running:
    """A process that goes on; it dies with the tests."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._begins_at = output.tell()
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """All that it has written since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._begins_at)
            return log.read().decode(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = SECONDS) -> int:
        """Its exit code, as soon as it has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended within {seconds:.0f} s:\n{self.said()}") from None

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        if self.is_alive:
            self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """kill -9; does nothing to what has ended."""
        if self.is_alive:
            self.process.kill()
        self.process.wait(SECONDS)

    def child(self, program: str, *words: str, without: str = "") -> int | None:
        """The pid of a child that runs `program` (the end of its path, or a module) with these words, or None."""
        for pid, line in self.children().items():
            runs_it = program in line or Path(line[0]).name == program
            if runs_it and all(word in line for word in words) and without not in line:
                return pid
        return None

    def children(self) -> dict[int, list[str]]:
        """Every process below it that is no zombie, with its command line."""
        found: dict[int, list[str]] = {}
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if child.status() != psutil.STATUS_ZOMBIE and (line := child.cmdline()):
                        found[child.pid] = line
        return found


def kill_hard(pid: int) -> None:
    """kill -9 of one process; one that is gone already needs none."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
