"""The journal on SQLite: hash-chained, append-only, with the projections that follow from it."""

from drd.clients.journal.lock import StateLock
from drd.clients.journal.store import SqliteJournal

__all__ = ["SqliteJournal", "StateLock"]
