"""Room that is kept for the worst moment: given up when the disk is full, so that facts can still be written."""

from __future__ import annotations

import os
from pathlib import Path

from drd.clients.durable import flush_folder
from drd.clients.journal.sqlite_errors import free_bytes

BALLAST_BYTES = 64 * 1024 * 1024


class Ballast:
    """A file of really allocated blocks beside the journal."""

    def __init__(self, path: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self.path = path
        self.size_bytes = size_bytes

    @property
    def is_there(self) -> bool:
        """Whether all of it can be given up."""
        try:
            return self.path.stat().st_size >= self.size_bytes
        except FileNotFoundError:
            return False

    @property
    def has_room(self) -> bool:
        """Whether the disk can carry it and as much again, so that it is not given up in the next moment."""
        return free_bytes(self.path.parent) >= 2 * self.size_bytes

    def release(self) -> bool:
        """Give it up; False when it is gone already."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        flush_folder(self.path.parent)
        return True

    def restore(self) -> bool:
        """Allocate it if it is missing and there is room; True when this call did it."""
        if self.is_there or not self.has_room:
            return False
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.size_bytes)
            os.fsync(descriptor)
        except OSError:
            self.path.unlink()
            raise
        finally:
            os.close(descriptor)
        return True
