"""Restore points found in WAL that is made here as PostgreSQL writes it."""

import struct
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import LONG_BYTES
from drd.core.postgres.restore_points import ALIGNED_BYTES, SHORT_BYTES, RestorePointSearch, _crc32c
from drd.core.postgres.wal import Segment

SIZE, PAGE = 2**20, 8192
MOMENT = datetime(2026, 11, 22, 2, 15, 0, 250_000, tzinfo=UTC)


def record(name: str, checksum: int | None = None) -> bytes:
    data = struct.pack("<q64s", (MOMENT - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), name.encode())
    body = b"\xff\x48" + data
    head = struct.pack("<IIQBBxx", 98, 0, 4711, 0x70, 0)
    crc = _crc32c(body + head) if checksum is None else checksum
    return (head + struct.pack("<I", crc) + body).ljust(ALIGNED_BYTES, b"\0")


def segments(records: bytes, first: Segment) -> list[tuple[Segment, bytes]]:
    """These records with headers of pages between them."""
    found, at, segment = [], 0, first
    while at < len(records) or not found:
        content = bytearray()
        while len(content) < SIZE:
            address = segment.start.value + len(content)
            head = struct.pack("<HHIQI", 0xD110, 0 if content else 2, segment.timeline, address, 0)
            more = b"\0" * 4 if content else b"\0" * 4 + struct.pack("<QII", 4711, SIZE, PAGE)
            room = PAGE - (SHORT_BYTES if content else LONG_BYTES)
            content += head + more + records[at : at + room].ljust(room, b"\0")
            at += room
        found.append((segment, bytes(content)))
        segment = segment.following
    return found


def position(first: Segment, end: int) -> Lsn:
    """Where the byte before `end` lies, and behind it."""
    at, left = first.start.value, end
    while True:
        head = LONG_BYTES if at % SIZE == 0 else SHORT_BYTES
        if left <= PAGE - head:
            return Lsn(at + head + left)
        left -= PAGE - head
        at += PAGE


@given(st.lists(st.integers(0, SIZE // 8), min_size=1, max_size=4))
def test_each_is_found_wherever_pages_and_segments_cut_it(gaps: list[int]) -> None:
    first = Segment(3, 7, SIZE)
    records, ends = b"", []
    for number, gap in enumerate(gaps):
        records += b"\x01" * (8 * gap) + record(f"point {number}")
        ends.append(len(records))
    search = RestorePointSearch()
    found = [point for segment, content in segments(records, first) for point in search.take(segment, content)]
    assert [point.name for point in found] == [f"point {number}" for number in range(len(gaps))]
    assert [point.lsn for point in found] == [position(first, end) for end in ends]
    assert {point.moment for point in found} == {MOMENT}
    assert {point.timeline for point in found} == {3}


def test_data_that_looks_like_one_is_none() -> None:
    [(segment, content)] = segments(record("false", checksum=1), Segment(1, 2, SIZE))
    assert RestorePointSearch().take(segment, content) == ()
    assert RestorePointSearch().take(segment, bytes(SIZE)) == ()


def test_the_checksum_is_castagnolis() -> None:
    assert _crc32c(b"123456789") == 0xE3069283
