"""The journal for commands that only read it, beside a daemon or without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal
from drd.ports.configuration import Configuration
from drd.ports.journal import JournalReader


@contextmanager
def journal_reader(configuration: Configuration) -> Iterator[JournalReader]:
    """The chain in the state folder, for reading. Raises `PermanentError` when there is none."""
    journal = asyncio.run(SqliteJournal.open(configuration.state, SystemClock(), readonly=True))
    try:
        yield journal
    finally:
        asyncio.run(journal.close())
