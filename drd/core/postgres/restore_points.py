"""Restore points in WAL: positions that somebody named by `pg_create_restore_point`.

Nothing but the WAL itself tells of them, so it is searched. A restore point is a record of 98 bytes: a header (length,
transaction, previous record, kind, checksum), the length of its data, and its data (`xl_restore_point`: a moment in
microseconds since 2000, and a name of 63 bytes at most and a zero). Records go on behind the headers of pages as if
those were not there. (`src/include/access/xlogrecord.h`, `xlog_internal.h` and `pg_control.h`.)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import LONG_BYTES, segment_header
from drd.core.postgres.recovery import RestorePoint
from drd.core.postgres.wal import Segment

SHORT_BYTES: Final = 24
"""Of a page that does not begin a segment, with what aligns its first record."""
RECORD_BYTES: Final = 98
ALIGNED_BYTES: Final = 104
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_RECORD: Final = re.compile(
    rb"\x62\x00\x00\x00[\s\S]{12}\x70\x00[\s\S]{2}([\s\S]{4})\xff\x48([\s\S]{8})([^\0]{1,63})\0", re.DOTALL
)


class RestorePointSearch:
    """Searches segments that follow one another; a record may begin in one and end in the next."""

    def __init__(self) -> None:
        self._before: Segment | None = None
        self._rest = b""

    def take(self, segment: Segment, content: bytes) -> tuple[RestorePoint, ...]:
        """The restore points that end in a segment, in order; one whose beginning was not searched is not found."""
        header = segment_header(content)
        if header is None:
            return ()
        records = _without_headers(content, header.page_bytes)
        rest = self._rest if self._before is not None and self._before.following == segment else b""
        found = tuple(_found(segment, rest, records, header.page_bytes))
        self._before, self._rest = segment, records[-RECORD_BYTES:]
        return found


def _found(segment: Segment, rest: bytes, records: bytes, page_bytes: int) -> Iterator[RestorePoint]:
    searched = rest + records
    for match in _RECORD.finditer(searched):
        record = searched[match.start() : match.start() + RECORD_BYTES]
        end = match.start() - len(rest) + ALIGNED_BYTES
        if end <= 0 or len(record) < RECORD_BYTES or not _is_sound(record, match[1]):
            continue
        (microseconds,) = struct.unpack("<q", match[2])
        lsn = Lsn(segment.start.value + _position(end, page_bytes))
        name = match[3].decode(errors="replace")
        yield RestorePoint(name, segment.timeline, lsn, _EPOCH + timedelta(microseconds=microseconds))


def _without_headers(content: bytes, page_bytes: int) -> bytes:
    view = memoryview(content)
    first = view[LONG_BYTES:page_bytes]
    others = (view[at + SHORT_BYTES : at + page_bytes] for at in range(page_bytes, len(content), page_bytes))
    return b"".join((first, *others))


def _position(end: int, page_bytes: int) -> int:
    """Where in a segment so many bytes of records end: before the header of the next page, as PostgreSQL tells it."""
    first, each = page_bytes - LONG_BYTES, page_bytes - SHORT_BYTES
    if end <= first:
        return LONG_BYTES + end
    pages, more = divmod(end - first - 1, each)
    return (pages + 1) * page_bytes + SHORT_BYTES + more + 1


def _is_sound(record: bytes, checksum: bytes) -> bool:
    """Whether it is a record, and not data that looks like one."""
    return _crc32c(record[24:] + record[:20]) == int.from_bytes(checksum, "little")


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
