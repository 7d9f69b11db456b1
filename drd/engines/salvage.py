"""What is done about damage that no store of the same repository can heal.

What is damaged is taken out of the index, so that restic knows that it lacks it and no longer leaves out what it would
store anew; then the sources are read once more as a whole, which brings back everything that is in them still; and of
old points each file that is nowhere any more is named. (restic's manual, "Troubleshooting".)
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path

from drd.core.catalogue import damaged_stores
from drd.core.errors import PermanentError
from drd.core.events import DamageGivenUp, SnapshotMissing
from drd.core.points import Copy, counted
from drd.core.policy import Outcome
from drd.core.tags import read_tags
from drd.engines.archive import Archive
from drd.engines.dispatch import Dispatch
from drd.engines.from_mirrors import FILES_TOLD, in_words
from drd.engines.stores import Stores
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal
from drd.ports.repairing import Lost
from drd.ports.repository import Repository, Snapshot
from drd.ports.store import Backend, Carrier
from drd.ports.world import World

HIDDEN = "hidden"
"""Below what lies aside: snapshots that are forgotten for a moment."""


class Salvage:
    """Gives up what is damaged for good, once it lies aside, and saves again what is still there to be saved."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        carrier: Carrier,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        dispatch: Dispatch,
        archive: Archive,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._carrier = carrier
        self._journal = journal
        self._catalogue = catalogue
        self._world = world
        self._dispatch = dispatch
        self._archive = archive
        self._saved: dict[str, datetime] = {}
        """Store → since when the damage is open for which its sources were read again."""

    async def give_up(self, store: str, repository: Repository, bad: Mapping[str, str], aside: Path) -> list[str]:
        """Take files out of a store of which no good ones are to be had, but for what is whole in them.

        The caller has the repository alone. Returns what was done. Raises a `DrdError`; nothing goes that does not lie
        aside.
        """
        means: list[str] = []
        deleting = await self._stores.configured(store).place.deleting().backend(self._world)
        indexes = tuple(sorted(path for path in bad if path.startswith("index/")))
        packs = tuple(sorted(path for path in bad if path.startswith("data/")))
        if indexes:
            await self._carrier.remove(deleting, indexes, aside)
        if indexes or not packs:
            await repository.rebuild_index()
            means.append("the index was made anew from the data")
        if packs:
            missing = await self._carrier.put_aside(deleting, packs, aside)
            there = tuple(path for path in packs if path not in missing)
            if there and not await repository.salvage(tuple(path.rpartition("/")[2] for path in there)):
                await self._carrier.remove(deleting, there, aside)
            await repository.rebuild_index()
            count = (
                "1 damaged or missing pack was" if len(packs) == 1 else f"{len(packs)} damaged or missing packs were"
            )
            means.append(f"{count} given up; what was whole in {'it' if len(packs) == 1 else 'them'} is kept")
        if indexes or packs:
            await self._journal.append(DamageGivenUp(store, (*indexes, *packs)[:FILES_TOLD], str(aside)))
        return means

    async def save_again(self, store: str, since: datetime) -> list[str]:
        """Read again all sources whose runs go into a store, once for an incident; returns what came of it."""
        if self._saved.get(store) == since:
            return []
        means: list[str] = []
        for name, protected in self._configuration().policies.items():
            if protected.policy.backup.to[0] != store or store not in await self._stores_of(name):
                continue
            result = await self._dispatch.save_again(name)
            if result is not None and result.outcome is Outcome.SUCCEEDED:
                means.append(f"policy {name} was read again as a whole")
        self._saved[store] = since
        return means

    async def bring_back(self, store: str, repository: Repository, aside: Path) -> list[str]:
        """Copy what points lack from stores that hold them in another repository (`restic copy`).

        restic copies nothing of a snapshot that the target has already. So it is forgotten there meanwhile, and its
        file, which lies aside, put back behind the copy, whose own snapshot goes: the old one is what it was. The
        caller has the repository alone.
        """
        hidden = aside / HIDDEN
        await self.put_back(store, aside)
        try:
            lost = {each.snapshot_id[:8] for each in await repository.lost()}
        except PermanentError:
            return []
        means: list[str] = []
        for copy, other in await self._elsewhere(store, lost):
            origin = await self._stores.open(other.store)
            await self._stores.confirm_identity(other.store, origin)
            before = {each.id: each for each in await repository.snapshots()}
            target = await self._stores.configured(store).place.deleting().backend(self._world)
            paths = ("config", f"snapshots/{copy.snapshot_id}")
            if refused := await self._carrier.put_aside(target, paths, hidden):
                raise PermanentError(f"store {store}: nothing is forgotten, since {in_words(refused)}")
            try:
                if await repository.forget((copy.snapshot_id,)):
                    await repository.copy_from(origin, (other.snapshot_id,), lambda _: None)
            finally:
                await self.put_back(store, aside)
            # Whoever else writes there may have made snapshots meanwhile.
            new = [each for each in await repository.snapshots() if each.id not in before]
            made = [each.id for each in new if _is_copy(each, before.get(copy.snapshot_id), other.snapshot_id)]
            await repository.forget(tuple(made))
            means.append(f"snapshot {copy.snapshot_id[:8]} from store {other.store}")
        return means

    async def copy_back(self, store: str, repository: Repository, gone: Collection[str]) -> list[str]:
        """Copy snapshots that are gone from stores that hold them in another repository; they get new ids.

        The caller has the repository alone. The next reconciliation finds what came.
        """
        means: list[str] = []
        for copy, other in await self._elsewhere(store, {path.rpartition("/")[2][:8] for path in gone}):
            origin = await self._stores.open(other.store)
            await self._stores.confirm_identity(other.store, origin)
            await repository.copy_from(origin, (other.snapshot_id,), lambda _: None)
            policy = (await self._catalogue.holdings(store))[copy.snapshot_id]
            await self._journal.append(SnapshotMissing(policy, store, copy.snapshot_id))
            means.append(f"snapshot {copy.snapshot_id[:8]} from store {other.store}")
        return means

    async def bring_wal(self, store: str) -> list[str]:
        """Bring WAL again into a store that lost some, from the spool and from other stores, as far as they have it.

        A foreseen failure is told by who brings it, and does not raise.
        """
        means: list[str] = []
        for policy in sorted({each.policy for each in await self._catalogue.lost_wal(store)}):
            lacked = {each.snapshot_id: each for each in await self._catalogue.lost_wal(store)}
            await self._archive.bring(policy, store)
            left = {each.snapshot_id for each in await self._catalogue.lost_wal(store)}
            means += [f"{each.label} once more" for each in lacked.values() if each.snapshot_id not in left]
        return means

    async def put_back(self, store: str, aside: Path) -> None:
        """Give a store back the snapshots that `bring_back` has hidden, also after it was killed.

        Raises `PermanentError` when one of them could not be put there; it lies where it was.
        """
        hidden = aside / HIDDEN
        names = await asyncio.to_thread(lambda: sorted(each.name for each in (hidden / "snapshots").glob("*")))
        if names:
            paths = tuple(f"snapshots/{each}" for each in names)
            target = await self._stores.configured(store).place.deleting().backend(self._world)
            origin = Backend("local", {"path": str(hidden)})
            refused = await self._carrier.mend(origin, target, paths, None, lambda _: None)
            if refused:
                for each in paths:
                    if each not in refused:
                        await asyncio.to_thread((hidden / each).unlink)
                raise PermanentError(
                    f"store {store}: what was hidden there is not back: {in_words(refused)}", f"ls {hidden}"
                )
            await asyncio.to_thread(shutil.rmtree, hidden)

    async def _elsewhere(self, store: str, lost: Collection[str]) -> list[tuple[Copy, Copy]]:
        """Each copy in a store of which something is lost, with one of the same part that is good in another one."""
        records = await self._catalogue.stores()
        found: list[tuple[Copy, Copy]] = []
        for policy in sorted(set((await self._catalogue.holdings(store)).values())):
            for point in counted(await self._catalogue.points(policy), damaged_stores(records)):
                for copy in point.copies:
                    others = (
                        other
                        for twin in point.stores
                        if twin != store and self._stores.is_configured(twin)
                        for other in point.copies_in(twin)
                        if other.part == copy.part and records[twin].repository_id != records[store].repository_id
                    )
                    is_lost = copy.store == store and copy.snapshot_id[:8] in lost
                    if is_lost and (other := next(others, None)) is not None:
                        found.append((copy, other))
        return found

    async def lost(self, store: str, repository: Repository, bad: Collection[str]) -> tuple[str, ...]:
        """What recovery points in a store cannot give back any more, file by file: `policy, point of moment: path`."""
        unreadable = [Lost(path.rpartition("/")[2], "/") for path in sorted(bad) if path.startswith("snapshots/")]
        try:
            found = (*unreadable, *await repository.lost())
        except PermanentError:
            found = tuple(unreadable)  # that the repository is damaged is told anyway, with the reason
        names: dict[str, str] = {}
        for policy in dict.fromkeys((await self._catalogue.holdings(store)).values()):
            for point in await self._catalogue.points(policy):
                for copy in point.copies:
                    if copy.store == store:
                        names[copy.snapshot_id[:8]] = point.label
        for group in await self._catalogue.lost_wal(store):
            names[group.snapshot_id[:8]] = group.label
        return tuple(
            f"{names.get(each.snapshot_id[:8], f'snapshot {each.snapshot_id[:8]}')}: {each.path}" for each in found
        )

    async def _stores_of(self, policy: str) -> set[str]:
        return {store for point in await self._catalogue.points(policy) for store in point.stores}


def _is_copy(made: Snapshot, hidden: Snapshot | None, origin_id: str) -> bool:
    """Whether a snapshot is what `restic copy` made of one, in the place of another that was hidden for it."""
    own, old = read_tags(made.tags), read_tags(hidden.tags) if hidden is not None else None
    is_same_part = own is not None and old is not None and (own.run, own.part) == (old.run, old.part)
    return made.original == origin_id or is_same_part
