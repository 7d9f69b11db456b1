"""What lies in the spool's groups, as it is found there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from drd.clients.pushing import history_in
from drd.clients.spool.marks import MARKS, read_marks
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.merging import Better, better
from drd.core.postgres.pages import PAGE_BYTES, SHORT_BYTES, page_header
from drd.core.postgres.spooling import PARTIAL, GroupFolder
from drd.core.postgres.wal import Segment, history_name, kind_of


def group_in(folder: Path, segment_bytes: int, receiving: Path) -> GroupFolder | None:
    """The group in a folder; None when it is none, or leaves the spool at this moment."""
    first = Segment.parse(folder.name, segment_bytes)
    if first is None:
        return None
    marks: tuple[Mark, ...] = ()
    with suppress(FileNotFoundError, ValueError):  # what is damaged is begun anew: stores have what it said before
        marks = read_marks((folder / MARKS).read_bytes(), first.timeline)
    with suppress(FileNotFoundError):  # the group leaves the spool at this moment
        names = frozenset(
            path.name
            for path in folder.iterdir()
            if kind_of(path.name) is not None and not _is_left_behind(path, receiving)
        )
        history = folder / history_name(first.timeline)
        if history.name not in names:
            return GroupFolder(first, names, marks)
        if content := history_in(history):
            return GroupFolder(first, names, marks, content)
        return GroupFolder(first, names - {history.name}, marks)  # a received one may take its place
    return None


def holds(folder: Path, segment: Segment, lsn: Lsn) -> bool:
    """Whether the page before `lsn` is written in a group's segment."""
    if lsn == segment.start:
        return True
    at = (lsn.value - 1 - segment.start.value) // PAGE_BYTES * PAGE_BYTES
    for name in (segment.name, segment.name + PARTIAL):
        with suppress(FileNotFoundError), (folder / name).open("rb") as file:
            file.seek(at)
            header = page_header(file.read(SHORT_BYTES))
            return header is not None and header.address == segment.start + at
    return False


def _is_left_behind(path: Path, receiving: Path) -> bool:
    """Whether a segment is received anew, after its slot was lost, and as far by now as the beginning that stands here.

    As long as it is not, what stands here is kept: a batch never holds less than the one before it.
    """
    if not path.name.endswith(PARTIAL):
        return False
    with suppress(FileNotFoundError):
        again = receiving / path.name
        here = path.stat()
        if not again.samefile(path):
            segment = Segment.parse(path.name, here.st_size)
            return segment is not None and better(segment, again.read_bytes(), path.read_bytes()) is Better.FIRST
    return False
