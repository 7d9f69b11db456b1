"""The journal for commands that only read it, beside a daemon or without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from drd.app.ownership import owner_of
from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal
from drd.core.errors import UsageError
from drd.ports.configuration import Configuration
from drd.ports.journal import JournalReader


@contextmanager
def journal_reader(configuration: Configuration) -> Iterator[JournalReader]:
    """The chain in the state folder, for reading. Raises `PermanentError` when there is none."""
    try:
        journal = asyncio.run(SqliteJournal.open(configuration.state, SystemClock(), readonly=True))
    except PermissionError as error:
        owner = owner_of(configuration.state)
        raise UsageError(f"you may not read {error.filename}", f"type: sudo -u {owner} drd …") from error
    try:
        yield journal
    finally:
        asyncio.run(journal.close())
