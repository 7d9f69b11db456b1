"""Marks enter the groups of WAL that they tell of: which moment a restore reaches is known only of what is noted."""

from __future__ import annotations

from drd.core.postgres.lineage import Mark
from drd.core.postgres.spooling import Found, settled
from drd.engines.receiver_state import ReceiverState
from drd.ports.spool import Spool

MARKS_NOTED = 4096
"""Marks that a group carries with it; of more every second one is left out."""


async def note_settled(spool: Spool, found: Found, line: ReceiverState) -> bool:
    """Write down the marks whose WAL is in their timeline's newest group; whether there were any."""
    has_noted = False
    for group, marks in settled(line.pending, found, line.received):
        last = marks[-1]
        if last.lsn > group.following.start and not await spool.holds(group.following, group.name, last.lsn):
            continue
        await spool.note(group.name, _thinned((*group.marks, *marks)))
        line.pending = [mark for mark in line.pending if mark not in marks]
        has_noted = True
    return has_noted


def _thinned(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return marks if len(marks) <= MARKS_NOTED else marks[::-2][::-1]
