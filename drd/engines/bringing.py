"""Bringing the parts of one recovery point from one store to where a person wants them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from drd.core.catalogue import Copy, RecoveryPoint
from drd.core.errors import PermanentError, UsageError
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.recovery import Aim
from drd.core.postgres.target import Target
from drd.core.tags import MINE
from drd.engines.landing import Landing, demand_room
from drd.engines.progress import ProgressBoard
from drd.ports.cancelling import to_the_end
from drd.ports.host import Host
from drd.ports.repository import Progress, Repository, Restored, Snapshot
from drd.ports.source import KIND_FACT, Settled, Source, Wanted
from drd.ports.world import World

IsOver = Callable[[str], bool]
"""Whether the mark in a work folder's name is that of a restore that the journal knows, and that is over."""

Fetch = Callable[[Aim, Path], Awaitable[None]]
"""Brings the write-ahead log that an aim takes into a folder, which is made."""

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
    options: Mapping[str, str] = field(default_factory=dict)
    """What is said about it beside, for the kinds of its sources."""
    moment: Target | None = None
    """What was asked for to the point, where write-ahead log is kept; None: `at`."""
    is_without_wal: bool = False
    """Whether a recovery point is wanted as it is."""


@dataclass(frozen=True, slots=True)
class Landed:
    """Where data was brought back to."""

    point: RecoveryPoint
    store: str
    places: tuple[str, ...]
    parts: Mapping[str, Restored]
    """Snapshot id → what came of it."""
    seconds: float
    notes: tuple[str, ...] = ()
    """What a person should know of it; a few words each."""
    following: tuple[str, ...] = ()
    """What to type next."""

    @property
    def files(self) -> int:
        """How many files landed, of all parts."""
        return sum(part.files for part in self.parts.values())

    @property
    def bytes(self) -> int:
        """How many bytes landed, of all parts."""
        return sum(part.bytes for part in self.parts.values())


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is read at once into one place: a part, or, beside the source, what lies below one of its paths."""

    copy: Copy
    """As the journal knows it."""
    snapshot: Snapshot
    """As the store lists it."""
    landing: Landing
    include: tuple[str, ...]
    """The paths that are wanted, as the snapshot names them; empty for all of it."""
    part: str | None
    """Below what name at the place, where there are several."""


class Bringing:
    """Reads parts into landings, verified as they land."""

    def __init__(self, host: Host, board: ProgressBoard, world: World, kinds: Mapping[str, type[Source]]) -> None:
        self._host = host
        self._board = board
        self._world = world
        self._kinds = kinds
        self._clock = world.clock

    async def look_at_target(
        self, run: str, wish: Wish, point: RecoveryPoint, is_over: IsOver, aim: Aim | None = None
    ) -> None:
        """What can be told before anything is read. Raises `UsageError` for a place that does not fit."""
        settling = {} if wish.include else self._settling(point)
        if wish.options and not settling:
            raise UsageError(
                f"nothing is known of {', '.join(sorted(wish.options))} here",
                "leave it out: it is for whole points of sources that know it",
            )
        if wish.target == BESIDE:
            if settling:
                raise UsageError(
                    f"{wish.policy} is not restored beside itself", "name an empty or a new folder with --to"
                )
            return
        target = Path(wish.target)
        if not target.is_absolute():
            raise UsageError("the place to restore to is not an absolute path", f"write --to {Path('/') / target}")
        landing = Landing(self._host, target, run)
        await landing.demand_empty(is_over)
        parts = {copy.part for copy in point.copies}
        for part, kind in settling.items():
            await kind.look_at_place(self._world, _wanted(wish, point, landing, part, len(parts)))
        if not wish.include:
            await demand_room([landing], point.total_bytes + _wal_bytes(aim))

    async def bring(
        self,
        run: str,
        wish: Wish,
        point: RecoveryPoint,
        store: str,
        repository: Repository,
        is_over: IsOver,
        aim: Aim | None = None,
        fetch: Fetch | None = None,
    ) -> Landed:
        """Bring every part; none has its name before all were read back and compared."""
        started = self._clock.monotonic()
        parts = point.copies_in(store)
        listed = {each.id: each for each in await repository.snapshots((MINE, f"run={point.run}"))}
        pieces = self._pieces(run, wish, [(copy, _listed(listed, copy)) for copy in parts])
        if wish.target == BESIDE:
            for piece in pieces:
                await piece.landing.demand_empty(is_over)
        await self._demand_room(wish, point, repository, pieces)
        names: list[str] = []
        restored: dict[str, Restored] = {}
        settled: list[Settled] = []
        try:
            for piece in pieces:
                read = await self._read(run, repository, piece)
                known = restored.get(piece.copy.snapshot_id)
                restored[piece.copy.snapshot_id] = _together(known, read) if known is not None else read
            _demand_something(wish, restored)
            wal = pieces[0].landing.scratch("wal") if aim is not None else None
            if aim is not None and wal is not None and fetch is not None:
                await fetch(aim, wal)
            if not wish.include:
                for piece in pieces:
                    settled += await self._settle(run, wish, point, piece, names, aim, wal)
            # A name that is being given is given, and then taken away again: nobody cancels a thread.
            await to_the_end(self._appear(pieces, names))
        except BaseException:
            for landing in _landings(pieces)[:1]:
                await to_the_end(landing.withdraw(tuple(names)))
            raise
        finally:
            await to_the_end(_sweep(pieces))
        return Landed(
            point,
            store,
            tuple(names),
            restored,
            self._clock.monotonic() - started,
            notes=tuple(note for each in settled for note in each.notes),
            following=tuple(line for each in settled for line in each.following),
        )

    def _settling(self, point: RecoveryPoint) -> dict[str, type[Source]]:
        """The parts of a point that are made whole by their kind."""
        named = {part: _kind_in(facts) for part, facts in point.facts.items()}
        return {part: self._kinds[kind] for part, kind in named.items() if kind in self._kinds}

    async def _settle(
        self,
        run: str,
        wish: Wish,
        point: RecoveryPoint,
        piece: _Piece,
        names: list[str],
        aim: Aim | None,
        wal: Path | None,
    ) -> list[Settled]:
        kind = self._settling(point).get(piece.copy.part)
        if kind is None or wish.target == BESIDE:
            return []
        wanted = _wanted(wish, point, piece.landing, piece.copy.part, 1 if piece.part is None else 2)
        if aim is not None and is_of(point.facts[piece.copy.part], aim):
            wanted = replace(wanted, aim=aim, wal=wal)

        def post(progress: Progress) -> None:
            self._board.post(run, progress)

        post(Progress(phase="making whole"))
        settled = await piece.landing.settle(piece.part, partial(kind.settled, self._world, wanted, on_progress=post))
        names += map(str, settled.placed)
        return [settled]

    def _pieces(self, run: str, wish: Wish, parts: Sequence[tuple[Copy, Snapshot]]) -> list[_Piece]:
        """What is read, and where it lands: all at the one target, or each path beside itself, on its file system."""
        at_target = Landing(self._host, Path(wish.target), run)
        pieces: list[_Piece] = []
        for copy, snapshot in parts:
            include = tuple(_inside(snapshot, path) for path in wish.include)
            if wish.target != BESIDE:
                part = copy.part if len(parts) > 1 else None
                pieces.append(_Piece(copy, snapshot, at_target, include, part))
                continue
            for root in snapshot.paths:
                wanted = _below(root, include) if include or len(snapshot.paths) > 1 else ()
                if wanted or not include:
                    landing = Landing(self._host, _beside(root), run, beside=True)
                    pieces.append(_Piece(copy, snapshot, landing, wanted, None))
        return pieces

    async def _demand_room(
        self, wish: Wish, point: RecoveryPoint, repository: Repository, pieces: Sequence[_Piece]
    ) -> None:
        """Where that could not be told before: beside the sources, and of a point whose size the journal lacks."""
        if wish.include or (point.total_bytes and wish.target != BESIDE):
            return
        snapshots = {piece.snapshot.id: piece.snapshot for piece in pieces}
        needed = point.total_bytes or sum([await _size_of(each, repository) for each in snapshots.values()])
        await demand_room(_landings(pieces), needed)

    async def _read(self, run: str, repository: Repository, piece: _Piece) -> Restored:
        def post(progress: Progress) -> None:
            self._board.post(run, progress)

        await to_the_end(piece.landing.begin())
        restored = await repository.restore(piece.snapshot.id, piece.landing.read, piece.include, post)
        if restored.files or not piece.include:
            await to_the_end(piece.landing.keep(piece.snapshot, piece.part))
        return restored

    async def _appear(self, pieces: Sequence[_Piece], names: list[str]) -> None:
        for landing in _landings(pieces):
            names += await landing.appear(self._clock.now())


def is_of(facts: Sequence[str], aim: Aim) -> bool:
    """Whether a part is of the cluster that is aimed at."""
    base = BaseRecord.of_tags(facts)
    return base is not None and base.system_identifier == aim.system_identifier


def _wal_bytes(aim: Aim | None) -> int:
    return 0 if aim is None else len(aim.choice.segments) * aim.choice.segment_bytes


def _kind_in(facts: Sequence[str]) -> str:
    return next((fact.removeprefix(KIND_FACT) for fact in facts if fact.startswith(KIND_FACT)), "")


def _wanted(wish: Wish, point: RecoveryPoint, landing: Landing, part: str, parts: int) -> Wanted:
    place = landing.place_of(part if parts > 1 else None)
    return Wanted(wish.policy, point.facts[part], place, wish.options)


def _landings(pieces: Sequence[_Piece]) -> list[Landing]:
    return list(dict.fromkeys(piece.landing for piece in pieces))


async def _sweep(pieces: Sequence[_Piece]) -> None:
    for landing in _landings(pieces):
        await landing.sweep()


def _together(one: Restored, other: Restored) -> Restored:
    return Restored(
        one.files + other.files,
        one.bytes + other.bytes,
        one.seconds + other.seconds,
        one.verified_files + other.verified_files,
    )


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


def _beside(root: str) -> Path:
    """The path that a restore lands beside."""
    path = Path(root)
    if path.parent == Path("/"):
        raise UsageError(
            f"{path} lies in the root folder, or is a program's output: nothing is restored beside it",
            "name an empty or a new folder with --to",
        )
    return path


def _below(root: str, include: tuple[str, ...]) -> tuple[str, ...]:
    """What is wanted of one path of a snapshot: all of it, what of it is named, or nothing."""
    path = PurePosixPath(root)
    if not include or any(path.is_relative_to(each) for each in include):
        return (root,)
    return tuple(each for each in include if PurePosixPath(each).is_relative_to(path))


def _inside(snapshot: Snapshot, path: str) -> str:
    """A path as the snapshot names it; relative ones start at the source's only root."""
    if PurePosixPath(path).is_absolute():
        return path
    if len(snapshot.paths) != 1:
        raise UsageError(
            f"{path} could be below any of {', '.join(snapshot.paths)}", "write the whole path after --path"
        )
    return str(PurePosixPath(snapshot.paths[0]) / path)
