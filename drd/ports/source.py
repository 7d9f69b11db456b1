"""Things that are protected."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from drd.core.kinds import Spec
from drd.ports.repository import FilesToSave, StreamToSave
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


class Source(Spec):
    """One thing that is protected; a policy with several makes one recovery point of several parts."""

    @property
    def may_be_empty(self) -> bool:
        """Whether saving not a single file of it is a success."""
        return False

    @property
    def wal_origin(self) -> WalOrigin | None:
        """Where its write-ahead log is received from all the time; None when it is not."""
        return None

    def advice(self) -> tuple[str, ...]:
        """What works as it is written, and would work better otherwise; one sentence each, with what to write."""
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
