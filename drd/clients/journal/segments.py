"""The journal's files: the current one, and the sealed ones from the months before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drd.clients.journal.chain import ChainWalk, StoredEvent
from drd.clients.journal.schema import CURRENT, connect_readonly
from drd.clients.journal.sqlite_errors import translated
from drd.clients.journal.tables import projected
from drd.ports.journal import Verdict

_SEALED = "journal-[0-9][0-9][0-9][0-9]-[0-9][0-9]*.db"
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the chain and the number of its first event."""

    path: Path
    first: int


def sealed_files(state: Path) -> list[Path]:
    """Every file with a sealed segment's name."""
    return sorted(state.glob(_SEALED))


def first_sequence(database: Path) -> int | None:
    """Number of the first event in a sealed file; None when it has none. Raises as `translated` does."""
    with closing(connect_readonly(database, is_sealed=True)) as connection, translated(database):
        row = connection.execute("SELECT min(sequence) FROM events").fetchone()
    return None if row is None or row[0] is None else int(row[0])


@contextmanager
def whole_chain(state: Path, *, is_writers: bool) -> Iterator[tuple[list[Segment], sqlite3.Connection]]:
    """The sealed segments in order, and a connection to the current file.

    The current file is opened first: if it is sealed in the meantime, this connection still holds it, and the same
    events under their new name are left out.
    """
    current = state / CURRENT
    with closing(connect_readonly(current, is_writers=is_writers)) as connection, translated(current):
        [(first,)] = connection.execute("SELECT min(sequence) FROM events")
        yield sealed_segments(state, before=first), connection


def sealed_segments(state: Path, before: int | None = None) -> list[Segment]:
    """The sealed segments in the order of the chain; those that begin at `before` or later are left out."""
    found = [Segment(path, first) for path in sealed_files(state) if (first := first_sequence(path)) is not None]
    return sorted(
        (segment for segment in found if before is None or segment.first < before), key=lambda segment: segment.first
    )


def rows(connection: sqlite3.Connection, after: int = 0) -> Iterator[StoredEvent]:
    """The stored events of one file after a sequence number, in order, a bounded number in memory.

    Each look is a statement of its own: an open one would keep the log from being emptied while a writer goes on.
    """
    while chunk := connection.execute(
        "SELECT sequence, bytes, head FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", (after, _ROWS_AT_ONCE)
    ).fetchall():
        yield from chunk
        after = chunk[-1][0]


def sealed_rows(state: Path, after: int, before: int) -> Iterator[StoredEvent]:
    """The stored events of all sealed segments after one sequence number and before another."""
    segments = sealed_segments(state, before=before)
    ends = [segment.first for segment in segments[1:]] + [before]
    for segment, end in zip(segments, ends, strict=False):  # no segment, no end
        if end - 1 > after:
            with closing(connect_readonly(segment.path, is_sealed=True)) as connection, translated(segment.path):
                yield from rows(connection, after)


def verify(state: Path, anchors: Mapping[int, str], *, is_writers: bool) -> Verdict:
    """Follow the chain through every file, until one event does not fit. Raises when a file is no database."""
    chain = ChainWalk(anchors)
    with whole_chain(state, is_writers=is_writers) as (segments, current):
        for segment in segments:
            with closing(connect_readonly(segment.path, is_sealed=True)) as connection:
                if not chain.follow(rows(connection), segment.path.name):
                    return chain.end(None)
        return chain.end(projected(current) if chain.follow(rows(current), CURRENT) else None)
