"""The header of a page of WAL, by which a segment is told from one that is another's, or damaged.

(`XLogLongPageHeaderData` of `src/include/access/xlog_internal.h`: magic, info, timeline, address, remaining length,
padding; on the first page of a segment then system identifier, segment size and page size. Numbers stand in the byte
order of the server's machine.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment

PAGE_BYTES: Final = 8192
"""What PostgreSQL is built with unless somebody chose another size, which the first page of a segment tells."""
LONG_BYTES: Final = 40
"""Of a page at the beginning of a segment."""
SHORT_BYTES: Final = 20
_HAS_LONG_HEADER: Final = 0x0002
_MAGIC_FAMILY: Final = 0xD1
"""The upper byte of every version's magic number; the lower one counts the formats."""


@dataclass(frozen=True, slots=True)
class PageHeader:
    """Where a page says that it belongs."""

    timeline: int
    address: Lsn


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What the first page of a segment says of the whole."""

    page: PageHeader
    system_identifier: str
    segment_bytes: int
    page_bytes: int


def page_header(content: bytes) -> PageHeader | None:
    """The header at the beginning of a page; None when there is none, as in WAL that is not written yet."""
    if len(content) < SHORT_BYTES:
        return None
    magic, _, timeline, address = struct.unpack_from("<HHIQ", content)
    return PageHeader(timeline, Lsn(address)) if magic >> 8 == _MAGIC_FAMILY else None


def segment_header(content: bytes) -> SegmentHeader | None:
    """The header at the beginning of a segment; None when there is none."""
    page = page_header(content)
    if page is None or len(content) < LONG_BYTES:
        return None
    (info,) = struct.unpack_from("<H", content, 2)
    system_identifier, segment_bytes, page_bytes = struct.unpack_from("<QII", content, 24)
    if not info & _HAS_LONG_HEADER:
        return None
    return SegmentHeader(page, str(system_identifier), segment_bytes, page_bytes)


def fault(segment: Segment, system_identifier: str, content: bytes) -> str:
    """What is wrong with a segment that begins with these bytes; empty when it is what its name says."""
    header = segment_header(content)
    if header is None:
        return "it does not begin with a page of WAL"
    if header.system_identifier != system_identifier:
        return f"it is of the cluster {header.system_identifier} and not of {system_identifier}"
    if header.segment_bytes != segment.size:
        return f"it is of a cluster with segments of {header.segment_bytes} bytes and not of {segment.size}"
    if header.page.address != segment.start:
        return f"it begins at {header.page.address} and not at {segment.start}"
    # Where a timeline begins in the middle of a segment, the first page is a copy of the earlier timeline's.
    if header.page.timeline > segment.timeline:
        return f"it is of timeline {header.page.timeline}"
    return ""
