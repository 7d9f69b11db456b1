"""Folders in which a source lays down what restic then reads: private, for one use alone, and gone afterwards.

A folder is held by a lock on itself, which ends with the process that has it: what is there and is not held was left by
one that was killed. So no list has to be kept of what is to be taken away. A program that started another one, as
pg_basebackup does to receive WAL, may have left that one behind, writing on: it is ended first.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from drd.core.errors import PermanentError, TransientError
from drd.ports.cancelling import to_the_end


@asynccontextmanager
async def staged(parent: Path, prefix: str, name: str) -> AsyncIterator[Path]:
    """The empty folder `PREFIX-NAME` in `parent`; its name has a number behind it while another use of it lasts.

    Before, everything in `parent` that begins with the prefix and that nobody uses is removed, to make room. Raises
    `TransientError` where no folder can be made, and `PermanentError` where the one that is there is another user's.
    """
    try:
        await asyncio.to_thread(sweep, parent, prefix)
        folder, descriptor = await asyncio.to_thread(_take, parent, f"{prefix}-{name}")
    except OSError as error:
        raise TransientError(
            f"nothing can be put into {parent}: {error.strerror}", f"df -h {parent}; ls -ld {parent}"
        ) from error
    try:
        yield folder
    finally:
        await to_the_end(asyncio.to_thread(_give_up, folder, descriptor))


def sweep(parent: Path, prefix: str) -> None:
    """Remove what processes left that were killed. What cannot go stays."""
    for left in parent.glob(f"{prefix}-*"):
        with suppress(OSError, PermanentError):
            descriptor = _held(left)
            if descriptor is not None:
                _end_those_in(left)
                _give_up(left, descriptor)


def _end_those_in(folder: Path) -> None:
    """Kill what a killed process left running there: programs that have the folder among their arguments."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = arguments.read_bytes().split(b"\0")
            if any(word.startswith(b"%s/" % os.fsencode(folder)) for word in words):
                os.kill(int(arguments.parent.name), signal.SIGKILL)


def _take(parent: Path, name: str) -> tuple[Path, int]:
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = _held(folder)
        if descriptor is not None:
            _demand_empty(folder, descriptor)
            return folder, descriptor
    raise AssertionError("numbers do not end")


def _held(folder: Path) -> int | None:
    """An open descriptor that holds the folder; None while somebody else does, or has just removed it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        is_ours = _is_locked_now(folder, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if not is_ours:
        os.close(descriptor)
        return None
    return descriptor


def _is_locked_now(folder: Path, descriptor: int) -> bool:
    opened = os.fstat(descriptor)
    if opened.st_uid != os.geteuid():
        raise PermanentError(f"{folder} belongs to another user", f"ls -ld {folder}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before may have removed it: then another folder, or none, has its name.
        return os.path.samestat(opened, folder.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _demand_empty(folder: Path, descriptor: int) -> None:
    # What was left there by a killed process and came between the sweep and now, or could not be swept.
    try:
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        folder.chmod(0o700)
    except BaseException:
        os.close(descriptor)
        raise


def _give_up(folder: Path, descriptor: int) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
