"""Where two servers of one cluster parted, and what the one has written that the other does not hold.

After a promotion the old primary may have written on: its log beyond the fork is no part of the new timeline. A rewind
erases it, so that before one the transactions that were committed there are listed. (`pg_waldump` of PostgreSQL,
`xactdesc.c` for what it writes of a commit.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History

_COMMIT: Final = re.compile(
    r"rmgr: Transaction\b.*?\btx:\s*(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.*? desc: "
    r"(?P<kind>COMMIT(?:_PREPARED)?) (?:(?P<prepared>\d+): )?(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?) UTC"
)


@dataclass(frozen=True, slots=True)
class Fork:
    """The end of what two servers have in common."""

    timeline: int
    """The one that both were on there."""
    at: Lsn


def fork_of(one: History, other: History) -> Fork | None:
    """Where two timelines part; None where they are the same one. Raises ValueError when they share no beginning."""
    last: Fork | None = None
    for mine, theirs in zip(_ends(one), _ends(other), strict=False):
        if mine.timeline != theirs.timeline:
            if last is None:
                raise ValueError(f"timelines {one.timeline} and {other.timeline} have no beginning in common")
            return last
        if mine.at != theirs.at:
            return Fork(mine.timeline, min(each.at for each in (mine, theirs) if each.at is not None))
        last = None if mine.at is None else Fork(mine.timeline, mine.at)
    return None


@dataclass(frozen=True, slots=True)
class _End:
    timeline: int
    at: Lsn | None
    """None: it goes on."""


def _ends(history: History) -> Iterator[_End]:
    yield from (_End(each.timeline, each.at) for each in history.switches)
    yield _End(history.timeline, None)


@dataclass(frozen=True, slots=True)
class WalRange:
    """Log of one timeline, from a position to another one or to where it ends."""

    timeline: int
    start: Lsn
    end: Lsn | None


def beyond(history: History, fork: Fork) -> tuple[WalRange, ...]:
    """All that a timeline holds behind a fork, oldest first."""
    found: list[WalRange] = []
    start = fork.at
    for end in _ends(history):
        if end.timeline < fork.timeline or (end.at is not None and end.at <= start):
            continue
        found.append(WalRange(end.timeline, start, end.at))
        start = start if end.at is None else end.at
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CommittedTransaction:
    """A transaction that a server has committed; in its log that is all that says so."""

    xid: int
    lsn: Lsn
    at: datetime

    def __str__(self) -> str:
        return f"transaction {self.xid} at {self.lsn}, committed {self.at:%Y-%m-%d %H:%M:%S.%f} UTC"


def committed(lines: Iterable[str]) -> Iterator[CommittedTransaction]:
    """The commits among the lines of `pg_waldump -r Transaction`, which was told to write UTC."""
    for line in lines:
        if match := _COMMIT.search(line):
            xid = match["prepared"] or match["xid"]
            at = datetime.fromisoformat(match["at"]).replace(tzinfo=UTC)
            yield CommittedTransaction(int(xid), Lsn.parse(match["lsn"]), at)
