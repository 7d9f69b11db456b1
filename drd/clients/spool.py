"""The spool as folders: `POLICY/SYSTEM/received`, `groups/FIRST-SEGMENT` and `refused`.

A received file enters its group by a second name for it (a hard link), so that the program that writes it is not
disturbed, and what it writes into the newest one is in the group as well.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from drd.clients.durable import flush_folder
from drd.clients.pushing import Intake, forget_refused, history_in, offer, pushed
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.arriving import Arrivals
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.merging import Better, better
from drd.core.postgres.pages import LONG_BYTES, PAGE_BYTES, SHORT_BYTES, fault, page_header
from drd.core.postgres.spooling import PARTIAL, Found, GroupFolder, Move, Moves
from drd.core.postgres.wal import Segment, history_name, kind_of

MARKS = "drd-marks.json"
"""In a group's folder: what was committed when, and what the cluster is."""
CLUSTER = "cluster.json"
_FULL = (errno.ENOSPC, errno.EDQUOT)

Result = TypeVar("Result")


class FolderSpool:
    """One cluster's spool. The methods are the port's; see there."""

    def __init__(self, root: Path, system_identifier: str) -> None:
        self._root = root
        self._system_identifier = system_identifier
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
        return await self._do(lambda: self._carry_out(moves))

    async def holds(self, segment: Segment, group: str, lsn: Lsn) -> bool:
        """Whether the page before `lsn` is written."""
        return await self._do(lambda: self._holds(segment, group, lsn))

    async def note(self, group: str, marks: Sequence[Mark]) -> None:
        """Write down what a group is known of."""
        await self._do(lambda: self._note(group, marks))

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
        return await self._do(self._begin_anew)

    async def _do(self, work: Callable[[], Result]) -> Result:
        with _translated(self._root):
            return await self._off_the_loop(work)

    async def _off_the_loop(self, work: Callable[[], Result]) -> Result:
        return await asyncio.to_thread(work)

    def _look(self, segment_bytes: int) -> Found:
        groups = self._root / "groups"
        for folder in (self._root.parent.parent, self._root.parent, self._root, self.receiving, groups):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tell_cluster(segment_bytes)
        received = frozenset(path.name for path in self.receiving.iterdir() if kind_of(path.name) is not None)
        found = [_group(path, segment_bytes, self.receiving) for path in groups.iterdir()]
        return Found(received, tuple(sorted((each for each in found if each is not None), key=lambda each: each.first)))

    def _tell_cluster(self, segment_bytes: int) -> None:
        told = self._root / CLUSTER
        if not told.exists():
            _write(told, {"system_identifier": self._system_identifier, "segment_bytes": segment_bytes})

    def _carry_out(self, moves: Moves) -> tuple[str, ...]:
        refused: list[str] = []
        touched: set[Path] = set()
        for move in moves.entering:
            if sentence := self._refusal(move):
                refused.append(sentence)
                continue
            folder = self.folder(move.group)
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                touched.add(folder.parent)
            self._enter(move, folder)
            touched.add(folder)
        for folder in sorted(touched, reverse=True):
            flush_folder(folder)
        for name in moves.leaving:
            if sentence := self._contradiction(name):
                refused.append(sentence)
            (self.receiving / name).unlink(missing_ok=True)
        if moves.leaving:
            flush_folder(self.receiving)
        return tuple(refused)

    def _contradiction(self, name: str) -> str:
        """Have what was received stand in the group when another file took its place there and does not hold it all."""
        path = self.receiving / name
        for here in (self._root / "groups").glob(f"*/{name.removesuffix(PARTIAL)}"):
            segment = Segment.parse(here.name, here.stat().st_size)
            if segment is None or not path.exists() or here.samefile(path):
                continue
            kept = better(segment, here.read_bytes(), path.read_bytes())
            if kept is Better.FIRST:
                continue
            if name != segment.name:
                self._put_aside(path)
                return f"{name}, which was received, contradicts the whole segment, and is put aside"
            if kept is Better.NEITHER:
                self._put_aside(here, stays=True)
            self._enter(Move(name, here.parent.name, segment), here.parent)
            if kept is Better.NEITHER:
                return f"{name}, which archive_command brought, contradicts what was received, and is put aside"
        return ""

    def _enter(self, move: Move, folder: Path) -> None:
        made = self._root / f".{move.name}"
        made.unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # the newest one got its final name meanwhile
            os.link(self.receiving / move.name, made)
            made.replace(folder / move.name)
        made.unlink(missing_ok=True)  # a second name of the same file is no renaming
        if move.segment is not None:
            flush_folder(folder)
            (folder / (move.segment.name + PARTIAL)).unlink(missing_ok=True)

    def _refusal(self, move: Move) -> str:
        """What is wrong with a whole segment, which is then out of the way."""
        if move.segment is None:
            return ""
        path = self.receiving / move.name
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            wrong = fault(move.segment, self._system_identifier, file.read(LONG_BYTES))
        if size != move.segment.size:
            wrong = f"it has {size} bytes"
        if not wrong:
            return ""
        self._put_aside(path)
        return f"the WAL segment {move.name} was refused: {wrong}"

    def _put_aside(self, path: Path, *, stays: bool = False) -> None:
        aside = self._root / "refused"
        aside.mkdir(mode=0o700, exist_ok=True)
        if stays:  # until another file takes its place in one step
            (aside / path.name).unlink(missing_ok=True)
            os.link(path, aside / path.name)
        else:
            path.replace(aside / path.name)
        forget_refused(aside)
        flush_folder(aside)
        flush_folder(path.parent)

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

    def _holds(self, segment: Segment, group: str, lsn: Lsn) -> bool:
        if lsn == segment.start:
            return True
        at = (lsn.value - 1 - segment.start.value) // PAGE_BYTES * PAGE_BYTES
        for name in (segment.name, segment.name + PARTIAL):
            with suppress(FileNotFoundError), (self.folder(group) / name).open("rb") as file:
                file.seek(at)
                header = page_header(file.read(SHORT_BYTES))
                return header is not None and header.address == segment.start + at
        return False

    def _note(self, group: str, marks: Sequence[Mark]) -> None:
        first = marks[0].timeline if marks else 0
        document = {
            "format": 1,
            "system_identifier": self._system_identifier,
            "timeline": first,
            "marks": [[mark.moment.astimezone(UTC).isoformat(), str(mark.lsn)] for mark in marks],
        }
        _write(self.folder(group) / MARKS, document)

    def _begin_anew(self) -> tuple[str, ...]:
        groups = (path.name for folder in (self._root / "groups").iterdir() for path in folder.iterdir())
        entered, aside = set(groups), []
        for path in sorted(self.receiving.iterdir()):
            if path.name in entered or kind_of(path.name) is None:
                path.unlink()
            elif not path.name.endswith(".history"):
                self._put_aside(path)
                aside.append(path.name)
        flush_folder(self.receiving)
        return tuple(aside)


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
        found = []
        for path in sorted((self._root / policy).glob(f"*/{CLUSTER}")):
            try:
                told = json.loads(path.read_bytes())
                found.append((str(told["system_identifier"]), int(told["segment_bytes"])))
            except (ValueError, KeyError, TypeError) as error:
                raise PermanentError(
                    f"{path} is damaged", f"rm {path}: drd writes it again when it reaches the server"
                ) from error
        return tuple(found)

    def _disk(self) -> shutil._ntuple_diskusage:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._root)


def read_marks(content: bytes, timeline: int) -> tuple[Mark, ...]:
    """What `note` wrote into a group of that timeline. Raises ValueError when it is damaged."""
    try:
        told = json.loads(content)
        return tuple(Mark(datetime.fromisoformat(at), timeline, Lsn.parse(lsn)) for at, lsn in told["marks"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"the marks of a group of WAL are damaged: {error}") from error


def _group(folder: Path, segment_bytes: int, receiving: Path) -> GroupFolder | None:
    first = Segment.parse(folder.name, segment_bytes)
    if first is None:
        return None
    marks: tuple[Mark, ...] = ()
    with suppress(FileNotFoundError, ValueError):  # what is damaged is begun anew: stores have what it said before
        marks = read_marks((folder / MARKS).read_bytes(), first.timeline)
    with suppress(FileNotFoundError):  # the group leaves the spool at this moment
        names = frozenset(
            path.name
            for path in folder.iterdir()
            if kind_of(path.name) is not None and not _is_left_behind(path, receiving)
        )
        history = folder / history_name(first.timeline)
        if history.name not in names:
            return GroupFolder(first, names, marks)
        if content := history_in(history):
            return GroupFolder(first, names, marks, content)
        return GroupFolder(first, names - {history.name}, marks)  # a received one may take its place
    return None


def _is_left_behind(path: Path, receiving: Path) -> bool:
    """Whether a segment is received anew, after its slot was lost, and as far by now as the beginning that stands here.

    As long as it is not, what stands here is kept: a batch never holds less than the one before it.
    """
    if not path.name.endswith(PARTIAL):
        return False
    with suppress(FileNotFoundError):
        again = receiving / path.name
        here = path.stat()
        if not again.samefile(path):
            segment = Segment.parse(path.name, here.st_size)
            return segment is not None and better(segment, again.read_bytes(), path.read_bytes()) is Better.FIRST
    return False


def _write(path: Path, document: object) -> None:
    made = path.with_name(path.name + ".new")
    with made.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
    flush_folder(path.parent)


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
