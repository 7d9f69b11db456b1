"""Bringing data back: whole or a path, to an empty place or beside the source, verified as it lands.

A restore is written below a name that says what it is (`….drd-restoring`) and takes its final name only when every file
was read back and compared: nothing half-restored ever looks whole.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from drd.core.catalogue import RecoveryPoint, newest_good
from drd.core.errors import DrdError, PermanentError, StoreAway, UsageError
from drd.core.events import RestoreFinished, RestoreStarted
from drd.core.policy import Outcome
from drd.core.units import format_size
from drd.engines.progress import ProgressBoard
from drd.engines.stores import Stores
from drd.engines.turns import JobClass, Turns
from drd.ports.host import Host
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Progress, Repository, Restored, Snapshot
from drd.ports.world import World

BESIDE = "beside"
"""The target that means: next to each path of the source, under a name of its own."""
SUFFIX = ".drd-restoring"


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
    files: int
    bytes: int
    seconds: float


class Restore:
    """Carries out restores."""

    def __init__(
        self,
        stores: Stores,
        turns: Turns,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        host: Host,
        board: ProgressBoard,
    ) -> None:
        self._stores = stores
        self._turns = turns
        self._journal = journal
        self._catalogue = catalogue
        self._world = world
        self._host = host
        self._board = board
        self._under_way: set[asyncio.Task[Landed]] = set()

    def start(self, run: str, wish: Wish) -> asyncio.Task[Landed]:
        """Begin a restore in a task that this engine owns: whoever asked may go away."""
        task = asyncio.create_task(self.restore(run, wish), name=f"restore {wish.policy}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def finished(self, patience_seconds: float) -> None:
        """Return when no restore is under way any more, or the patience is over."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_seconds)

    async def cancel(self) -> None:
        """Stop every restore and wait until its end is journaled and what it wrote is gone."""
        tasks = tuple(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def choose(self, wish: Wish) -> RecoveryPoint:
        """The point that is meant: the newest good one not after the moment. Raises `UsageError` that names the range."""
        points = await self._catalogue.points(wish.policy)
        point = newest_good(points, wish.at, wish.store)
        if point is not None:
            return point
        oldest = min((each.moment for each in points if each.is_good), default=None)
        if oldest is None:
            raise UsageError(f"there is no good recovery point of {wish.policy}", f"type: drd points {wish.policy}")
        where = f" in store {wish.store}" if wish.store else ""
        raise UsageError(
            f"no recovery point of {wish.policy}{where} is as old as that; the oldest good one is from {oldest:%F %T %Z}",
            f"type: drd points {wish.policy}",
        )

    async def restore(self, run: str, wish: Wish) -> Landed:
        """Restore and verify; every end is journaled. Raises a `DrdError` when nothing was brought back."""
        point = await self.choose(wish)
        store, repository = await self._nearest(point, wish.store)
        await self._check_target(wish, point)
        copies = [copy for copy in point.copies if copy.store == store]
        snapshot_id = copies[0].snapshot_id
        await self._journal.append(RestoreStarted(wish.policy, point.run, store, snapshot_id, wish.by), run=run)
        started = self._world.clock.monotonic()
        finished = RestoreFinished(
            wish.policy, point.run, store, Outcome.CANCELLED, "the restore was cancelled", "start it again", 0.0, 0, 0, False
        )  # fmt: skip
        try:
            with self._board.lane(run):
                at_once = self._stores.configured(store).limits.at_once
                async with self._turns.take(store, JobClass.RESTORE, at_once):
                    landed = await self._bring(run, wish, point, store, repository)
            finished = RestoreFinished(
                wish.policy, point.run, store, Outcome.SUCCEEDED, "", "", landed.seconds, landed.bytes, landed.files,
                whole=not wish.include, snapshot_id=snapshot_id,
            )  # fmt: skip
            return landed
        except DrdError as error:
            seconds = self._world.clock.monotonic() - started
            finished = RestoreFinished(
                wish.policy, point.run, store, Outcome.FAILED, error.message, error.hint, seconds, 0, 0, False, snapshot_id
            )  # fmt: skip
            raise
        finally:
            await asyncio.shield(self._journal.append(finished, run=run))

    async def _nearest(self, point: RecoveryPoint, wanted: str | None) -> tuple[str, Repository]:
        """The closest store that answers and has the point; a person may name another."""
        away: list[str] = []
        names = (wanted,) if wanted else point.stores
        for name in sorted(names, key=lambda each: self._stores.configured(each).distance_metres):
            try:
                return name, await self._stores.open(name)
            except StoreAway as error:
                away.append(error.message)
        raise StoreAway("no store that holds the point answers: " + "; ".join(away), "type: drd status")

    async def _check_target(self, wish: Wish, point: RecoveryPoint) -> None:
        if wish.target == BESIDE:
            return
        target = Path(wish.target)
        if not target.is_absolute():
            raise UsageError("the place to restore to is not an absolute path", f"write --to {Path('/') / target}")
        await asyncio.to_thread(_demand_empty, target)
        free = await self._host.free_bytes(_existing(target))
        if not wish.include and free < point.total_bytes:
            raise UsageError(
                f"{format_size(point.total_bytes)} do not fit into {format_size(free)} that are free there",
                "name a larger place with --to, or a part with --path",
            )

    async def _bring(self, run: str, wish: Wish, point: RecoveryPoint, store: str, repository: Repository) -> Landed:
        started = self._world.clock.monotonic()
        parts = [copy for copy in point.copies if copy.store == store]
        snapshots = {each.id: each for each in await repository.snapshots(("drd", f"run={point.run}"))}
        places: list[str] = []
        restored: list[Restored] = []
        for copy in parts:
            snapshot = snapshots.get(copy.snapshot_id)
            if snapshot is None:
                raise PermanentError(
                    f"store {store} does not list snapshot {copy.snapshot_id[:8]} any more", "try another with --from"
                )
            place = _place_of(wish.target, copy.part, len(parts), snapshot)
            result, landed = await self._bring_part(run, wish, repository, snapshot, place)
            restored.append(result)
            places += landed
        seconds = self._world.clock.monotonic() - started
        files, size = sum(each.files for each in restored), sum(each.bytes for each in restored)
        return Landed(point, store, tuple(places), files, size, seconds)

    async def _bring_part(
        self, run: str, wish: Wish, repository: Repository, snapshot: Snapshot, place: Path
    ) -> tuple[Restored, list[str]]:
        partial = _partial(place, run)
        include = tuple(_inside(snapshot, path) for path in wish.include)

        def post(progress: Progress) -> None:
            self._board.post(run, progress)

        try:
            await asyncio.to_thread(partial.mkdir, parents=True, mode=0o700)
            restored = await repository.restore(snapshot.id, partial, include, post)
            if include and restored.files == 0:
                raise UsageError(
                    f"the recovery point holds nothing at {', '.join(wish.include)}",
                    f"type: drd points {wish.policy} --files",
                )
            beside = wish.target == BESIDE
            places = await asyncio.to_thread(_settle, partial, place, snapshot, beside, self._world.clock.now())
        except OSError as error:
            raise PermanentError(
                f"could not write to {place}: {error.strerror}", "choose another place with --to"
            ) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        return restored, places


def _demand_empty(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file", "name an empty or a new folder with --to")
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty", "name an empty or a new folder with --to, or write --to beside")
    existing = _existing(target)
    if not os.access(existing, os.W_OK):
        raise UsageError(f"{existing} cannot be written to by this user", "choose another place with --to")


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def _place_of(target: str, part: str, parts: int, snapshot: Snapshot) -> Path:
    if target == BESIDE:
        return Path(snapshot.paths[0])
    return Path(target) if parts == 1 else Path(target) / part


def _partial(place: Path, run: str) -> Path:
    """Where a restore lands first: on the file system that it is meant for, which may be mounted at the place itself."""
    name = f"{place.name}.{run[-6:].lower()}{SUFFIX}"
    return place / name if place.is_dir() and not any(place.iterdir()) else place.parent / name


def _inside(snapshot: Snapshot, path: str) -> str:
    """A path as the snapshot names it; relative ones start at the source's only root."""
    if PurePosixPath(path).is_absolute():
        return path
    if len(snapshot.paths) != 1:
        raise UsageError(
            f"{path} could be below any of {', '.join(snapshot.paths)}", "write the whole path after --path"
        )
    return str(PurePosixPath(snapshot.paths[0]) / path)


def _settle(partial: Path, place: Path, snapshot: Snapshot, beside: bool, now: datetime) -> list[str]:
    """Give what landed its final name. A single folder becomes the target itself; several keep their paths below it."""
    roots = [partial / path.lstrip("/") for path in snapshot.paths]
    if beside:
        places: list[str] = []
        for root, path in zip(roots, snapshot.paths, strict=True):
            if root.exists():
                final = Path(f"{path}.restored-{now:%Y%m%dT%H%M%SZ}")
                shutil.move(root, final)
                places.append(str(final))
        return places
    source = roots[0] if len(roots) == 1 and roots[0].is_dir() else partial
    if len(roots) == 1 and roots[0].is_file():
        source = roots[0].parent
    if partial.parent == place:
        for child in list(source.iterdir()):
            os.rename(child, place / child.name)
    else:
        os.rename(source, place)
    return [str(place)]
