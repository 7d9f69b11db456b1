"""`drd wal-push`: PostgreSQL's `archive_command`, by which a finished file of WAL is handed to drd.

The server starts it for each file and waits for it, so it begins with nothing imported but what the interpreter has
loaded already, and knows neither the configuration nor the daemon: what it must know lies beside what it brings, in
`CLUSTER`. Its rules are those of the manual ("Setting Up WAL Archiving"): a file that is there is never written over,
the same file again is no mistake, and 0 means that it is safe on the disk.
"""

from __future__ import annotations

import os
import struct
import sys

CLUSTER = "cluster"
"""In the folder that is pushed into: system identifier and size of a segment, a line each, as drd wrote them."""
HIDDEN = ".pushing-"
"""Begins the names of files that are not whole yet."""
MOST_BYTES = 1 << 20
"""No history and no label is longer."""
CHUNK_BYTES = 1 << 20
_HEXADECIMAL = frozenset("0123456789ABCDEF")
_HEADER = struct.Struct("<HHIQI4xQII")
"""`XLogLongPageHeaderData`: magic, info, timeline, address, remaining length, system, sizes of segment and page."""


class Refused(Exception):
    """The file is not taken; the server keeps it and tries again."""


def main(words: list[str]) -> int:
    """Bring the file `words[0]` into the folder `words[1]`; the exit code. Says why not on standard error."""
    if len(words) != 2 or words[0].startswith("-"):
        sys.stderr.write("usage, in postgresql.conf: archive_command = 'drd wal-push %p /srv/drd-wal/POLICY'\n")
        return 2
    try:
        push(*words)
    except Refused as refused:
        sys.stderr.write(f"drd wal-push: {refused}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"drd wal-push: {error.filename or words[0]}: {error.strerror}\n")
        return 1
    return 0


def push(path: str, folder: str) -> None:
    """Bring a file; it is safe on the disk when this returns. Raises `Refused` and `OSError`."""
    name = os.path.basename(path)  # noqa: PTH119 - pathlib takes longer to import than all the rest
    target = f"{folder}/{name}"
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _look(name, source, folder)
        if _is_there(source, target):
            _flush(target, folder)
            return
        made = f"{folder}/{HIDDEN}{os.getpid()}-{name}"
        try:
            _copy(source, made)
            os.link(made, target)  # unlike a renaming, it never takes the place of another file
        except FileExistsError:
            if not _is_there(source, target):
                raise
        finally:
            if os.path.lexists(made):
                os.unlink(made)  # noqa: PTH108
        _flush(target, folder)
    finally:
        os.close(source)


def fault(name: str, content: bytes, system_identifier: int, segment_bytes: int) -> str:
    """What is wrong with a segment that begins with these bytes; empty when it is what its name says."""
    if len(content) < _HEADER.size:
        return "it is no WAL"
    magic, info, timeline, address, _, system, size, _ = _HEADER.unpack(content[: _HEADER.size])
    if magic >> 8 != 0xD1 or not info & 2:
        return "it does not begin with a page of WAL"
    if system != system_identifier:
        return f"it is of the cluster {system}, and the WAL there is of {system_identifier}: two servers, one archive"
    if size != segment_bytes:
        return f"its cluster has segments of {size} bytes, and there they have {segment_bytes}"
    start = (int(name[8:16], 16) << 32) + int(name[16:24], 16) * segment_bytes
    if address != start or timeline > int(name[:8], 16):
        return f"it begins at {address >> 32:X}/{address & 0xFFFFFFFF:X} on timeline {timeline}"
    return ""


def _look(name: str, source: int, folder: str) -> None:
    """Refuse what is no file of this cluster's WAL."""
    size = os.fstat(source).st_size
    if _is_segment(name):
        system_identifier, segment_bytes = _cluster(folder)
        if size != segment_bytes:
            raise Refused(f"{name} is not taken: it has {size} bytes instead of {segment_bytes}")
        if wrong := fault(name, os.pread(source, _HEADER.size, 0), system_identifier, segment_bytes):
            raise Refused(f"{name} is not taken: {wrong}")
    elif not (_is_history(name) or _is_label(name)) or size > MOST_BYTES:
        raise Refused(f"{name} is not taken: it is no file of WAL")
    else:
        _cluster(folder)


def _cluster(folder: str) -> tuple[int, int]:
    try:
        with open(f"{folder}/{CLUSTER}", encoding="ascii") as file:  # noqa: PTH123
            system_identifier, segment_bytes = map(int, file.read().split())
    except FileNotFoundError:
        raise Refused(f"{folder} is no folder that drd takes WAL from, or drd has not reached the server yet") from None
    except ValueError:
        raise Refused(f"{folder}/{CLUSTER} is damaged; remove it, and drd writes it again") from None
    return system_identifier, segment_bytes


def _is_segment(name: str) -> bool:
    digits = name.removesuffix(".partial")
    return len(digits) == 24 and _HEXADECIMAL.issuperset(digits)


def _is_history(name: str) -> bool:
    return len(name) == 16 and name.endswith(".history") and _HEXADECIMAL.issuperset(name[:8])


def _is_label(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 3 and parts[2] == "backup" and _is_segment(parts[0]) and _HEXADECIMAL.issuperset(parts[1])


def _is_there(source: int, target: str) -> bool:
    """Whether the same file is there already. Raises `Refused` when another one has its name."""
    try:
        found = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        if not _is_same(source, found):
            raise Refused(f"{target} is there with other content and never written over: do two servers push there?")
    finally:
        os.close(found)
    return True


def _is_same(one: int, other: int) -> bool:
    size = os.fstat(one).st_size
    if os.fstat(other).st_size != size:
        return False
    return all(os.pread(one, CHUNK_BYTES, at) == os.pread(other, CHUNK_BYTES, at) for at in range(0, size, CHUNK_BYTES))


def _copy(source: int, made: str) -> None:
    # drd's user reads it by the folder's group, whatever umask the server has.
    target = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(target, 0o640)
        left = os.fstat(source).st_size
        at = 0
        while left > 0:
            sent = os.sendfile(target, source, at, left)
            if sent == 0:
                raise Refused(f"{made} became shorter while it was read")
            at, left = at + sent, left - sent
        os.fsync(target)
    finally:
        os.close(target)


def _flush(target: str, folder: str) -> None:
    """The file, which may be another process's, and its name are on the disk when this returns."""
    for place in (target, folder):
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if place != target:
                raise
            continue  # drd has taken it into its spool, where it is safe, and removed it here
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
