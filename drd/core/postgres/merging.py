"""Two files of one segment that came by different paths: which of them holds more.

Both hold the same records from the beginning. They may end differently: where a segment was switched, or its timeline
left, the rest is zeros in one and in the other whatever lay in the file before it was used again.
"""

from __future__ import annotations

from enum import Enum
from itertools import count

from drd.core.postgres.pages import PAGE_BYTES, page_header
from drd.core.postgres.wal import Segment


class Better(Enum):
    """What to do with two files of a segment."""

    FIRST = "first"
    """The first one holds all that the second one does."""
    SECOND = "second"
    """The second one holds more."""
    NEITHER = "neither"
    """They contradict one another: they were written by two servers, or one is damaged."""


def written(segment: Segment, content: bytes) -> bytes:
    """The beginning of a segment that is surely written: pages that say where they belong, without zeros at the end."""
    for number in count():
        at = number * PAGE_BYTES
        header = page_header(content[at : at + PAGE_BYTES])
        if header is None or header.address != segment.start + at or header.timeline > segment.timeline:
            return content[:at].rstrip(b"\0")
    raise AssertionError("a segment ends")


def better(segment: Segment, first: bytes, second: bytes) -> Better:
    """Which of two files of a segment to keep."""
    if first == second:
        return Better.FIRST
    one, other = written(segment, first), written(segment, second)
    if one.startswith(other):
        return Better.FIRST
    return Better.SECOND if other.startswith(one) else Better.NEITHER
