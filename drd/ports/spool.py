"""The spool: where received WAL lies, safe on this machine's disk, until every store that wants it has it.

Raises `TransientError` for what the file system refuses, a full disk among it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from drd.core.postgres.arriving import Arrivals
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.spooling import Found, Moves
from drd.core.postgres.wal import Segment


class Spool(Protocol):
    """The WAL of one cluster for one policy."""

    @property
    def receiving(self) -> Path:
        """The folder that is received into."""
        ...

    def folder(self, group: str) -> Path:
        """The folder of a group, of which a batch is made."""
        ...

    async def look(self, segment_bytes: int) -> Found:
        """What lies there; folders are made where they lack."""
        ...

    async def carry_out(self, moves: Moves) -> tuple[str, ...]:
        """Do what was decided, each step safe on the disk before the next.

        Whole segments that are not what their name says are moved aside; a sentence about each is returned.
        """
        ...

    async def holds(self, segment: Segment, group: str, lsn: Lsn) -> bool:
        """Whether the page before `lsn` is written in that segment, whole or not, of a group."""
        ...

    async def note(self, group: str, marks: Sequence[Mark]) -> None:
        """Write down what a group is known of; it goes with the group into the stores."""
        ...

    async def remove(self, group: str) -> None:
        """Let a group go."""
        ...

    async def offer(self, incoming: Path, segment_bytes: int) -> None:
        """Tell whoever pushes files into a folder of which cluster they have to be.

        Raises `PermanentError` when there is no such folder, or drd may not write there.
        """
        ...

    async def pushed(self, incoming: Path) -> frozenset[str]:
        """The files of WAL that lie whole in a folder that is pushed into."""
        ...

    async def take_in(self, incoming: Path, arrivals: Arrivals) -> tuple[str, ...]:
        """Do what was decided with pushed files; each leaves the folder when what it holds is safe here.

        Those that are another cluster's, damaged, or contradict what was received are moved aside; a sentence about
        each is returned.
        """
        ...

    async def used_bytes(self) -> int:
        """How much of the disk its files take."""
        ...

    async def begin_anew(self) -> tuple[str, ...]:
        """Move aside what was received and stands in no group, so that receiving begins where the slot does."""
        ...


class Spools(Protocol):
    """All spools."""

    def of(self, policy: str, system_identifier: str) -> Spool:
        """That of a policy's cluster: another cluster begins another one."""
        ...

    async def known(self, policy: str) -> tuple[tuple[str, int], ...]:
        """System identifiers and sizes of segments of the clusters that a policy has WAL of here."""
        ...

    async def free_bytes(self) -> int:
        """How much room their disk has."""
        ...

    async def total_bytes(self) -> int:
        """How large their disk is."""
        ...
