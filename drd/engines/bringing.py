"""Bringing the parts of one recovery point from one store to where a person wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from drd.core.errors import UsageError
from drd.core.points import RecoveryPoint
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.recovery_sets import is_of
from drd.core.tags import MINE
from drd.engines.earlier import bytes_of, read
from drd.engines.landing import Landing, demand_room
from drd.engines.pieces import Piece, landings, pieces_of
from drd.engines.progress import ProgressBoard
from drd.engines.restore_request import BESIDE, Landed, Plan
from drd.ports.cancelling import to_the_end
from drd.ports.host import Host
from drd.ports.repository import OnProgress, Progress, Repository, Restored, Snapshot
from drd.ports.source import DATA_FOLDER, KIND_FACT, Earlier, Settled, Source, Wanted
from drd.ports.world import World

IsOver = Callable[[str], bool]
"""Whether the mark in a work folder's name is that of a restore that the journal knows, and that is over."""

EarlierByPart = Mapping[str, tuple[Earlier, ...]]

Fetch = Callable[[RecoveryPlan, Path, OnProgress], Coroutine[Any, Any, None]]
"""Brings the write-ahead log that a recovery takes into a folder, which is made."""


class Bringing:
    """Reads parts into landings, verified as they land."""

    def __init__(self, host: Host, board: ProgressBoard, world: World, kinds: Mapping[str, type[Source]]) -> None:
        self._host = host
        self._board = board
        self._world = world
        self._kinds = kinds
        self._clock = world.clock

    async def look_at_target(self, plan: Plan, is_over: IsOver) -> None:
        """What can be told before anything is read. Raises `UsageError` for a place that does not fit."""
        request = plan.request
        settling = {} if request.include else self._settling(plan.point)
        if request.options and not settling:
            raise UsageError(
                f"nothing is known of {', '.join(sorted(request.options))} here",
                "leave it out: it is for whole points of sources that know it",
            )
        if request.target == BESIDE:
            if settling:
                raise UsageError(
                    f"{request.policy} is not restored beside itself", "name an empty or a new folder with --to"
                )
            return
        target = Path(request.target)
        if not target.is_absolute():
            raise UsageError("the place to restore to is not an absolute path", f"write --to {Path('/') / target}")
        if request.include and plan.chains:
            raise UsageError(
                "the point is an incremental base backup, whose files are nothing by themselves", "leave --path out"
            )
        landing = Landing(self._host, target, plan.run)
        await landing.demand_empty(is_over)
        for part, kind in settling.items():
            wanted = _wanted(plan, landing, part, is_alone=len(plan.point.parts) == 1)
            await kind.look_at_place(self._world, wanted)
        if not request.include:
            needed = plan.point.total_bytes + _wal_bytes(plan.recovery) + bytes_of(plan.chains)
            await demand_room([landing], needed)

    async def bring(
        self, plan: Plan, store: str, repository: Repository, is_over: IsOver, fetch: Fetch | None = None
    ) -> Landed:
        """Bring every part; none has its name before all were read back and compared."""
        started = self._clock.monotonic()
        listed = {each.id: each for run in plan.runs for each in await repository.snapshots((MINE, f"run={run}"))}
        pieces = pieces_of(self._host, plan.run, plan.request, plan.point, store, listed)
        if plan.request.target == BESIDE:
            for piece in pieces:
                await piece.landing.demand_empty(is_over)
        await self._demand_room(plan, repository, pieces)
        names: list[str] = []
        try:
            async with self._fetching(plan, pieces[0], fetch) as fetched:
                restored = await self._read_all(plan, repository, pieces)
                earlier = await self._read_earlier(plan, store, repository, pieces)
                wal = await fetched()
            settled = await self._settle_all(plan, pieces, names, wal, earlier)
            # A name that is being given is given, and then taken away again: nobody cancels a thread.
            await to_the_end(self._appear(pieces, names))
        except BaseException:
            for landing in landings(pieces)[:1]:
                await to_the_end(landing.withdraw(tuple(names)))
            raise
        finally:
            await to_the_end(_sweep(pieces))
        return Landed(
            plan.point,
            store,
            tuple(names),
            restored,
            self._clock.monotonic() - started,
            notes=tuple(note for each in settled for note in each.notes),
            following=tuple(line for each in settled for line in each.following),
            checks=tuple(check for each in settled for check in each.checks),
            heartbeat=min((each.heartbeat for each in settled if each.heartbeat is not None), default=None),
        )

    def _settling(self, point: RecoveryPoint) -> dict[str, type[Source]]:
        """The parts of a point that are made whole by their kind."""
        named = {part: _kind_in(facts) for part, facts in point.facts.items()}
        return {part: self._kinds[kind] for part, kind in named.items() if kind in self._kinds}

    async def _demand_room(self, plan: Plan, repository: Repository, pieces: Sequence[Piece]) -> None:
        """Where that could not be told before: beside the sources, and of a point whose size the journal lacks."""
        known = plan.point.total_bytes
        if plan.request.include or (known and plan.request.target != BESIDE):
            return
        snapshots = {piece.snapshot.id: piece.snapshot for piece in pieces}
        needed = known or sum([await _size_of(each, repository) for each in snapshots.values()])
        await demand_room(landings(pieces), needed)

    async def _read_all(self, plan: Plan, repository: Repository, pieces: Sequence[Piece]) -> dict[str, Restored]:
        """Read every piece; snapshot id → what came of it. Raises `UsageError` when nothing was there."""
        restored: dict[str, Restored] = {}
        for piece in pieces:
            read = await self._read(plan, repository, piece)
            known = restored.get(piece.copy.snapshot_id)
            restored[piece.copy.snapshot_id] = _together(known, read) if known is not None else read
        include = plan.request.include
        if include and not any(part.files for part in restored.values()):
            raise UsageError(
                f"the recovery point holds nothing at {', '.join(include)}",
                "write each path as it was backed up, whole or from the source on",
            )
        return restored

    async def _read(self, plan: Plan, repository: Repository, piece: Piece) -> Restored:
        def post(progress: Progress) -> None:
            self._board.post(plan.run, progress)

        await to_the_end(piece.landing.begin())
        is_read_back = not await self._is_read_back_later(plan, piece)
        restored = await repository.restore(
            piece.snapshot.id, piece.landing.read, piece.include, post, is_read_back=is_read_back
        )
        if piece.is_data:
            await to_the_end(piece.landing.keep_inside(piece.part, DATA_FOLDER))
        elif restored.files or not piece.include:
            await to_the_end(piece.landing.keep(piece.snapshot, piece.part))
        return restored

    async def _is_read_back_later(self, plan: Plan, piece: Piece) -> bool:
        if plan.request.include or plan.request.target == BESIDE:
            return False
        kind = self._settling(plan.point).get(piece.copy.part)
        if kind is None:
            return False
        wanted = _wanted(plan, piece.landing, piece.copy.part, is_alone=piece.part is None)
        return await kind.reads_back(self._world, wanted)

    async def _read_earlier(
        self, plan: Plan, store: str, repository: Repository, pieces: Sequence[Piece]
    ) -> EarlierByPart:
        """What incremental parts follow, each read into a folder of its own."""

        def post(progress: Progress) -> None:
            self._board.post(plan.run, progress)

        found: dict[str, tuple[Earlier, ...]] = {}
        for piece in pieces:
            part = piece.copy.part
            if part in plan.chains:
                found[part] = await read(plan.chains[part], part, store, repository, piece.landing, post)
        return found

    @asynccontextmanager
    async def _fetching(
        self, plan: Plan, first: Piece, fetch: Fetch | None
    ) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Path | None]]]:
        """Have WAL fetched beside what else is read, since it lies in a repository of its own.

        Yields what waits for it, and from then on shows how far it is.
        """
        if plan.recovery is None or fetch is None:
            yield _nothing
            return
        await to_the_end(first.landing.begin())
        folder, is_waited_for = first.landing.scratch("wal"), asyncio.Event()

        def post(progress: Progress) -> None:
            if is_waited_for.is_set():
                self._board.post(plan.run, progress)

        fetching = asyncio.create_task(fetch(plan.recovery, folder, post), name=f"WAL of {plan.request.policy}")

        async def fetched() -> Path:
            is_waited_for.set()
            await fetching
            return folder

        try:
            yield fetched
        finally:
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)

    async def _settle_all(
        self, plan: Plan, pieces: Sequence[Piece], names: list[str], wal: Path | None, earlier: EarlierByPart
    ) -> list[Settled]:
        """Let the kinds make their parts whole; `names` are told of what lies where it belongs already."""
        if plan.request.include or plan.request.target == BESIDE:
            return []
        settled: list[Settled] = []
        for piece in pieces:
            kind = self._settling(plan.point).get(piece.copy.part)
            if kind is not None:
                settled.append(await self._settle(plan, piece, kind, wal, earlier))
                names += map(str, settled[-1].placed)
        return settled

    async def _settle(
        self, plan: Plan, piece: Piece, kind: type[Source], wal: Path | None, earlier: EarlierByPart
    ) -> Settled:
        wanted = _wanted(plan, piece.landing, piece.copy.part, is_alone=piece.part is None)
        if wanted.recovery is not None:
            wanted = replace(wanted, wal=wal)
        wanted = replace(wanted, earlier=earlier.get(piece.copy.part, ()))

        def post(progress: Progress) -> None:
            self._board.post(plan.run, progress)

        post(Progress(phase="making whole"))
        return await piece.landing.settle(piece.part, partial(kind.settled, self._world, wanted, on_progress=post))

    async def _appear(self, pieces: Sequence[Piece], names: list[str]) -> None:
        for landing in landings(pieces):
            names += await landing.appear(self._clock.now())


async def _nothing() -> None:
    """No WAL is fetched."""


def _wal_bytes(recovery: RecoveryPlan | None) -> int:
    return 0 if recovery is None else len(recovery.choice.segments) * recovery.choice.segment_bytes


def _kind_in(facts: Sequence[str]) -> str:
    return next((fact.removeprefix(KIND_FACT) for fact in facts if fact.startswith(KIND_FACT)), "")


def _wanted(plan: Plan, landing: Landing, part: str, *, is_alone: bool) -> Wanted:
    place = landing.place_of(None if is_alone else part)
    facts = plan.point.facts[part]
    recovery = plan.recovery if plan.recovery is not None and is_of(facts, plan.recovery) else None
    source = plan.sources.get(part)
    hints = source.restore_hints if source is not None and source.kind == _kind_in(facts) else {}
    return Wanted(plan.request.policy, facts, place, plan.request.options, hints, recovery)


async def _sweep(pieces: Sequence[Piece]) -> None:
    for landing in landings(pieces):
        await landing.sweep()


def _together(one: Restored, other: Restored) -> Restored:
    return Restored(
        one.files + other.files,
        one.bytes + other.bytes,
        one.seconds + other.seconds,
        one.verified_files + other.verified_files,
    )


async def _size_of(snapshot: Snapshot, repository: Repository) -> int:
    """How much a restore of a snapshot writes: as it says itself, or, before restic 0.17, as its tree says."""
    if snapshot.total_bytes is not None:
        return snapshot.total_bytes
    return await repository.restored_bytes(snapshot.id)
