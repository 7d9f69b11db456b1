"""Bringing data back: whole or a path, to an empty place or beside the source, verified as it lands.

A restore is written below a name that says what it is (`….drd-restoring`) and takes its final name only when every file
was read back and compared: nothing half-restored ever looks whole.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from drd.core.catalogue import Copy, RecoveryPoint, newest_good
from drd.core.errors import DrdError, PermanentError, StoreAway, UsageError
from drd.core.events import RestoreFinished, RestoreStarted
from drd.core.policy import Outcome
from drd.core.units import format_size
from drd.engines.doubting import unless_away
from drd.engines.endings import Ends, to_the_end
from drd.engines.private_tmp import demand_visible
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
        self.ends = Ends(journal)

    def start(self, run: str, wish: Wish) -> asyncio.Task[Landed]:
        """Begin a restore in a task that this engine owns: whoever asked may go away."""
        task = asyncio.create_task(self.restore(run, wish), name=f"restore {wish.policy}")
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Landed]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # its end is journaled; asyncio need not complain when nobody waited for it

    async def finished(self, patience_seconds: float) -> None:
        """Return when no restore is under way any more, or the patience is over."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_seconds)

    async def cancel(self) -> None:
        """Stop every restore and wait until its end is journaled and what it wrote is gone."""
        tasks = tuple(self._under_way)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def choose(self, wish: Wish) -> RecoveryPoint:
        """The point that is meant: the newest good one not after the moment. Raises `UsageError` with the range."""
        if wish.store is not None:
            self._stores.configured(wish.store)
        points = await self._catalogue.points(wish.policy)
        point = newest_good(points, wish.at, wish.store)
        if point is not None:
            return point
        oldest = min((each.moment for each in points if each.is_good), default=None)
        if oldest is None:
            raise UsageError(f"there is no good recovery point of {wish.policy}", f"type: drd points {wish.policy}")
        where = f" in store {wish.store}" if wish.store else ""
        raise UsageError(
            f"no recovery point of {wish.policy}{where} is as old as that; "
            f"the oldest good one is from {oldest:%F %T %Z}",
            f"type: drd points {wish.policy}",
        )

    async def restore(self, run: str, wish: Wish) -> Landed:
        """Restore and verify; every end is journaled. Raises a `DrdError` when nothing was brought back.

        A full state disk keeps nobody from their data: what cannot be journaled now is journaled later. A store that
        goes away in the middle gives way to the next one that holds the point.
        """
        point = await self.choose(wish)
        await self._check_target(wish, point)
        away: list[str] = []
        for store in self._nearest_first(point, wish.store):
            try:
                repository = await self._stores.open(store)
                return await self._attempt(run, wish, point, store, repository)
            except StoreAway as error:
                away.append(error.message)
                await self._stores.is_away(store)
        raise StoreAway("no store that holds the point answers: " + "; ".join(away), "type: drd status")

    async def _attempt(self, run: str, wish: Wish, point: RecoveryPoint, store: str, repository: Repository) -> Landed:
        copies = point.copies_in(store)
        begun = RestoreStarted(wish.policy, point.run, store, copies[0].snapshot_id, wish.by)
        await self.ends.record(begun, run)
        clock = self._world.clock
        started = clock.monotonic()
        outcome, message, hint = (
            Outcome.FAILED,
            "a mistake in drd ended the restore",
            f"type: drd journal show --run {run}",
        )
        landed: Landed | None = None
        try:
            with self._board.lane(run):
                at_once = self._stores.configured(store).limits.at_once
                async with self._turns.take(store, JobClass.RESTORE, at_once):
                    bringing = self._bring(run, wish, point, store, repository)
                    landed = await unless_away(bringing, store, self._stores, lambda: self._board.latest(run))
            outcome, message, hint = Outcome.SUCCEEDED, "", ""
        except DrdError as error:
            message, hint = error.message, error.hint
            raise
        except asyncio.CancelledError:
            outcome, message, hint = Outcome.CANCELLED, "the restore was cancelled", "start it again"
            raise
        finally:
            finished = RestoreFinished(
                wish.policy,
                point.run,
                store,
                outcome,
                message,
                hint,
                clock.monotonic() - started,
                landed.bytes if landed is not None else 0,
                landed.files if landed is not None else 0,
                whole=landed is not None and not wish.include,
            )
            await to_the_end(self._record(finished, copies, run))
        return landed

    async def _record(self, finished: RestoreFinished, copies: tuple[Copy, ...], run: str) -> None:
        """One end for each part: every snapshot that was read whole is proven by name."""
        for copy in copies if finished.outcome is Outcome.SUCCEEDED else copies[:1]:
            await self.ends.record(replace(finished, snapshot_id=copy.snapshot_id), run)

    def _nearest_first(self, point: RecoveryPoint, wanted: str | None) -> list[str]:
        """The stores that have the point and are configured, the closest first; a person may name one."""
        if wanted is not None:
            self._stores.configured(wanted)
            return [wanted]
        known = [name for name in point.stores if self._stores.is_configured(name)]
        if not known:
            raise PermanentError(
                f"the point stands only in {', '.join(point.stores)}, which the configuration does not name any more",
                "add the store to drd.yaml again",
            )
        return sorted(known, key=lambda each: self._stores.configured(each).distance_metres)

    async def _check_target(self, wish: Wish, point: RecoveryPoint) -> None:
        if wish.target == BESIDE:
            return
        target = Path(wish.target)
        if not target.is_absolute():
            raise UsageError("the place to restore to is not an absolute path", f"write --to {Path('/') / target}")
        await asyncio.to_thread(demand_visible, target)
        await asyncio.to_thread(_demand_empty, target)
        await self._demand_room(wish, point, target)

    async def _demand_room(self, wish: Wish, point: RecoveryPoint, place: Path) -> None:
        free = await self._host.free_bytes(await asyncio.to_thread(_existing, place))
        if not wish.include and free < point.total_bytes:
            raise UsageError(
                f"{format_size(point.total_bytes)} do not fit into {format_size(free)} that are free there",
                "name a larger place with --to, or a part with --path",
            )

    async def _bring(self, run: str, wish: Wish, point: RecoveryPoint, store: str, repository: Repository) -> Landed:
        """Bring every part; when one fails, those that landed before it are taken away again."""
        started = self._world.clock.monotonic()
        parts = point.copies_in(store)
        snapshots = {each.id: each for each in await repository.snapshots(("drd", f"run={point.run}"))}
        places: list[str] = []
        restored: list[Restored] = []
        try:
            for copy in parts:
                snapshot = _listed(snapshots, copy)
                place = _place_of(wish.target, copy.part, len(parts), snapshot)
                if wish.target == BESIDE:
                    await self._demand_room(wish, point, place)
                result, landed = await self._bring_part(run, wish, repository, snapshot, place)
                restored.append(result)
                places += landed
        except BaseException:
            await to_the_end(asyncio.to_thread(_take_away, tuple(places)))
            raise
        seconds = self._world.clock.monotonic() - started
        files, size = sum(each.files for each in restored), sum(each.bytes for each in restored)
        if wish.include and files == 0:
            raise UsageError(
                f"the recovery point holds nothing at {', '.join(wish.include)}",
                "write each path as it was backed up, whole or from the source on",
            )
        return Landed(point, store, tuple(places), files, size, seconds)

    async def _bring_part(
        self, run: str, wish: Wish, repository: Repository, snapshot: Snapshot, place: Path
    ) -> tuple[Restored, list[str]]:
        beside = wish.target == BESIDE
        include = tuple(_inside(snapshot, path) for path in wish.include)
        partial = place.parent / _partial_name(place, run) if beside else await asyncio.to_thread(_partial, place, run)

        def post(progress: Progress) -> None:
            self._board.post(run, progress)

        try:
            await asyncio.to_thread(partial.mkdir, parents=True, mode=0o700)
            restored = await repository.restore(snapshot.id, partial, include, post)
            if include and restored.files == 0:
                return restored, []
            places = await asyncio.to_thread(_settle, partial, place, snapshot, beside, self._world.clock.now())
        except OSError as error:
            raise PermanentError(
                f"could not write to {place}: {error.strerror}", "choose another place with --to"
            ) from error
        finally:
            await to_the_end(asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True))
        return restored, places


def _listed(snapshots: Mapping[str, Snapshot], copy: Copy) -> Snapshot:
    if copy.snapshot_id not in snapshots:
        raise PermanentError(
            f"store {copy.store} does not list snapshot {copy.snapshot_id[:8]} any more", "try another with --from"
        )
    return snapshots[copy.snapshot_id]


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
        first = Path(snapshot.paths[0])
        if first.parent == Path("/"):
            raise UsageError(
                f"{first} lies in the root folder, or is a program's output: nothing is restored beside it",
                "name an empty or a new folder with --to",
            )
        return first
    return Path(target) if parts == 1 else Path(target) / part


def _partial(place: Path, run: str) -> Path:
    """Where a restore lands first: on the file system that is meant, which may be mounted at the place itself."""
    name = _partial_name(place, run)
    return place / name if place.is_dir() and not any(place.iterdir()) else place.parent / name


def _partial_name(place: Path, run: str) -> str:
    return f"{place.name}.{run[-6:].lower()}{SUFFIX}"


def _take_away(places: tuple[str, ...]) -> None:
    for place in places:
        if Path(place).is_dir() and not Path(place).is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            Path(place).unlink(missing_ok=True)


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
            child.rename(place / child.name)
    else:
        source.rename(place)
    return [str(place)]
