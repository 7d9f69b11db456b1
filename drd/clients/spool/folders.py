"""The spool as folders: `POLICY/SYSTEM/received`, `groups/FIRST-SEGMENT` and `refused`."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from drd.clients.pushing import Intake, offer, pushed
from drd.clients.spool.entering import Entering
from drd.clients.spool.groups import group_in, holds
from drd.clients.spool.marks import CLUSTER, read_cluster, tell_cluster, write_marks
from drd.core.errors import DrdError, TransientError
from drd.core.postgres.arriving import Arrivals
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.spooling import Found, Moves
from drd.core.postgres.wal import Segment, kind_of
from drd.ports.cancelling import to_the_end

_FULL = (errno.ENOSPC, errno.EDQUOT)

Result = TypeVar("Result")


class FolderSpool:
    """One cluster's spool. The methods are the port's; see there."""

    def __init__(self, root: Path, system_identifier: str) -> None:
        self._root = root
        self._system_identifier = system_identifier
        self._entering = Entering(root, system_identifier)
        self._intake = Intake(root, system_identifier)

    @property
    def receiving(self) -> Path:
        """The folder that is received into."""
        return self._root / "received"

    def folder(self, group: str) -> Path:
        """The folder of a group."""
        return self._root / "groups" / group

    async def look(self, segment_bytes: int) -> Found:
        """What lies there."""
        return await self._do(lambda: self._look(segment_bytes))

    async def carry_out(self, moves: Moves) -> tuple[str, ...]:
        """Do what was decided."""
        return await self._do(lambda: self._entering.carry_out(moves))

    async def holds(self, segment: Segment, group: str, lsn: Lsn) -> bool:
        """Whether the page before `lsn` is written."""
        return await self._do(lambda: holds(self.folder(group), segment, lsn))

    async def note(self, group: str, marks: Sequence[Mark]) -> None:
        """Write down what a group is known of."""
        await self._do(lambda: write_marks(self.folder(group), self._system_identifier, marks))

    async def remove(self, group: str) -> None:
        """Let a group go."""
        await self._do(lambda: shutil.rmtree(self.folder(group), ignore_errors=True))

    async def offer(self, incoming: Path, segment_bytes: int) -> None:
        """Tell of which cluster pushed files have to be."""
        await self._do(lambda: offer(incoming, self._system_identifier, segment_bytes))

    async def pushed(self, incoming: Path) -> frozenset[str]:
        """The files that lie whole in a folder that is pushed into."""
        return await self._do(lambda: pushed(incoming))

    async def take_in(self, incoming: Path, arrivals: Arrivals) -> tuple[str, ...]:
        """Do what was decided with pushed files."""
        return await self._do(lambda: self._intake.take_in(incoming, arrivals))

    async def used_bytes(self) -> int:
        """How much of the disk its files take."""
        return await self._do(self._used)

    async def begin_anew(self) -> tuple[str, ...]:
        """Move aside what stands in no group."""
        return await self._do(self._entering.begin_anew)

    async def _do(self, work: Callable[[], Result]) -> Result:
        with _translated(self._root):
            return await self._off_the_loop(work)

    async def _off_the_loop(self, work: Callable[[], Result]) -> Result:
        # A thread goes on when its caller is cancelled, and nobody else may move files meanwhile.
        return await to_the_end(asyncio.to_thread(work))

    def _look(self, segment_bytes: int) -> Found:
        groups = self._root / "groups"
        for folder in (self._root.parent.parent, self._root.parent, self._root, self.receiving, groups):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tell_cluster(self._root, self._system_identifier, segment_bytes)
        received = frozenset(path.name for path in self.receiving.iterdir() if kind_of(path.name) is not None)
        found = [group_in(path, segment_bytes, self.receiving) for path in groups.iterdir()]
        return Found(received, tuple(sorted((each for each in found if each is not None), key=lambda each: each.first)))

    def _used(self) -> int:
        """Of files with several names each counts once, and what was refused not at all: strangers push that."""
        found: dict[int, int] = {}
        for folder, below, names in os.walk(self._root):
            if "refused" in below:
                below.remove("refused")
            for name in names:
                with suppress(FileNotFoundError):
                    status = (Path(folder) / name).stat()
                    found[status.st_ino] = status.st_blocks * 512
        return sum(found.values())


class FolderSpools:
    """All spools below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, policy: str, system_identifier: str) -> FolderSpool:
        """That of a policy's cluster."""
        return FolderSpool(self._root / policy / system_identifier, system_identifier)

    async def known(self, policy: str) -> tuple[tuple[str, int], ...]:
        """The clusters that a policy has WAL of here."""
        with _translated(self._root):
            return await asyncio.to_thread(self._known, policy)

    async def free_bytes(self) -> int:
        """How much room their disk has."""
        with _translated(self._root):
            return (await asyncio.to_thread(self._disk)).free

    async def total_bytes(self) -> int:
        """How large their disk is."""
        with _translated(self._root):
            return (await asyncio.to_thread(self._disk)).total

    def _known(self, policy: str) -> tuple[tuple[str, int], ...]:
        return tuple(map(read_cluster, sorted((self._root / policy).glob(f"*/{CLUSTER}"))))

    def _disk(self) -> shutil._ntuple_diskusage:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._root)


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except DrdError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            # As itself it would mean that the journal has no room.
            raise TransientError(f"the disk of the spool {root} is full", f"df -h {root}") from error
        raise TransientError(f"the spool {root} cannot be used: {error.strerror}", f"ls -ld {root}") from error
