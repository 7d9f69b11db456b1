"""Bringing the parts of one recovery point from one store to where a person wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from drd.core.catalogue import Copy, RecoveryPoint
from drd.core.errors import PermanentError, UsageError
from drd.core.tags import MINE
from drd.engines.landing import Landing
from drd.engines.progress import ProgressBoard
from drd.ports.cancelling import to_the_end
from drd.ports.clock import Clock
from drd.ports.host import Host
from drd.ports.repository import Progress, Repository, Restored, Snapshot

IsOver = Callable[[str], bool]
"""Whether the mark in a work folder's name is that of a restore that the journal knows, and that is over."""

BESIDE = "beside"
"""The target that means: next to each path of the source, under a name of its own."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants back."""

    policy: str
    at: datetime | None
    target: str
    include: tuple[str, ...] = ()
    store: str | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Landed:
    """Where data was brought back to."""

    point: RecoveryPoint
    store: str
    places: tuple[str, ...]
    parts: Mapping[str, Restored]
    """Snapshot id → what came of it."""
    seconds: float

    @property
    def files(self) -> int:
        """How many files landed, of all parts."""
        return sum(part.files for part in self.parts.values())

    @property
    def bytes(self) -> int:
        """How many bytes landed, of all parts."""
        return sum(part.bytes for part in self.parts.values())


@dataclass(frozen=True, slots=True)
class _Coming:
    """One part that is brought back: the copy as the journal knows it, and its snapshot as the store lists it."""

    copy: Copy
    snapshot: Snapshot


class Bringing:
    """Reads parts into landings, verified as they land."""

    def __init__(self, host: Host, board: ProgressBoard, clock: Clock) -> None:
        self._host = host
        self._board = board
        self._clock = clock

    async def look_at_target(self, run: str, wish: Wish, point: RecoveryPoint, is_over: IsOver) -> None:
        """What can be told before anything is read. Raises `UsageError` for a place that does not fit."""
        if wish.target == BESIDE:
            return
        target = Path(wish.target)
        if not target.is_absolute():
            raise UsageError("the place to restore to is not an absolute path", f"write --to {Path('/') / target}")
        landing = Landing(self._host, target, run)
        await landing.demand_empty(is_over)
        if not wish.include:
            await landing.demand_room(point.total_bytes)

    async def bring(
        self, run: str, wish: Wish, point: RecoveryPoint, store: str, repository: Repository, is_over: IsOver
    ) -> Landed:
        """Bring every part; none has its name before all were read back and compared."""
        started = self._clock.monotonic()
        parts = point.copies_in(store)
        listed = {each.id: each for each in await repository.snapshots((MINE, f"run={point.run}"))}
        coming = [_Coming(copy, _listed(listed, copy)) for copy in parts]
        landings = self._landings(run, wish, coming)
        if wish.target == BESIDE:
            for landing in landings:
                await landing.demand_empty(is_over)
        await self._demand_room(wish, point, repository, coming, landings)
        names: tuple[str, ...] = ()
        restored: dict[str, Restored] = {}
        try:
            for each, landing in zip(coming, landings, strict=True):
                restored[each.copy.snapshot_id] = await self._read(run, wish, repository, each, landing, len(parts))
            _demand_something(wish, restored)
            for landing, each in dict(zip(landings, coming, strict=True)).items():
                names += await landing.appear(each.snapshot, self._clock.now())
        except BaseException:
            await to_the_end(landings[0].withdraw(names))
            raise
        finally:
            await to_the_end(_sweep(landings))
        return Landed(point, store, names, restored, self._clock.monotonic() - started)

    def _landings(self, run: str, wish: Wish, coming: Sequence[_Coming]) -> list[Landing]:
        """Where each part lands: all at the one target, or each beside its own source."""
        if wish.target != BESIDE:
            return [Landing(self._host, Path(wish.target), run)] * len(coming)
        return [Landing(self._host, _beside(each.snapshot), run, beside=True) for each in coming]

    async def _demand_room(
        self,
        wish: Wish,
        point: RecoveryPoint,
        repository: Repository,
        coming: Sequence[_Coming],
        landings: Sequence[Landing],
    ) -> None:
        """Where that could not be told before: beside the sources, and of a point whose size the journal lacks."""
        if wish.include or (point.total_bytes and wish.target != BESIDE):
            return
        needed = point.total_bytes or sum([await _size_of(each.snapshot, repository) for each in coming])
        for landing in dict.fromkeys(landings):
            await landing.demand_room(needed)

    async def _read(
        self, run: str, wish: Wish, repository: Repository, coming: _Coming, landing: Landing, parts: int
    ) -> Restored:
        include = tuple(_inside(coming.snapshot, path) for path in wish.include)

        def post(progress: Progress) -> None:
            self._board.post(run, progress)

        await landing.begin()
        restored = await repository.restore(coming.snapshot.id, landing.read, include, post)
        if restored.files or not include:
            await landing.keep(coming.snapshot, coming.copy.part if parts > 1 else None)
        return restored


async def _sweep(landings: Sequence[Landing]) -> None:
    for landing in dict.fromkeys(landings):
        await landing.sweep()


def _demand_something(wish: Wish, restored: Mapping[str, Restored]) -> None:
    if wish.include and not any(part.files for part in restored.values()):
        raise UsageError(
            f"the recovery point holds nothing at {', '.join(wish.include)}",
            "write each path as it was backed up, whole or from the source on",
        )


async def _size_of(snapshot: Snapshot, repository: Repository) -> int:
    """How much a restore of a snapshot writes: as it says itself, or, before restic 0.17, as its tree says."""
    if snapshot.total_bytes is not None:
        return snapshot.total_bytes
    return await repository.restored_bytes(snapshot.id)


def _listed(snapshots: Mapping[str, Snapshot], copy: Copy) -> Snapshot:
    if copy.snapshot_id not in snapshots:
        raise PermanentError(
            f"store {copy.store} does not list snapshot {copy.snapshot_id[:8]} any more", "try another with --from"
        )
    return snapshots[copy.snapshot_id]


def _beside(snapshot: Snapshot) -> Path:
    """The path that a restore lands beside."""
    first = Path(snapshot.paths[0])
    if first.parent == Path("/"):
        raise UsageError(
            f"{first} lies in the root folder, or is a program's output: nothing is restored beside it",
            "name an empty or a new folder with --to",
        )
    return first


def _inside(snapshot: Snapshot, path: str) -> str:
    """A path as the snapshot names it; relative ones start at the source's only root."""
    if PurePosixPath(path).is_absolute():
        return path
    if len(snapshot.paths) != 1:
        raise UsageError(
            f"{path} could be below any of {', '.join(snapshot.paths)}", "write the whole path after --path"
        )
    return str(PurePosixPath(snapshot.paths[0]) / path)
