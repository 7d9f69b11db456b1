"""Bringing received WAL from the spool into the stores, in batches.

A batch is a snapshot of a whole group of the spool, so the newest one of a group holds what all the earlier ones held:
those are forgotten now and then, many at once. Further stores are filled from the first by `copy`; while that one is
away they get their batches from the spool. A group leaves the spool when every store has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from drd.core.errors import NOT_NOW, DrdError, StoreAway, TransientError
from drd.core.events import WalForgotten, WalInterrupted, WalShipped
from drd.core.postgres.groups import Group, ShippedGroup, switch_texts
from drd.core.postgres.spooling import GROUP_BYTES, Found, GroupFolder, is_news, moves, removable
from drd.core.tags import HOST
from drd.engines.copy import Copy
from drd.engines.doubting import unless_away
from drd.engines.outbox import Outbox
from drd.engines.pushed_wal import PushedWal
from drd.engines.receiver_state import ReceiverState
from drd.engines.receiving import BY_ITSELF, Receiving
from drd.engines.spool_room import group_bytes
from drd.engines.stores import Stores
from drd.engines.telling import ToldOnce
from drd.engines.wal_marks import note_settled
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import FilesToSave, Progress, SaveOutcome, SaveRequest
from drd.ports.spool import Spool, Spools
from drd.ports.wal import SpoolRules
from drd.ports.world import World

BATCH_SECONDS = 15.0
"""How often a batch is made when something is new."""
IMMEDIATELY = timedelta(microseconds=1)
IDLE = timedelta(minutes=1)
"""While nothing is written, how often a batch says of a later moment that nothing was."""
TIDY_SECONDS = 60.0
"""How often it is looked for superseded batches."""
TIDY_FROM = 60
"""So many superseded batches in a store are worth keeping it to ourselves for a moment."""
TIDIED_AT_ONCE = 500
DEADLINE = timedelta(minutes=30)
STALL = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class _Lot:
    """What one round has to ship of one cluster."""

    policy: str
    spool: Spool
    system_identifier: str
    found: Found
    idle: timedelta
    """How much later a moment has to be for a batch that brings nothing but that."""


class Archive:
    """Receives, ships and tidies the WAL of the policies that want it."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        receiving: Receiving,
        spools: Spools,
        stores: Stores,
        queues: WorkQueues,
        copy: Copy,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        self._group_bytes = group_bytes
        self._configuration = configuration
        self._receiving = receiving
        self._spools = spools
        self._stores = stores
        self._queues = queues
        self._copy = copy
        self._catalogue = catalogue
        self._journal = journal
        self._world = world
        self._told = ToldOnce[tuple[str, str]](journal)
        self._pushed = PushedWal(receiving, journal, catalogue)
        self.outbox = Outbox(journal)

    def line(self, policy: str) -> ReceiverState:
        """How the receiving of a policy's WAL stands."""
        return self._receiving.line(policy)

    def is_received_here(self, policy: str) -> bool:
        """Whether this process receives a policy's WAL, or tries to."""
        return self._receiving.is_served(policy)

    async def serve(self, policy: str) -> None:
        """Look after one policy's WAL until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receiving.serve(policy), name=f"receive WAL of {policy}")
            asked = self.line(policy).asked
            group.create_task(self._again(policy, self.ship, BATCH_SECONDS, asked), name=f"ship WAL of {policy}")
            group.create_task(self._again(policy, self.tidy, TIDY_SECONDS), name=f"tidy WAL of {policy}")

    async def _again(
        self, policy: str, work: Callable[[str], object], seconds: float, asked: asyncio.Event | None = None
    ) -> None:
        """Do it every so many seconds, and at once when somebody asks for it."""
        clock = self._world.clock
        while True:
            began = clock.monotonic()
            try:
                await work(policy)  # type: ignore[misc]
            except NOT_NOW:
                pass  # the daemon's tick tells people
            except DrdError as error:
                await self._tell(policy, getattr(work, "__name__", ""), error)
            await self._pause(max(1.0, seconds - (clock.monotonic() - began)), asked)

    async def _pause(self, seconds: float, asked: asyncio.Event | None) -> None:
        sleeping = asyncio.ensure_future(self._world.clock.sleep(seconds))
        waiting = asyncio.ensure_future((asked or asyncio.Event()).wait())
        try:
            await asyncio.wait({sleeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()

    async def _tell(self, policy: str, work: str, error: DrdError) -> None:
        try:
            told = WalInterrupted(policy, error.message, error.hint)
            await self._told.tell((policy, work), error.message, told)
        except NOT_NOW:
            return

    async def ship(self, policy: str) -> None:
        """One round: what was received enters its group, and what is new in a group goes to the stores.

        Healing asks for rounds beside those that are made all the time; one waits for the other.
        """
        async with self.line(policy).shipping:
            await self._ship(policy)

    async def _ship(self, policy: str) -> None:
        protected = self._configuration().policies.get(policy)
        if protected is None or not protected.wal_stores or self.outbox.owed:
            return
        idle = IMMEDIATELY if self.line(policy).asked.is_set() else IDLE
        self.line(policy).asked.clear()
        for system_identifier, segment_bytes in await self._spools.known(policy):
            spool = self._spools.of(policy, system_identifier)
            async with self.line(policy).entering:
                found = await self._sorted(protected, spool, system_identifier, segment_bytes)
            if found.groups:
                await self._ship_groups(protected, _Lot(policy, spool, system_identifier, found, idle))
        self._told.over((policy, "ship"))

    async def bring(self, policy: str, store: str) -> None:
        """Bring a store what it lacks of a policy's WAL, from the spool and from other stores, and wait for it.

        Why something did not come is journaled, once.
        """
        await self._try(policy, "bring", self.ship(policy))
        # Also when this store's disk, say, has no room for what lies in the spool.
        await self._try(policy, f"bring into {store}", self._copy.fill(store, {policy}))

    async def _try(self, policy: str, work: str, doing: Awaitable[object]) -> None:
        try:
            await doing
        except DrdError as error:
            await self._tell(policy, work, error)
        else:
            self._told.over((policy, work))

    async def tidy(self, policy: str) -> None:
        """Forget superseded batches where there are many, unless the store is held."""
        protected = self._configuration().policies.get(policy)
        records = await self._catalogue.stores()
        for store in protected.wal_stores if protected is not None else ():
            record = records.get(store)
            if record is None or record.hold is not None or self._stores.why_away(store) is not None:
                continue
            shipped = await self._catalogue.wal(policy)
            superseded = [each for group in shipped if group.store == store for each in group.superseded]
            if len(superseded) >= TIDY_FROM:
                await self._forget(policy, store, tuple(superseded[:TIDIED_AT_ONCE]))
        self._told.over((policy, "tidy"))

    async def _forget(self, policy: str, store: str, snapshot_ids: tuple[str, ...]) -> None:
        repository = await self._stores.open(store)
        async with self._queues.take(store, JobClass.FORGET, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            gone = await repository.forget(snapshot_ids)
            if gone:
                await self.outbox.record(WalForgotten(policy, store, gone))

    async def _sorted(self, protected: Protected, spool: Spool, system_identifier: str, segment_bytes: int) -> Found:
        """The spool after what was received has entered its groups, with what is known of the newest ones."""
        policy, origin, line = protected.policy.name, protected.wal_origin, self.line(protected.policy.name)
        rules = origin.rules if origin is not None else SpoolRules()
        most = await group_bytes(self._spools, rules, self._group_bytes)
        found = await spool.look(segment_bytes)
        planned = moves(found, segment_bytes, self._world.clock.now(), most)
        for sentence in await spool.carry_out(planned):
            await self._journal.append(WalInterrupted(policy, sentence, BY_ITSELF, is_lost=True))
        if planned.entering or planned.leaving:
            found = await spool.look(segment_bytes)
        if line.system_identifier == system_identifier:
            if await self._pushed.take_in(protected, rules, spool, found, most):
                found = await spool.look(segment_bytes)
            if await note_settled(spool, found, line):
                found = await spool.look(segment_bytes)
        return found

    async def _ship_groups(self, protected: Protected, lot: _Lot) -> None:
        stores = protected.wal_stores
        try:
            has_changed = await self._ship_into(stores[0], lot)
        except StoreAway as error:
            await self._stores.went_away(stores[0], error.message)
            for store in stores[1:]:
                await self._ship_if_there(store, lot)
        else:
            for store in stores[1:] if has_changed else ():
                self._copy.want(store, lot.policy)
        shipped = await self._catalogue.wal(lot.policy)
        for name in removable(lot.found.groups, lot.system_identifier, shipped, stores):
            await lot.spool.remove(name)

    async def _ship_if_there(self, store: str, lot: _Lot) -> None:
        try:
            await self._ship_into(store, lot)
        except StoreAway as error:
            await self._stores.went_away(store, error.message)

    async def _ship_into(self, store: str, lot: _Lot) -> bool:
        """Bring what a store lacks; whether there was anything."""
        known = _known(await self._catalogue.wal(lot.policy), store, lot.system_identifier)
        has_changed = False
        for folder in lot.found.groups:
            group = folder.group(lot.system_identifier)
            if is_news(group, known.get(group.name), lot.idle):
                await self._save(store, lot.policy, lot.spool, folder, group)
                has_changed = True
        return has_changed

    async def _save(self, store: str, policy: str, spool: Spool, folder: GroupFolder, group: Group) -> None:
        repository = await self._stores.open(store, may_make=True)
        async with self._queues.take(store, JobClass.WAL, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            request = SaveRequest(
                # A segment loses its second name when it leaves the folder that is received into.
                content=FilesToSave((spool.folder(folder.name),), exclude_caches=False, ignores_ctime=True),
                host=HOST,
                tags=group.tags(policy),
                reread_everything=False,
                deadline=DEADLINE,
                stall=STALL,
            )
            saved = await unless_away(repository.save(request, _nobody), store, self._stores)
            if saved.outcome is not SaveOutcome.COMPLETE:
                raise TransientError(
                    f"a batch of WAL of {policy} could not be read whole", "the next one is tried soon"
                )
            shipped = WalShipped(
                policy=policy,
                store=store,
                snapshot_id=saved.snapshot_id,
                system_identifier=group.system_identifier,
                group=group.name,
                segment_bytes=group.first.size,
                through=str(group.through),
                moment=group.moment,
                switches=switch_texts(group.switches),
                added_bytes=saved.added_bytes,
                seconds=saved.seconds,
            )
            await self.outbox.record(shipped)


def _known(shipped: tuple[ShippedGroup, ...], store: str, system_identifier: str) -> Mapping[str, Group]:
    return {
        each.group.name: each.group
        for each in shipped
        if each.store == store and each.group.system_identifier == system_identifier
    }


def _nobody(_: Progress) -> None:
    """A batch takes a second: nobody follows it."""
