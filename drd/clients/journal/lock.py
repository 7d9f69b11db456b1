"""One daemon a state folder: the lock says who holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from drd.clients.journal.sqlite_errors import translated
from drd.core.encoding import moment_text
from drd.core.errors import Busy
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
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise Busy(
                f"another drd works with {self.path.parent}: {holder}",
                "let it do the work, or stop it first (`systemctl stop drd`)",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {moment_text(self._clock.now())}\n".encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> StateLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(descriptor: int) -> str:
    words = os.pread(descriptor, 100, 0).decode("ascii", "replace").split()
    return f"process {words[0]}, since {words[1]}" if len(words) == 2 else "its process did not say which it is"
