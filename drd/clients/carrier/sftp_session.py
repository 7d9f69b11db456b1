"""What a repository needs of the SSH file transfer protocol: folders, whole files in, whole files out.

Requests are sent ahead of their answers, so that a far server costs few round trips.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from drd.clients.carrier.files import Vanished
from drd.clients.carrier.sftp_wire import HAS_MODE, Fields, Packet, Status, Wire, string
from drd.core.errors import StoreAway

BLOCK_BYTES = 32 * 1024
"""What every server must take in one packet."""
WINDOW = 64
"""Packets that travel before the first answer is waited for."""
FOLDERS_AT_ONCE = 64
_READ, _WRITE_NEW = 0x01, 0x02 | 0x08 | 0x20  # write, create, only if it is not there
_FOLDER, _TYPE_OF_FILE = 0o040000, 0o170000
_RENAME, _FLUSH, _SPACE = "posix-rename@openssh.com", "fsync@openssh.com", "statvfs@openssh.com"


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a folder."""

    name: str
    size: int
    is_folder: bool
    changed: int
    """Seconds since 1970 by the server's clock; 0 where it does not tell."""


class SftpSession:
    """One connection, used by one thread. Raises `Vanished` for what is not there."""

    def __init__(self, ssh: Sequence[str], place: str) -> None:
        self._place = place
        self._wire = Wire(ssh, place)

    def items(self, folders: Sequence[str]) -> Iterator[Item]:
        """What all these folders hold; a folder that is not there holds nothing."""
        for start in range(0, len(folders), FOLDERS_AT_ONCE):
            yield from self._items(folders[start : start + FOLDERS_AT_ONCE])

    def size(self, path: str) -> int | None:
        """A file's size, or None where there is none."""
        packet, fields = self._wire.answer(self._wire.request(Packet.STAT, string(path)))
        if packet == Packet.ATTRS:
            return fields.attributes()[0]
        if (status := fields.number()) != Status.NO_SUCH_FILE:
            self._wire.fail(status, path)
        return None

    def free_bytes(self, path: str) -> int | None:
        """Free space for this user, where the server tells."""
        if _SPACE not in self._wire.extensions:
            return None
        packet, fields = self._wire.answer(self._wire.request(Packet.EXTENDED, string(_SPACE) + string(path)))
        if packet != Packet.EXTENDED_REPLY:
            return None
        _, fragment_bytes, _, _, available_fragments = (fields.long() for _ in range(5))
        return fragment_bytes * available_fragments

    def make_folders(self, folders: Sequence[str]) -> None:
        """Make folders that only this user may enter, parents first; those that are there stay as they are."""
        private = struct.pack(">II", HAS_MODE, 0o700)
        asked = [self._wire.request(Packet.MKDIR, string(folder) + private) for folder in folders]
        refused = [
            (folder, status)
            for folder, number in zip(folders, asked, strict=True)
            if (status := self._wire.status(number)) != Status.OK
        ]
        for folder, status in refused:
            if self.size(folder) is None:  # version 3 has no word for "it is there already"
                self._wire.fail(status, folder)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        status = self._wire.status(self._wire.request(Packet.REMOVE, string(path)))
        if status not in {Status.OK, Status.NO_SUCH_FILE}:
            self._wire.fail(status, path)

    def rename(self, path: str, to: str) -> None:
        """Rename in one step; replaces what is there if the server knows OpenSSH's extension."""
        names = string(path) + string(to)
        if _RENAME in self._wire.extensions:
            self._wire.done(self._wire.request(Packet.EXTENDED, string(_RENAME) + names), to)
        else:
            self._wire.done(self._wire.request(Packet.RENAME, names), to)

    @contextmanager
    def reading(self, path: str) -> Iterator[RemoteFile]:
        """A file's content from its beginning."""
        size = self.size(path)
        if size is None:
            raise Vanished(path)
        handle = self._open(path, _READ, struct.pack(">I", 0))
        remote = RemoteFile(self._wire, handle, size, self._place)
        yield remote
        remote.drain()
        self._wire.done(self._wire.request(Packet.CLOSE, string(handle)), path)

    @contextmanager
    def writing(self, path: str) -> Iterator[NewFile]:
        """A new file that only this user may read, durable at the end where the server can make it so."""
        handle = self._open(path, _WRITE_NEW, struct.pack(">II", HAS_MODE, 0o400))
        new = NewFile(self._wire, handle, path)
        yield new
        new.finish()
        if _FLUSH in self._wire.extensions:
            self._wire.done(self._wire.request(Packet.EXTENDED, string(_FLUSH) + string(handle)), path)
        self._wire.done(self._wire.request(Packet.CLOSE, string(handle)), path)

    def close(self) -> None:
        """Hang up."""
        self._wire.close()

    def _open(self, path: str, flags: int, attributes: bytes) -> bytes:
        return self._wire.handle(
            self._wire.request(Packet.OPEN, string(path) + struct.pack(">I", flags) + attributes), path
        )

    def _items(self, folders: Sequence[str]) -> Iterator[Item]:
        opening = [(folder, self._wire.request(Packet.OPENDIR, string(folder))) for folder in folders]
        handles = []
        for folder, number in opening:
            packet, fields = self._wire.answer(number)
            if packet == Packet.HANDLE:
                handles.append((folder, fields.string()))
            elif (status := fields.number()) != Status.NO_SUCH_FILE:
                self._wire.fail(status, folder)
        unfinished = handles
        while unfinished:
            reading = [(entry, self._wire.request(Packet.READDIR, string(entry[1]))) for entry in unfinished]
            unfinished = []
            for entry, number in reading:
                packet, fields = self._wire.answer(number)
                if packet == Packet.NAME:
                    unfinished.append(entry)
                    yield from _entries(fields)
                elif (status := fields.number()) != Status.EOF:
                    self._wire.fail(status, entry[0])
        for folder, number in [(folder, self._wire.request(Packet.CLOSE, string(h))) for folder, h in handles]:
            self._wire.done(number, folder)


class RemoteFile:
    """A file that is read, some blocks ahead."""

    def __init__(self, wire: Wire, handle: bytes, size: int, place: str) -> None:
        self._wire = wire
        self._handle = handle
        self._size = size
        self._place = place
        self._asked = 0
        self._ahead: deque[tuple[int, int]] = deque()

    def read(self, size: int, /) -> bytes:
        """The next block, whatever its size (but never more than asked for); empty at the end."""
        length = min(size, BLOCK_BYTES)
        while len(self._ahead) < WINDOW and self._asked < self._size:
            count = min(length, self._size - self._asked)
            body = string(self._handle) + struct.pack(">QI", self._asked, count)
            self._ahead.append((self._wire.request(Packet.READ, body), count))
            self._asked += count
        if not self._ahead:
            return b""
        number, count = self._ahead.popleft()
        packet, fields = self._wire.answer(number)
        block = fields.string() if packet == Packet.DATA else b""
        if len(block) != count:
            raise StoreAway(f"{self._place} gave {len(block)} of {count} bytes", "it is tried again")
        return block

    def drain(self) -> None:
        """Take the answers that nobody waits for any more."""
        while self._ahead:
            self._wire.answer(self._ahead.popleft()[0])


class NewFile:
    """A file that is written, some blocks ahead of the server's answers."""

    def __init__(self, wire: Wire, handle: bytes, path: str) -> None:
        self._wire = wire
        self._handle = handle
        self._path = path
        self._position = 0
        self._ahead: deque[int] = deque()

    def write(self, content: bytes) -> None:
        """Append."""
        for start in range(0, len(content), BLOCK_BYTES):
            block = content[start : start + BLOCK_BYTES]
            if len(self._ahead) >= WINDOW:
                self._wire.done(self._ahead.popleft(), self._path)
            body = string(self._handle) + struct.pack(">Q", self._position) + string(block)
            self._ahead.append(self._wire.request(Packet.WRITE, body))
            self._position += len(block)

    def finish(self) -> None:
        """Wait until the server has taken everything."""
        while self._ahead:
            self._wire.done(self._ahead.popleft(), self._path)


def _entries(fields: Fields) -> Iterator[Item]:
    for _ in range(fields.number()):
        name = fields.string().decode(errors="surrogateescape")
        fields.string()
        size, mode, changed = fields.attributes()
        yield Item(name, size, mode & _TYPE_OF_FILE == _FOLDER, changed)
