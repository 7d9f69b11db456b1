"""Things that are protected."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from drd.core.entropy import Samples
from drd.core.errors import UsageError
from drd.core.kinds import Spec
from drd.core.postgres.grants import Grants
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.postgres.verdicts import Verdict
from drd.ports.repository import FilesToSave, OnProgress, StreamToSave
from drd.ports.servers import DatabaseServers, Node
from drd.ports.wal import WalOrigin
from drd.ports.world import World


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source that was looked at and may be read now."""

    content: FilesToSave | StreamToSave
    note: str = ""
    """What a person should know about this run, as how many file systems were left out.

    It stands in the journal, so it names nothing inside the source.
    """
    moment: datetime | None = None
    """What it holds is of this moment; None: of when reading begins."""
    facts: tuple[str, ...] = ()
    """What a restore, or a catalogue that is rebuilt, has to know of it, `name=value` each and without a comma.

    They stand in the snapshot's tags and in the journal; names are those of no other tag (`drd.core.tags.OWN`).
    """
    is_incremental: bool = False
    """Whether it is whole only with what was saved before, so that its size tells nothing of the source's."""
    accompanying_bytes: int = 0
    """How much of it is none of the source, as the log of the minutes in which it was read: no part of its size."""
    completion: Callable[[], Awaitable[Prepared]] | None = None
    """Asked once `content` was saved, for what makes it whole and could not be known before.

    Then `content` is saved as a part of its own (`data_part`), and moment, facts and note are those of the completion.
    A restore lays it into the folder `DATA_FOLDER` of what the completion held, each file below its whole path. Raises
    a `DrdError` when what was read is worth nothing.
    """


DATA_FOLDER = "data"


def data_part(part: str) -> str:
    """What the data of a part is called that is saved before what makes it whole; no source can have this name."""
    return f"{part}.{DATA_FOLDER}"


KIND_FACT = "source="
"""Begins the fact that names the kind whose `settled` makes a restored part whole."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was saved before of a part that is incremental, and is needed to make it whole."""

    folder: Path
    """Where it was restored to, for this alone."""
    facts: tuple[str, ...]
    """What was said of it when it was saved."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part that a person wants back, by what is known before anything is read."""

    policy: str
    facts: tuple[str, ...]
    """What was said of it when it was saved."""
    place: Path
    """Where it will lie."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the person said about it beside, by the names that the kind knows."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """What its source says of it today, by those names: where to look first, and no error where it does not fit."""
    recovery: RecoveryPlan | None = None
    """The moment to which write-ahead log is to be replayed onto it; None: it stays of its own moment."""
    wal: Path | None = None
    """A folder with that log; set when it was fetched."""
    earlier: tuple[Earlier, ...] = ()
    """What it follows, oldest first, where it is incremental; set when it was restored."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that a person wanted to know of a restored part."""

    words: str
    """What was asked, as it was typed."""
    is_passed: bool
    said: str
    """What it answered."""

    def __str__(self) -> str:
        return f"check {'passed' if self.is_passed else 'FAILED'}: {self.words} → {self.said}"


@dataclass(frozen=True, slots=True)
class Settled:
    """A restored part that is whole, and what takes which place."""

    folder: str
    """Below the folder that was restored: what takes the part's place. `.` is that folder itself."""
    others: Mapping[str, Path] = field(default_factory=dict)
    """Below the folder that was restored → where else that is to lie."""
    placed: tuple[Path, ...] = ()
    """What lies where it belongs already, and is taken away when the restore fails."""
    notes: tuple[str, ...] = ()
    """What a person should know of it; a few words each."""
    following: tuple[str, ...] = ()
    """What to type next."""
    checks: tuple[Check, ...] = ()
    heartbeat: datetime | None = None
    """What it says itself of its moment: all that was committed before this is in it; None: it does not tell."""


class Source(Spec):
    """One thing that is protected; a policy with several makes one recovery point of several parts."""

    ADDRESS: ClassVar[str | None] = None
    """For kinds that can find their server among the policy's nodes: the key that says where the only one is."""

    @property
    def may_be_empty(self) -> bool:
        """Whether saving not a single file of it is a success."""
        return False

    @property
    def wal_origin(self) -> WalOrigin | None:
        """Where its write-ahead log is received from all the time; None when it is not."""
        return None

    @property
    def servers(self) -> DatabaseServers | None:
        """The servers of the database that it is; None when it is none."""
        return None

    def among(self, nodes: tuple[Node, ...]) -> Source:
        """The same, with the nodes of its policy to find its server among."""
        return self

    def following(self, earlier: tuple[tuple[str, ...], ...]) -> Source:
        """The same, for an incremental run: it may save what changed since one of these points alone.

        `earlier` are the facts of its good points that are whole in the store that is written to, newest first.
        """
        return self

    async def sampled(self, world: World, draw: str) -> Samples:
        """What some blocks of it look like, drawn by `draw`; none where that says nothing. Never raises."""
        return Samples()

    def advice(self) -> tuple[str, ...]:
        """What works as it is written, and would work better otherwise; one sentence each, with what to write."""
        return ()

    @classmethod
    async def look_at_place(cls, world: World, wanted: Wanted) -> None:  # noqa: ARG003 - for kinds that override it
        """Raise `UsageError` for a place or an option that does not fit, before anything is read."""
        if wanted.options:
            names = ", ".join(sorted(wanted.options))
            raise UsageError(f"{cls.kind} knows nothing of {names}", "leave it out")

    @classmethod
    async def reads_back(cls, world: World, wanted: Wanted) -> bool:  # noqa: ARG003 - for kinds that override it
        """Whether `settled` compares each file on the disk with what was saved, so that nobody else has to."""
        return False

    @classmethod
    async def settled(cls, world: World, wanted: Wanted, folder: Path, on_progress: OnProgress) -> Settled:  # noqa: ARG003
        """Make what was restored into `folder` a thing that can be used from `wanted.place`; see that it is whole.

        It is renamed after this. Raises a `DrdError` when it is not whole: then nothing is brought back.
        """
        return Settled(".")

    async def verdicts(self, world: World, policy: str) -> tuple[Verdict, ...]:
        """What is risky about what it reads, and what else `look` would say, seen from here; never raises for that."""
        return ()

    @property
    def restore_hints(self) -> Mapping[str, str]:
        """What helps to bring back what it saved, by the names of `Wanted.options`."""
        return {}

    async def grants(self, world: World, address: str | None, *, recovers: bool = False) -> tuple[Grants, ...]:
        """The rights that it needs where its data is, and nothing more; `address` is where drd connects from."""
        return ()

    async def look(self, world: World) -> None:
        """Raise what `opened` would raise, as far as it can be told without much work; changes nothing."""
        async with self.opened(world):
            pass

    @abstractmethod
    def opened(self, world: World) -> AbstractAsyncContextManager[Prepared]:
        """Make the source ready to be read, and put things right afterwards.

        Entering raises `SourceRefused` when it is missing, empty, unreadable or not mounted.
        """
