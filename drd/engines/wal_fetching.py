"""Fetching groups of WAL out of stores: what one store does not give, the next one is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from drd.core.errors import DrdError, PermanentError, RepositoryDamaged, RepositoryMissing, StoreAway
from drd.core.postgres.groups import Group, ShippedGroup, read_group, wal_tags
from drd.core.postgres.wal import kind_of
from drd.engines.progress import ProgressBoard
from drd.engines.stores import Stores
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.host import Host
from drd.ports.repository import OnProgress, Progress, Repository, Snapshot

MOVE_SECONDS = 900.0
NAMED_AT_MOST = 200
"""Of a group of which more is wanted all is read: each name is an argument."""

NoteDamage = Callable[[str, str], Awaitable[None]]
"""Puts on record that in a run a store was found damaged."""
Needed = Callable[[Sequence[ShippedGroup], Sequence[str]], Sequence[ShippedGroup]]
"""Of all groups, in stores that may be asked, those that are to be fetched, each in the best store."""
Files = Callable[[Group], tuple[str, ...]]
"""The files of a group that are wanted; none: all."""


class _GroupGone(PermanentError):
    """A store does not list a group any more that it is known to have had."""


class WalFetching:
    """Brings WAL into folders."""

    def __init__(
        self, stores: Stores, queues: WorkQueues, host: Host, board: ProgressBoard, note_damage: NoteDamage
    ) -> None:
        self._stores = stores
        self._queues = queues
        self._host = host
        self._board = board
        self._note_damage = note_damage

    def by_distance(self, shipped: Sequence[ShippedGroup]) -> list[str]:
        """The stores that these groups are in, the nearest first."""
        stores = dict.fromkeys(each.store for each in shipped)
        return sorted(stores, key=lambda store: self._stores.configured(store).distance_metres)

    async def fetch(
        self,
        run: str,
        shipped: tuple[ShippedGroup, ...],
        needed: Needed,
        files: Files,
        folder: Path,
        total: int = 0,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Bring the groups that are needed into a folder, which is made; `total` is how many bytes that will be.

        Progress is told to `on_progress`, or shown as the run's.

        A store that is away, and a group that is damaged in one or gone from it, give way to what the others have.
        Raises why the last one did not give it.
        """
        await self._host.within(MOVE_SECONDS, lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        stores = self.by_distance(shipped)
        names = {each.group.name for each in needed(shipped, stores)}
        refused: DrdError | None = None
        fetched: set[str] = set()
        lists: dict[str, Sequence[Snapshot]] = {}
        done = 0

        def post(progress: Progress) -> None:
            of = max(total, done + progress.total_bytes)
            told = Progress(done + progress.done_bytes, of, phase="fetching WAL")
            if on_progress is None:
                self._board.post(run, told)
            else:
                on_progress(told)

        while stores:
            group = next((each for each in needed(shipped, stores) if each.group.name not in fetched), None)
            if group is None:
                if refused is not None and not names <= fetched:
                    raise refused
                return
            try:
                done += await self._fetch_group(run, group, files, folder, lists, post)
                fetched.add(group.group.name)
            except RepositoryDamaged as error:
                refused = error
                shipped = tuple(each for each in shipped if each is not group)
                if not await self._stores.is_away(group.store):
                    await self._note_damage(run, group.store)
            except _GroupGone as error:
                refused = error
                shipped = tuple(each for each in shipped if each is not group)
            except (StoreAway, RepositoryMissing) as error:
                refused = error
                stores.remove(group.store)
        reason = "" if refused is None else refused.message
        raise StoreAway(f"no store that holds the WAL answers: {reason}", "type: drd status")

    async def _fetch_group(
        self,
        run: str,
        shipped: ShippedGroup,
        files: Files,
        folder: Path,
        lists: dict[str, Sequence[Snapshot]],
        post: OnProgress,
    ) -> int:
        """Bring one group; how many bytes it was. `lists`: what stores have listed since the fetch began."""
        repository = await self._stores.open(shipped.store)
        at_once = self._stores.configured(shipped.store).limits.at_once
        async with self._queues.take(shipped.store, JobClass.RESTORE, at_once, self._board.waiter(run)):
            known = lists.get(shipped.store)
            tried = None if known is None else _listed(shipped, known)
            refused: PermanentError | None = None
            if tried is not None:
                try:
                    return await self._read(repository, shipped.store, tried, files, folder, post)
                except RepositoryDamaged:
                    raise
                except PermanentError as error:
                    refused = error
            # A newer batch may have taken the place of the one that was listed.
            lists[shipped.store] = listed = await repository.snapshots(wal_tags(shipped.policy))
            batch = _demanded(shipped, listed)
            if refused is not None and batch == tried:
                raise refused
            return await self._read(repository, shipped.store, batch, files, folder, post)

    async def _read(
        self,
        repository: Repository,
        store: str,
        batch: tuple[Snapshot, Group],
        files: Files,
        folder: Path,
        post: OnProgress,
    ) -> int:
        snapshot, group = batch
        names = files(group)
        root = snapshot.paths[0]
        include = tuple(f"{root}/{name}" for name in names) if len(names) <= NAMED_AT_MOST else ()
        # A mirror's snapshots have the ids of what they mirror.
        read = folder.with_name(f"{folder.name}-{store}-{snapshot.id}")
        restored = await repository.restore(snapshot.id, read, include, post)
        await self._host.within(MOVE_SECONDS, lambda: _gather(read / root.lstrip("/"), folder))
        return restored.bytes


def _demanded(shipped: ShippedGroup, listed: Sequence[Snapshot]) -> tuple[Snapshot, Group]:
    batch = _listed(shipped, listed)
    if batch is None:
        raise _GroupGone(
            f"store {shipped.store} does not list the WAL {shipped.group.name} any more",
            "leave out --from, or name an earlier moment with --at",
        )
    return batch


def _listed(shipped: ShippedGroup, listed: Sequence[Snapshot]) -> tuple[Snapshot, Group] | None:
    """The batch of a group that is known, or a newer one: each makes the one before superfluous, which then goes."""
    of_group = [
        (each, group)
        for each in listed
        if (group := read_group(each.tags)) is not None
        and (group.system_identifier, group.first) == (shipped.group.system_identifier, shipped.group.first)
        and len(each.paths) == 1
    ]
    known = [pair for pair in of_group if pair[0].id == shipped.snapshot_id]
    found = known or [pair for pair in of_group if pair[1].through >= shipped.group.through]
    return max(found, key=lambda pair: (pair[1].through, pair[0].time), default=None)


def _gather(read: Path, folder: Path) -> None:
    for file in read.iterdir():
        if kind_of(file.name) is not None:
            file.rename(folder / file.name)
