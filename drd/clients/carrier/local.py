"""A repository in a folder of this machine."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from drd.clients.carrier.config import config_digest
from drd.clients.carrier.content import NamedContent
from drd.clients.carrier.files import CONFIG_NAME, FOLDERS, INCOMING, NAME, FileKind, Vanished, is_left, path_of
from drd.clients.carrier.mounts import unmounted_disk
from drd.clients.durable import flush_folder
from drd.core.errors import DrdError, PermanentError, StoreAway, TransientError
from drd.ports.look import Look

CREATED_AT_MOST = 5


class LocalFiles:
    """A folder in restic's layout. Raises `StoreAway` when its disk is not mounted."""

    replaces = True

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.place = settings["path"]
        self._root = Path(settings["path"])
        self._changed: set[Path] = set()
        self._lock = threading.Lock()
        self._swept = self._settled = False
        if disk := unmounted_disk(self._root):
            raise StoreAway(f"the backup disk {disk} is not mounted", f"mount {disk}")

    def list(self, kind: FileKind) -> Mapping[str, int]:
        """Name → size."""
        with _translated(self.place):
            if kind is FileKind.CONFIG:
                config = self._root / CONFIG_NAME
                return {CONFIG_NAME: config.stat().st_size} if config.exists() else {}
            return dict(self._entries(self._root / kind.value, folders=kind is FileKind.DATA))

    @contextmanager
    def open(self, kind: FileKind, name: str) -> Iterator[BinaryIO]:
        """Read a file."""
        with _translated(self.place), (self._root / path_of(kind, name)).open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            yield file

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        """Write beside, flush, rename."""
        final = self._root / path_of(kind, name)
        with _translated(self.place):
            growing, descriptor = self._create(name)
            try:
                _write(descriptor, content)
                self._rename(growing, final)
            finally:
                growing.unlink(missing_ok=True)
        with self._lock:
            self._changed.add(final.parent)

    def remove(self, kind: FileKind, name: str) -> None:
        """Unlink."""
        gone = self._root / path_of(kind, name)
        with _translated(self.place):
            gone.unlink(missing_ok=True)
        with self._lock:
            self._changed.add(gone.parent)

    def settle(self) -> None:
        """Flush the folders in which files got their names; at first all, where another carrier may have died."""
        with self._lock:
            changed, self._changed = self._changed, set()
            if not self._settled:
                changed |= {folder for name in FOLDERS if (folder := self._root / name).is_dir()}
                self._settled = True
        with _translated(self.place):
            for folder in sorted(changed):
                flush_folder(folder)

    def prepare(self) -> None:
        """Make the folders, readable by nobody else."""
        with _translated(self.place):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in FOLDERS:
                (self._root / folder).mkdir(mode=0o700, exist_ok=True)
            flush_folder(self._root)

    def close(self) -> None:
        """Sweep what is left of the place where files grow."""
        incoming = self._root / INCOMING
        if self._swept:
            try:
                incoming.rmdir()
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
                    raise _as_drd(error, self.place) from error

    def _entries(self, folder: Path, *, folders: bool) -> Iterator[tuple[str, int]]:
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except FileNotFoundError:
            return
        for entry in found:
            if folders and len(entry.name) == 2 and entry.is_dir():
                yield from self._entries(folder / entry.name, folders=False)
            elif NAME.fullmatch(entry.name):
                try:
                    yield entry.name, entry.stat().st_size
                except FileNotFoundError:
                    continue  # gone since the folder was read, as if it had gone before

    def _incoming(self) -> Path:
        folder = self._root / INCOMING
        with self._lock:
            if not self._swept:
                folder.mkdir(mode=0o700, exist_ok=True)
                for each in folder.iterdir():
                    _remove_if_left(each)
                self._swept = True
        return folder

    def _create(self, name: str) -> tuple[Path, int]:
        """A file to grow, open; the folder of those goes when a round is over, also that of another daemon."""
        left = CREATED_AT_MOST
        while True:
            growing, left = self._incoming() / f"{name}-{secrets.token_hex(4)}", left - 1
            try:
                # restic makes its files read-only for their owner and nobody else; so does this.
                return growing, os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            except FileNotFoundError:
                if not left:
                    raise
                with self._lock:
                    self._swept = False

    def _rename(self, growing: Path, final: Path) -> None:
        try:
            growing.rename(final)
        except FileNotFoundError:
            final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flush_folder(final.parent.parent)
            growing.rename(final)


def look_at(settings: Mapping[str, str]) -> Look:
    """Whether the folder, or the one it will be made in, is there and may be written."""
    path = Path(settings["path"])
    try:
        repository = LocalFiles(settings)
        with _translated(str(path)):
            nearest = next(folder for folder in (path, *path.parents) if folder.exists())
            figures = os.statvfs(nearest)
        if not nearest.is_dir():
            return Look(reachable=False, message=f"{nearest} is not a folder", hint=f"ls -ld {nearest}")
        config = config_digest(repository)
    except DrdError as error:
        return Look(reachable=False, message=error.message, hint=error.hint)
    if nearest not in {path, path.parent}:
        return Look(reachable=False, message=f"{path.parent} does not exist", hint=f"mkdir -p {path.parent}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Look(reachable=False, message=f"{nearest} may not be written by this user", hint=f"ls -ld {nearest}")
    return Look(reachable=True, config=config, free_bytes=figures.f_bavail * figures.f_frsize)


def _write(descriptor: int, content: NamedContent) -> None:
    with open(descriptor, "wb", buffering=0) as file:
        while block := content.read():
            view = memoryview(block)
            while view:
                view = view[file.write(view) :]
        os.fsync(file.fileno())
        # Hardly anybody reads it soon: the memory that it takes is worth more to the services on this machine.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _remove_if_left(path: Path) -> None:
    try:
        if is_left(path.stat().st_mtime):
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # its daemon has given it its name, or swept it


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _as_drd(error, place) from error


def _as_drd(error: OSError, place: str) -> Exception:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, FileNotFoundError):
        return Vanished(str(error.filename))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TransientError(f"the disk of {place} is full", f"df -h {place}")
    if error.errno in {errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN}:
        return StoreAway(f"the disk of {place} does not answer: {reason}", "dmesg | tail")
    failure: DrdError = PermanentError(f"{error.filename or place}: {reason}", f"ls -ld {place}")
    return failure
