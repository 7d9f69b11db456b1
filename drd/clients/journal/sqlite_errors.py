"""SQLite's errors in drd's words."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drd.core.errors import Busy, DrdError, JournalDamaged, JournalUnusable, PermanentError, StateFull

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_FAILS = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_NEARLY_NOTHING_BYTES = 256 * 1024


@contextmanager
def translated(database: Path) -> Iterator[None]:
    """Raise SQLite's and the system's errors about `database` as DrdErrors that say what to type."""
    try:
        yield
    except sqlite3.Error as error:
        raise in_our_words(error, database) from error
    except OSError as error:
        if error.errno in _FULL_ERRNOS:
            raise _full(database) from error
        raise JournalUnusable(
            f"{error.filename or database} cannot be used: {error.strerror}",
            "look at its owner and mode with `ls -l`, and at the disk with `dmesg`",
        ) from error


def in_our_words(error: sqlite3.Error, database: Path) -> DrdError:
    """The DrdError that tells what `error` means for the journal."""
    if is_full(error, database):
        return _full(database)
    code = _primary(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(
            f"another process keeps {database} locked", f"see who has it open with `fuser -v {database}`, and try again"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or not isinstance(error, sqlite3.OperationalError):
        return damaged(database, str(error))
    kind = JournalUnusable if code in _DISK_FAILS else PermanentError
    return kind(
        f"{database} cannot be used: {error}",
        "look at its owner and mode with `ls -l`, and at the disk with `dmesg`",
    )


def damaged(database: Path, reason: str) -> JournalDamaged:
    """The journal file cannot be trusted."""
    return JournalDamaged(
        f"the journal {database} is damaged: {reason}",
        f"put a good copy back, or go on without its history with `mv {database} {database}.damaged`: "
        "the recovery points are then found again in the stores",
    )


def is_full(error: sqlite3.Error, database: Path) -> bool:
    """Whether the disk, a quota or a limit left no room. A failed write counts when the disk has nothing to give."""
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL:
        return True
    try:
        return code == sqlite3.SQLITE_IOERR and free_bytes(database.parent) < _NEARLY_NOTHING_BYTES
    except OSError:  # the disk does not even tell that
        return False


def free_bytes(folder: Path) -> int:
    """What an ordinary process may still write on the disk that holds `folder`."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _full(database: Path) -> StateFull:
    return StateFull(
        f"the disk that holds {database.parent} is full, and the ballast there is used up",
        f"make room (`df -h {database.parent}`); drd goes on by itself",
    )


def _primary(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
