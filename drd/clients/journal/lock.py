"""One daemon a state folder: the lock says who holds it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from drd.clients.journal.sqlite_errors import translated
from drd.core.encoding import moment_text
from drd.core.errors import Busy, DrdError
from drd.ports.clock import Clock


class StateLock:
    """`<state>/lock`, held with flock(2): it ends with its process, however that ends."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self.path = state / "lock"
        self._clock = clock
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it. Raises Busy that names the holder when another process has it."""
        with translated(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            with translated(self.path):
                is_ours = _is_taken(descriptor)
        except DrdError:
            os.close(descriptor)
            raise
        if not is_ours:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise Busy(
                f"another drd works with {self.path.parent}: {holder}",
                "let it do the work, or stop it first (`systemctl stop drd`)",
            )
        self._descriptor = descriptor
        _sign(descriptor, f"{os.getpid()} {moment_text(self._clock.now())}\n".encode("ascii"))

    def release(self) -> None:
        """Give it back; a second call does nothing. Its note stays, which keeps the room for the next one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> StateLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int, note: bytes) -> None:
    """Say who holds it. The lock counts without that: on a full disk drd has to start, to give up its ballast."""
    try:
        written = os.pwrite(descriptor, note, 0)
    except OSError:
        written = 0
    with suppress(OSError):
        os.ftruncate(descriptor, len(note) if written == len(note) else 0)


def _holder(descriptor: int) -> str:
    words = os.pread(descriptor, 100, 0).decode("ascii", "replace").split()
    return f"process {words[0]}, since {words[1]}" if len(words) == 2 else "its process did not say which it is"
