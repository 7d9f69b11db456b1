"""The journal for commands that only read it, beside a daemon or without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drd.app.ownership import demand_readable
from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal
from drd.clients.journal.schema import CURRENT
from drd.ports.journal import JournalReader


@contextmanager
def journal_reader(state: Path) -> Iterator[JournalReader]:
    """The chain in the state folder, for reading.

    Raises `PermanentError` when there is none, and `UsageError` when this user may not read it.
    """
    demand_readable(state)
    journal = asyncio.run(SqliteJournal.open(state, SystemClock(), readonly=True))
    try:
        yield journal
    finally:
        asyncio.run(journal.close())


def has_journal(state: Path) -> bool:
    """Whether anything was ever written to the journal; one that a daemon is making just now is still empty."""
    try:
        return (state / CURRENT).stat().st_size > 0
    except FileNotFoundError:
        return False
