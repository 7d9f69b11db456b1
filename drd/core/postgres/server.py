"""What a PostgreSQL server tells about itself, its WAL, its slots and the role that asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import LONG_BYTES

_SHORT_BYTES: Final = 24
"""Of the header of each page but the first one of a segment, up to where a record may begin."""


def last_end(inserted: Lsn, page_bytes: int, segment_bytes: int) -> Lsn:
    """Where the last record before the insert position ends.

    Where that is the end of a page, the server counts the next page's header to the insert position, although nothing
    writes that header as long as no record follows.
    """
    into_page = inserted.value % page_bytes
    is_first = inserted.value % segment_bytes < page_bytes
    return Lsn(inserted.value - into_page) if into_page == (LONG_BYTES if is_first else _SHORT_BYTES) else inserted


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
class ServerSettings:
    """How a server is set, as far as that may keep it from being protected."""

    max_replication_slots: int
    used_slots: int
    max_wal_senders: int
    used_senders: int
    """Base backups and receivers at this moment, drd's own among them."""
    is_synced: bool
    """`fsync`."""
    writes_full_pages: bool
    """`full_page_writes`."""
    password_encryption: str
    """How a password that is set now is kept."""
    restore_command: str = ""
    summarizes_wal: bool | None = None
    """`summarize_wal`; None before PostgreSQL 17."""
    awaits_anybody: bool = False
    """Whether any standby of whatever name may confirm commits."""
    retry_seconds: float = 0.0
    """`wal_retrieve_retry_interval`."""
    receiver_seconds: float = 60.0
    """`wal_receiver_timeout`; 0: none."""
    logs_hints: bool = True
    """`wal_log_hints`, without which, and without checksums, nothing can be rewound."""


@dataclass(frozen=True, slots=True)
class Positions:
    """How far a server's WAL is, with its own clock read *before*: what was committed before `taken` lies before these.

    On a primary `written`, `flushed` and `inserted` are set, on a standby `received` and `replayed`. Of a standby the
    first sentence is not true: what the primary has committed may not have come there yet.
    """

    taken: datetime
    is_in_recovery: bool
    written: Lsn | None = None
    flushed: Lsn | None = None
    """Safe on the server's disk."""
    inserted: Lsn | None = None
    """The end of the last record, which may be in memory only, as a commit that waits for no disk."""
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

    @property
    def committed(self) -> Lsn:
        """All that a primary committed before `taken` lies before this, on its disk or not yet."""
        return self.newest if self.inserted is None else max(self.newest, self.inserted)


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
class Role:
    """Whom a server takes us for, and what it lets us do."""

    name: str
    is_superuser: bool
    may_replicate: bool
    may_create_roles: bool
    may_create_databases: bool
    bypasses_row_security: bool
    memberships: tuple[str, ...] = ()
    """The roles whose rights it has as well, directly or through others."""
