"""A restic repository, as narrow views: what it holds, writing, upkeep, getting data back, repairs.

The words snapshot, forget, prune and check mean exactly what they mean to restic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from drd.core.policy import Keep
from drd.ports.repairing import Repairer

if TYPE_CHECKING:
    from drd.ports.store import ConfiguredStore  # store.py needs OnProgress from here


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot as the repository lists it."""

    id: str
    time: datetime
    paths: tuple[str, ...]
    host: str
    tags: tuple[str, ...]
    original: str | None = None
    """The id it had before it was copied or its tags were changed."""
    tree: str = ""
    total_bytes: int | None = None
    """What a restore of it writes, as it says itself: since restic 0.17, else None."""
    total_files: int | None = None

    def tag(self, name: str) -> str | None:
        """The value of the tag `name=value`, or None."""
        prefix = f"{name}="
        return next((tag[len(prefix) :] for tag in self.tags if tag.startswith(prefix)), None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come. A sample: never journaled. `total` is 0 while unknown."""

    done_bytes: int = 0
    total_bytes: int = 0
    done_files: int = 0
    total_files: int = 0
    errors: int = 0
    phase: str = ""


OnProgress = Callable[[Progress], None]


class SaveOutcome(StrEnum):
    """Whether a snapshot holds all that it was asked to hold."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot that was made."""

    snapshot_id: str
    outcome: SaveOutcome
    started: datetime
    """When reading began: the recovery point's moment."""
    seconds: float
    total_bytes: int
    total_files: int
    added_bytes: int
    """Bytes that the repository grew by, as stored where the version tells, else before compression."""
    new_bytes: int = 0
    """Bytes that the repository did not hold, before compression."""
    stored_bytes: int | None = None
    """What those came to when they were stored; None where restic does not tell (before 0.17)."""
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    unreadable: int = 0
    """How many items could not be read; their names are in the daemon's log, never in an event."""
    processor_seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FilesToSave:
    """Files for one snapshot; restic's own pattern language."""

    paths: tuple[Path, ...]
    excludes: tuple[str, ...] = ()
    exclude_if_present: tuple[str, ...] = ()
    exclude_caches: bool = True
    exclude_larger_than: int | None = None
    one_file_system: bool = True
    ignores_ctime: bool = False
    """Whether a file is not read again of which only names, modes or owners changed."""
    is_live: bool = False
    """Whether files come, change and go while they are read, as a running database's do.

    One below a path that is gone by the end was not missed. Every file is read, whatever its metadata says: what is
    written in the same moment as it is read may leave none.
    """


@dataclass(frozen=True, slots=True)
class StreamToSave:
    """A program whose standard output becomes one file of a snapshot."""

    argv: tuple[str, ...]
    filename: str
    environment: Mapping[str, str]
    user: str | None = None
    deadline: timedelta | None = None
    """The program is stopped when it has run this long; None: as long as the run may take."""
    working_directory: Path | None = None
    """Where the program starts; None: where the daemon stands."""


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """What one snapshot shall hold and be called."""

    content: FilesToSave | StreamToSave
    host: str
    tags: tuple[str, ...]
    reread_everything: bool
    """A full: every file is read again, whatever its metadata says."""
    deadline: timedelta
    stall: timedelta
    io_idle: bool = False
    processor_share: float = 1.0
    """The share of the machine's processors that may be used, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """What restic would keep and remove, with its reasons."""

    keep: tuple[Snapshot, ...]
    remove: tuple[Snapshot, ...]
    reasons: Mapping[str, tuple[str, ...]]
    """Snapshot id → why it is kept (`daily snapshot`, …)."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `errors` are restic's own sentences."""

    sound: bool
    errors: tuple[str, ...]
    broken_packs: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore wrote."""

    files: int
    bytes: int
    seconds: float
    verified_files: int
    """How many files were read back and compared with the snapshot's digests."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One item inside a snapshot."""

    path: str
    kind: str
    size: int
    modified: datetime | None


class Snapshots(Protocol):
    """What the repository holds."""

    async def identity(self, config: str = "") -> str:
        """The repository's id. Raises `RepositoryMissing`, `WrongPassword` or `StoreAway`.

        `config` is the digest of its config file, as `Look` tells it: of one that was read before, nobody is asked.
        """
        ...

    async def snapshots(self, tags: tuple[str, ...] = ()) -> tuple[Snapshot, ...]:
        """All snapshots that carry all of `tags`, oldest first."""
        ...


class Writer(Protocol):
    """Making snapshots."""

    async def save(self, request: SaveRequest, on_progress: OnProgress) -> Saved:
        """Make one snapshot.

        Raises `SourceRefused` when a producer died (no snapshot is left) and a `DrdError` when no snapshot was made.
        """
        ...

    async def save_bytes(self, content: bytes, filename: str, host: str, tags: tuple[str, ...]) -> str:
        """Store a small document as a snapshot of its own and return the snapshot's id."""
        ...

    async def copy_from(self, source: Writer, snapshot_ids: tuple[str, ...], on_progress: OnProgress) -> None:
        """Decrypt and re-encrypt snapshots out of another repository (`restic copy`)."""
        ...

    async def mark(self, snapshot_id: str, tag: str) -> str:
        """Add a tag and return the snapshot's new id."""
        ...


class Upkeep(Protocol):
    """Keeping a repository usable. Exclusive work clears stale locks first, and never live ones."""

    async def create(self, like: Upkeep | None = None) -> str:
        """Make the repository (with the chunker parameters of `like`) and return its id."""
        ...

    async def plan_forget(self, keep: Keep, tags: tuple[str, ...]) -> ForgetPlan:
        """What restic's own dry run would keep and remove among the snapshots with all of `tags`."""
        ...

    async def forget(self, snapshot_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Forget exactly these, list again, and return those that are really gone."""
        ...

    async def prune(self, max_repack_bytes: int | None) -> None:
        """Remove unreferenced data, repacking at most so many bytes."""
        ...

    async def check(self, read_subset: str | None = None) -> CheckReport:
        """Check the structure, and read the given share of the data (`n/t` or `x%`)."""
        ...

    async def unlock(self) -> None:
        """Remove stale locks only."""
        ...

    async def locks(self) -> tuple[str, ...]:
        """The ids of the locks that are there now."""
        ...


class Restorer(Protocol):
    """Getting data back."""

    async def restore(
        self,
        snapshot_id: str,
        target: Path,
        include: tuple[str, ...],
        on_progress: OnProgress,
        *,
        is_read_back: bool = True,
    ) -> Restored:
        """Write a snapshot (or the paths in `include`) below the empty folder `target`.

        All that is read from the store is compared with its digest. `is_read_back`: what landed is, too; False is for
        whoever does that afterwards.
        """
        ...

    async def entries(self, snapshot_id: str, path: str | None = None) -> tuple[Entry, ...]:
        """What a snapshot holds (below `path`)."""
        ...

    async def restored_bytes(self, snapshot_id: str) -> int:
        """How much a restore of a snapshot writes; its whole tree is read for that."""
        ...


class Repository(Snapshots, Writer, Upkeep, Restorer, Repairer, Protocol):
    """One restic repository with all views of it."""


class Repositories(Protocol):
    """Opens the repositories of configured stores."""

    async def open(self, store: ConfiguredStore) -> Repository:
        """A repository with its secrets read now; nothing is asked of the store yet."""
        ...
