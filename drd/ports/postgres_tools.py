"""PostgreSQL's own programs: base backups, receiving WAL, and looking at what they left.

All that reach a server raise as `drd.ports.postgres` says, and `StateFull` when the disk they write to is full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from drd.core.postgres.lsn import Lsn
from drd.ports.postgres import Tablespace


class WalWith(StrEnum):
    """Which WAL a base backup brings along."""

    NONE = "none"
    """Only an archive makes it consistent."""
    STREAM = "stream"
    """All that it needs, received beside it: it can be restored by itself."""


@dataclass(frozen=True, slots=True)
class BaseRequest:
    """A base backup to take."""

    dsn: bytes = field(repr=False)
    folder: Path
    """Where the data directory is to stand; it must not exist. Tablespaces go beside it, in `FOLDER.tablespaces`."""
    wal: WalWith
    label: str
    tablespaces: tuple[Tablespace, ...] = ()
    """All that lie outside the server's data directory."""
    since: Path | None = None
    """The manifest of an earlier one of the same cluster: only what changed since then is read (17 and later)."""
    is_hurried: bool = True
    """Whether the server makes its checkpoint at once, instead of spread over minutes."""
    bytes_a_second: int | None = None
    is_synced: bool = True
    """Whether it is on the disk when the call returns; a copy that is only read from again need not be."""
    deadline: timedelta = timedelta(hours=24)
    stall: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class BaseProgress:
    """How far a base backup is; `total_bytes` is an estimate of the server's, 0 while it makes its checkpoint."""

    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Base:
    """A base backup that is whole. Recovery from it has to reach `end`, or what it holds is not consistent."""

    folder: Path
    tablespaces: Mapping[int, Path]
    """By OID, where they lie now."""
    manifest: Path
    system_identifier: str
    timeline: int
    start: Lsn
    end: Lsn
    total_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReceiveRequest:
    """WAL to receive into a folder, from where its newest file ends, or else from where the slot begins.

    The program does not look whose WAL lies there: compare the system identifier first. Servers before 15 begin with
    what they write just now when the folder is empty.
    """

    dsn: bytes = field(repr=False)
    folder: Path
    slot: str
    until: Lsn | None = None
    """Where to end; None: never."""


class WalStep(StrEnum):
    """What happened while WAL was received."""

    STREAMING = "streaming"
    """It begins to receive at a position."""
    FINISHED = "finished"
    """A segment is whole and has its name."""
    SWITCHED = "switched"
    """The server went over to another timeline."""


@dataclass(frozen=True, slots=True)
class WalNews:
    """Told while WAL is received."""

    step: WalStep
    lsn: Lsn
    timeline: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What `pg_verifybackup` found; no problems means sound. WAL and added files outside the manifest do not count."""

    problems: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether every file is as the manifest says."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class ControlData:
    """A data directory by its control file."""

    system_identifier: str
    state: str
    """In PostgreSQL's words, as `in production` or `shut down`."""
    timeline: int
    checkpoint: Lsn
    redo: Lsn
    """Where recovery begins."""
    minimum_recovery_end: Lsn
    segment_bytes: int
    has_checksums: bool
    settings: Mapping[str, int] = field(default_factory=dict)
    """What a server that recovers from it has to be set to at least, by the names of the settings."""


@dataclass(frozen=True, slots=True)
class CombineRequest:
    """Base backups to make one of, which is as a full at the moment of the last."""

    folders: tuple[Path, ...]
    """The data directories: a full, and the incremental ones that follow it, oldest first.

    What they hold may become part of what is made: they are to be removed afterwards, and not to be changed.
    """
    folder: Path
    """Where the data directory is to stand, on the same file system; it must not exist."""
    tablespaces: Mapping[Path, Path] = field(default_factory=dict)
    """Where those of the last lie → where they are to lie."""
    deadline: timedelta = timedelta(hours=24)


OnBaseProgress = Callable[[BaseProgress], None]
OnWalNews = Callable[[WalNews], None]


class PostgresTools(Protocol):
    """The programs of one major version."""

    @property
    def major(self) -> int:
        """The version of server that they belong to."""
        ...

    async def base_backup(self, request: BaseRequest, on_progress: OnBaseProgress) -> Base:
        """Take a base backup. Whatever goes wrong, also cancelling, nothing is left at `folder`.

        Raises `NoIncrement` when only a full one is possible.
        """
        ...

    async def receive_wal(self, request: ReceiveRequest, on_news: OnWalNews) -> None:
        """Receive WAL, each record flushed before the server hears of it, until `until`, cancelling or a failure.

        A connection that was lost is a failure: `ServerAway`. Calling again goes on without a gap. Raises `SlotMissing`
        and `WalGone` when going on is impossible.
        """
        ...

    async def verify(self, folder: Path, wal: Path | None = None) -> Verification:
        """Compare a base backup with its manifest; `wal` names the folder with its WAL, to be read as well."""
        ...

    async def combine(self, request: CombineRequest) -> None:
        """Make one base backup of several (17 and later).

        That they follow one another is looked at, and nothing else: verify each of them before. Raises
        `PermanentError` when they do not.
        """
        ...

    async def control_data(self, folder: Path) -> ControlData:
        """What a data directory's control file says. Raises `PermanentError` when it is no data directory."""
        ...
