"""Places that hold restic repositories."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from drd.core.kinds import Spec
from drd.core.secrets import SecretReference
from drd.ports.look import Look
from drd.ports.protection import Extended, Protection
from drd.ports.repository import OnProgress
from drd.ports.world import World


@dataclass(frozen=True, slots=True)
class Location:
    """Where a repository lives, as restic reaches it.

    `{name}` in an environment value is replaced by the path of a descriptor from which the secret `name` can be read.
    """

    url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    options: tuple[str, ...] = ()
    """restic's `-o` options."""
    url_is_secret: bool = False
    """Whether the URL holds a password, so that it is handed over by descriptor."""


@dataclass(frozen=True, slots=True)
class Backend:
    """How the carrier reaches a repository's files, as a plain document that is handed to a child over a descriptor.

    `scheme` is local, s3, sftp or rest; `settings` may hold secrets and is never shown.
    """

    scheme: str
    settings: Mapping[str, str] = field(repr=False)


class Store(Spec):
    """A place for one repository."""

    keeps_by: ClassVar[Literal["nothing", "lock", "appending"]] = "nothing"
    """What of such a place can keep its contents from somebody who holds its credentials."""

    @abstractmethod
    async def location(self, world: World) -> Location:
        """How restic reaches it, with secrets read now."""

    @abstractmethod
    async def backend(self, world: World) -> Backend:
        """How the carrier reaches its files, with secrets read now."""

    @abstractmethod
    async def look(self, world: World) -> Look:
        """Credentials, bucket, free space, versioning and object lock; never raises for what it finds."""

    def deleting(self) -> Store:
        """The same place by the credentials that may delete there; itself where there are no others."""
        return self

    @abstractmethod
    def beside(self, word: str) -> Store:
        """A place for another repository, reached in the same way, whose name has `word` behind this one's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard a store may be worked."""

    upload: int | None = None
    """Bytes a second."""
    download: int | None = None
    at_once: int = 2
    """Jobs in this store at the same time."""
    memory: int | None = None
    """Bytes that each of them tries to stay below."""

    def rate_into(self, target: Limits) -> int | None:
        """How many bytes a second may go from a store with these limits into one with others; None for no limit."""
        return min((rate for rate in (self.download, target.upload) if rate is not None), default=None)


@dataclass(frozen=True, slots=True)
class ConfiguredStore:
    """A store of drd.yaml."""

    name: str
    place: Store
    site: str
    distance_metres: float
    """Along the great circle from this daemon's site."""
    password: SecretReference
    immutable_days: int | None
    limits: Limits
    independent: bool
    cache: Path

    def broken_promise(self, look: Look) -> str:
        """What was declared of the store and does not hold, seen from here; empty when all does."""
        if self.immutable_days is None or self.place.keeps_by == "appending":
            return ""
        if self.place.keeps_by == "nothing":
            kind = self.place.kind
            return (
                f"is declared immutable for {self.immutable_days} days, but a {kind} store keeps nobody from deleting"
            )
        if (look.object_lock_days or 0) >= self.immutable_days:
            return ""
        held = f"locks for {look.object_lock_days} days" if look.object_lock_days else "has no object lock by default"
        return f"is declared immutable for {self.immutable_days} days, but the bucket {held}"


@dataclass(frozen=True, slots=True)
class Carried:
    """What one round of carrying files did."""

    complete: bool
    files: int
    bytes: int
    seconds: float
    snapshot_ids: tuple[str, ...]
    """Snapshots that stand whole at the other end: every listed file is there with its size and was hashed."""
    refused: tuple[str, ...] = ()
    """Files whose content does not match their name; one of them withholds every index and snapshot."""
    message: str = ""
    processor_seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Uncovered:
    """What came back of files that were deleted or overwritten where versions are kept."""

    paths: tuple[str, ...]
    """What is there again."""
    left: Mapping[str, str]
    """What is not, and why."""


class Carrier(Protocol):
    """Carries a repository's files from one store to another as they are."""

    async def carry(
        self,
        origin: Backend,
        target: Backend,
        upload: int | None,
        on_progress: OnProgress,
        withheld: frozenset[str] = frozenset(),
    ) -> Carried:
        """Bring every file of `origin` that `target` lacks, verified by its name; nothing is ever deleted there.

        The snapshots in `withheld` are left out: the target has forgotten them, or holds them under other ids.
        Lists snapshots, then index, then data; sends config, data, index, snapshots. `upload` is in bytes a second.
        Raises `StoreAway` when either end does not answer and `PermanentError` when `target` is another repository.
        """
        ...

    async def send_ahead(self, origin: Backend, target: Backend, upload: int | None, on_progress: OnProgress) -> None:
        """Bring packs of `origin` that `target` lacks as soon as they are there, until cancelled.

        What is under way then goes on for at most five seconds. Nothing is claimed: a round has to come behind, and
        must not run at the same time. Raises what `carry` raises.
        """
        ...

    async def examine(self, target: Backend, suspects: tuple[str, ...], on_progress: OnProgress) -> Mapping[str, str]:
        """The files of a repository that do not hash to their names, by their path in it (`data/ab/ab12…`) → why.

        Only `suspects` are read: files by their path, of which those that are not there are told too, or folders
        (`keys`, `snapshots`, `index`, `data`) for all that is in them. Raises `StoreAway`.
        """
        ...

    async def mend(
        self,
        origin: Backend,
        target: Backend,
        paths: tuple[str, ...],
        upload: int | None,
        on_progress: OnProgress,
        aside: Path | None = None,
    ) -> Mapping[str, str]:
        """Replace files of `target` (as `data/ab/ab12…`) by those of `origin`, each verified by its name first.

        The config is replaced unverified, having no such name: `origin` has to be known for the same repository. Heals
        a mirror from its first store and the first store from its mirror. What was there is saved below the
        folder `aside` of this machine. Returns the files that could not be mended, with the reason. Raises what
        `carry` raises, and `PermanentError` where a store only appends.
        """
        ...

    async def put_aside(self, target: Backend, paths: tuple[str, ...], aside: Path) -> Mapping[str, str]:
        """Save damaged files below `aside` as they are; returns those that are not there."""
        ...

    async def remove(self, target: Backend, paths: tuple[str, ...], aside: Path) -> Mapping[str, str]:
        """Take damaged files away after saving them below `aside`; returns those that are good and stay."""
        ...

    async def uncover(
        self,
        target: Backend,
        paths: tuple[str, ...],
        since: datetime | None,
        aside: Path | None = None,
        *,
        only_look: bool = False,
    ) -> Uncovered:
        """Bring back `paths`, and all packs and indexes that were deleted after `since`, where a store keeps versions.

        Among `paths` the folder `keys` stands for all that were deleted there after `since`. The last work of drd's
        own that deletes has to be over by `since`; what lies in the folder `aside` comes back only when it is good.
        With `only_look` nothing changes. Raises what `examine` raises.
        """
        ...

    async def key_files(self, backend: Backend) -> tuple[str, ...]:
        """The names of the keys that the repository has; empty where there is none."""
        ...

    async def clear_unfinished(self, target: Backend) -> None:
        """Make a place empty that holds nothing but keys of a repository whose creation was ended in its middle.

        One that has a config, or gets one within seconds, is left alone. Raises `StoreAway`, and `PermanentError` for a
        place that holds anything else, or that lets nothing be removed.
        """
        ...

    async def probe(self, backend: Backend, days: int) -> Protection:
        """Try to delete what the store shall keep for so many days, and read who else could.

        What is tried is a small object of drd's own, or a file that nobody wrote. Raises `StoreAway` and
        `PermanentError` where nothing can be told.
        """
        ...

    async def extend(self, backend: Backend, days: int, now: datetime) -> Extended:
        """Lock all that a snapshot needs for so many days from now, where its lock ends much sooner; never locks."""
        ...

    async def adopt(self, origin: Backend, target: Backend, origin_password: bytes, target_password: bytes) -> None:
        """Make `target` a mirror of `origin`: the same config, and a key of its own for `target_password`."""
        ...
