"""Going back to a moment between two recovery points: which one to begin from, and fetching the WAL to replay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from drd.core.errors import DrdError, PermanentError, RepositoryDamaged, RepositoryMissing, StoreAway, UsageError
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.groups import ShippedGroup, wal_tags
from drd.core.postgres.kept import aim_at, needed_groups
from drd.core.postgres.recovery import Aim
from drd.core.postgres.target import AtLsn, AtName, AtTime, Latest, Target
from drd.core.postgres.wal import history_name, kind_of
from drd.engines.progress import ProgressBoard
from drd.engines.stores import Stores
from drd.engines.turns import JobClass, Turns
from drd.engines.wish import Wish
from drd.ports.configuration import wal_store
from drd.ports.host import Host
from drd.ports.journal import Catalogue
from drd.ports.repository import Progress

MOVE_SECONDS = 900.0
NAMED_AT_MOST = 200
"""Of a group of which more is wanted all is read: each name is an argument."""

NoteDamage = Callable[[str, str], Awaitable[None]]
"""Puts on record that in a run a store was found damaged."""


class Rewinding:
    """Finds the way to a moment, and fetches what it takes."""

    def __init__(
        self,
        stores: Stores,
        turns: Turns,
        catalogue: Catalogue,
        host: Host,
        board: ProgressBoard,
        note_damage: NoteDamage,
    ) -> None:
        self._stores = stores
        self._turns = turns
        self._catalogue = catalogue
        self._host = host
        self._board = board
        self._note_damage = note_damage

    async def aim(self, run: str, wish: Wish) -> Aim | None:
        """How a wish is met by replaying WAL; None when its policy has none, or only some paths are wanted.

        Raises `NotCovered` for a moment that cannot be reached, with those that can.
        """
        shipped = await self._catalogue.wal(wish.policy)
        if not shipped or wish.include or wish.is_without_wal:
            if isinstance(wish.moment, AtLsn | AtName):
                raise UsageError(f"{wish.moment} leads to no recovery point here: no WAL is kept", "write --at TIME")
            return None
        points = await self._catalogue.points(wish.policy)
        try:
            return aim_at(points, self._within(shipped, wish.store), _target(wish))
        except NotCovered as error:
            hint = f"{error.hint}, or write --without-wal for a base backup alone"
            raise NotCovered(error.message, hint) from error

    async def fetch(self, run: str, wish: Wish, aim: Aim, folder: Path) -> None:
        """Bring the WAL that an aim takes into a folder, which is made.

        What one store does not give, away or damaged, the next one is asked for. Raises why the last one did not.
        """
        shipped = self._within(await self._catalogue.wal(wish.policy), wish.store)
        stores = list(dict.fromkeys(each.store for each in shipped))
        stores.sort(key=lambda store: self._stores.configured(store).distance_metres)
        names = {each.group.name for each in needed_groups(aim, shipped, stores)}
        refused: DrdError | None = None
        fetched: set[str] = set()
        while stores:
            left = (each for each in needed_groups(aim, shipped, stores) if each.group.name not in fetched)
            group = next(left, None)
            if group is None:
                if refused is not None and not names <= fetched:
                    raise refused
                return
            try:
                await self._fetch_group(run, group, aim, folder)
                fetched.add(group.group.name)
            except RepositoryDamaged as error:
                refused = error
                shipped = tuple(each for each in shipped if each is not group)
                if not await self._stores.is_away(group.store):
                    await self._note_damage(run, group.store)
            except (StoreAway, RepositoryMissing) as error:
                refused = error
                stores.remove(group.store)
        raise StoreAway(
            f"no store that holds the WAL answers: {refused.message if refused else ''}", "type: drd status"
        )

    def _within(self, shipped: tuple[ShippedGroup, ...], store: str | None) -> tuple[ShippedGroup, ...]:
        """The groups in stores that are configured, and in the one that a person names."""
        wanted = None if store is None else wal_store(store)
        known = [each for each in shipped if self._stores.is_configured(each.store)]
        return tuple(each for each in known if wanted is None or each.store == wanted)

    async def _fetch_group(self, run: str, shipped: ShippedGroup, aim: Aim, folder: Path) -> None:
        repository = await self._stores.open(shipped.store)
        at_once = self._stores.configured(shipped.store).limits.at_once
        async with self._turns.take(shipped.store, JobClass.RESTORE, at_once, self._board.waiter(run)):
            listed = {each.id: each for each in await repository.snapshots(wal_tags(shipped.policy))}
            snapshot = listed.get(shipped.snapshot_id)
            if snapshot is None or len(snapshot.paths) != 1:
                raise PermanentError(
                    f"store {shipped.store} does not list the WAL {shipped.group.name} any more",
                    "try another store with --from",
                )
            names = _wanted(shipped, aim)
            root = snapshot.paths[0]
            include = tuple(f"{root}/{name}" for name in names) if len(names) <= NAMED_AT_MOST else ()
            read = folder.with_name(f"{folder.name}-{shipped.group.name}")
            await repository.restore(snapshot.id, read, include, lambda progress: self._post(run, progress))
            await self._host.within(MOVE_SECONDS, lambda: _gather(read / root.lstrip("/"), folder))

    def _post(self, run: str, progress: Progress) -> None:
        self._board.post(run, Progress(progress.done_bytes, progress.total_bytes, phase="fetching WAL"))


def _target(wish: Wish) -> Target:
    if wish.moment is not None:
        return wish.moment
    return Latest() if wish.at is None else AtTime(wish.at)


def _wanted(shipped: ShippedGroup, aim: Aim) -> tuple[str, ...]:
    """The files of a group that recovery reads."""
    group = shipped.group
    wanted = frozenset(aim.choice.segments)
    names = [segment.name for segment in group.whole if segment in wanted]
    if (partial := group.partial) is not None and partial in wanted:
        names.append(f"{partial.name}.partial")
    return (*names, *([history_name(group.timeline)] if group.timeline > 1 else []))


def _gather(read: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in read.iterdir():
        if kind_of(file.name) is not None:
            file.rename(folder / file.name)
