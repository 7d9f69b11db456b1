"""One PostgreSQL server, asked in SQL: what it is, how far its WAL is, what its slots hold back, and its heartbeat.

Every call has a deadline of the implementation's own. All raise `ServerAway` when there is no answer in time,
`LoginRefused` when the server does not let us in, and `RightMissing` with the statement that grants what lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from drd.core.postgres.lsn import Lsn


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A tablespace that lies outside the data directory."""

    name: str
    oid: int
    location: PurePosixPath
    """Where it lies on the server's machine."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server is. What the role may not see is None."""

    system_identifier: str
    """Given by initdb, kept by every copy: it tells clusters apart."""
    version: int
    """As the server counts: 150018 is 15.18."""
    timeline: int
    is_in_recovery: bool
    """Whether it is a standby, or recovers."""
    has_checksums: bool
    segment_bytes: int
    wal_level: str
    archive_mode: str
    max_slot_wal_keep_bytes: int | None
    """How much WAL a slot may hold back; None: without limit, so that a slot can fill the server's disk."""
    data_directory: PurePosixPath | None
    tablespaces: tuple[Tablespace, ...] = ()

    @property
    def major(self) -> int:
        """The version that tools have to match, as 15."""
        return self.version // 10_000

    @property
    def version_text(self) -> str:
        """As `15.18`."""
        return f"{self.major}.{self.version % 10_000}"


@dataclass(frozen=True, slots=True)
class Positions:
    """How far a server's WAL is, with its own clock read *before*: what was committed before `taken` lies before these.

    On a primary `written` and `flushed` are set, on a standby `received` and `replayed`.
    """

    taken: datetime
    is_in_recovery: bool
    written: Lsn | None = None
    flushed: Lsn | None = None
    """Safe on the server's disk."""
    received: Lsn | None = None
    """Received by streaming, and safe on the standby's disk; None when it has not streamed since its start."""
    replayed: Lsn | None = None
    replayed_until: datetime | None = None
    """When the newest transaction that was replayed was committed."""

    @property
    def newest(self) -> Lsn:
        """The end of the WAL that this server surely has."""
        known = [each for each in (self.flushed, self.received, self.replayed) if each is not None]
        return max(known, default=Lsn(0))


class WalStatus(StrEnum):
    """What a slot's WAL has come to, in PostgreSQL's words (`pg_replication_slots.wal_status`)."""

    RESERVED = "reserved"
    """Within `max_wal_size`."""
    EXTENDED = "extended"
    """More than `max_wal_size`, kept for this slot."""
    UNRESERVED = "unreserved"
    """Over the limit: the next checkpoint may remove it."""
    LOST = "lost"
    """Removed: the slot is of no use any more, and a new base backup is needed."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A physical replication slot."""

    name: str
    is_active: bool
    """Whether somebody receives by it now."""
    restart: Lsn | None
    """Where its WAL begins; None when it reserves nothing."""
    wal_status: WalStatus | None
    """None when it reserves nothing."""
    safe_bytes: int | None
    """WAL that can be written until it is lost; None: without limit, or lost already."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A row that drd writes again and again, by which a restored copy tells its own true moment."""

    at: datetime
    """The server's clock when it was written."""
    lsn: Lsn
    """All that was committed before it was written lies before this."""
    daemon: str
    """Who wrote it."""


class Server(Protocol):
    """The server itself."""

    @property
    def place(self) -> str:
        """The server, database and role in words, for messages; never a secret."""
        ...

    async def facts(self) -> ServerFacts:
        """What it is."""
        ...

    async def positions(self) -> Positions:
        """How far it is."""
        ...

    async def switch_wal(self) -> Lsn:
        """End the segment in writing, so that it can be archived; the end of what was written to it.

        Does nothing when it holds nothing yet. Raises `ServerReadOnly` on a standby.
        """
        ...

    async def create_restore_point(self, name: str) -> Lsn:
        """Name this moment in the WAL (at most 63 bytes); the end of what names it.

        It is safe on the server's disk a moment later (`wal_writer_delay`). Raises `ServerReadOnly` on a standby.
        """
        ...

    async def close(self) -> None:
        """Give the connection back; the next call makes another one."""
        ...


class Slots(Protocol):
    """Physical replication slots, which hold WAL back until it was received."""

    async def slot(self, name: str) -> Slot | None:
        """What became of a slot; None when there is none of this name."""
        ...

    async def create_slot(self, name: str) -> Slot:
        """Make a slot that reserves WAL from now on; one that is there already is left as it is."""
        ...

    async def drop_slot(self, name: str) -> bool:
        """Remove a slot; False when there was none. Raises `TransientError` while somebody receives by it."""
        ...


class Heartbeats(Protocol):
    """A small table, `drd_heartbeat` with one row, in a schema that may be chosen."""

    async def prepare_heartbeat(self, schema: str) -> None:
        """Make schema and table where they lack. Raises `ServerReadOnly` on a standby."""
        ...

    async def beat(self, schema: str, daemon: str) -> Heartbeat:
        """Write the row anew; it does not wait for standbys. Raises `PermanentError` when there is no such table."""
        ...

    async def heartbeat(self, schema: str) -> Heartbeat | None:
        """The row as this server has it; None when there is no table or no row."""
        ...


class Postgres(Server, Slots, Heartbeats, Protocol):
    """All of it."""
