"""Retention of WAL: groups of it go from a store when no kept base backup and no promised moment needs them any more.

What is needed follows from the base backups, so they have to be known: nothing goes before every store of the policy
was looked through. A group that is in the spool stays, because it would be shipped again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drd.core.catalogue import StoreRecord
from drd.core.errors import PermanentError, RefusedByGuard
from drd.core.events import ForgetStarted, RetentionHeld, WalForgotten
from drd.core.postgres.groups import ShippedGroup
from drd.core.postgres.letting_go import superfluous_groups
from drd.core.retention import FEW, MOST_AT_ONCE
from drd.core.suspicion import to_release
from drd.engines.stores import Stores
from drd.engines.suspecting import why_suspect
from drd.engines.telling import ToldOnce
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Catalogue, Journal
from drd.ports.spool import Spools

FORGOTTEN_AT_ONCE = 500
"""Each id is an argument, and batches wait for their turn meanwhile."""


@dataclass(frozen=True, slots=True)
class SuperfluousWal:
    """The groups of a store that nothing needs. `held` says why none of them may go."""

    groups: tuple[ShippedGroup, ...] = ()
    held: str = ""
    release: str = ""
    """What a person types when they know why they are held."""


class WalRetention:
    """Lets go of what is not needed of the policies' WAL."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        spools: Spools,
        stores: Stores,
        queues: WorkQueues,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._spools = spools
        self._stores = stores
        self._queues = queues
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._told = ToldOnce[tuple[str, str]](journal)

    async def plan(self, policy: str, store: str, by_a_person: bool = False) -> SuperfluousWal:
        """What would go of a policy's WAL in a store now; changes nothing."""
        protected = self._configuration().policies.get(policy)
        records = await self._catalogue.stores()
        if protected is None or not _are_known(protected, records):
            return SuperfluousWal()
        here = [each for each in await self._catalogue.wal(policy) if each.store == store]
        superfluous = await self._superfluous(protected, store)
        hold = records[store].hold if store in records else None
        suspected = why_suspect(await self._catalogue.policy(policy))
        held = _why_held(here, superfluous, hold or suspected or None, by_a_person)
        return SuperfluousWal(
            superfluous, held, to_release(policy) if suspected and not hold else f"type: drd release {store}"
        )

    async def forget(
        self,
        policy: str,
        store: str,
        by_a_person: bool = False,
        on_wait: Callable[[str], None] | None = None,
    ) -> tuple[str, ...]:
        """Forget the groups of a policy's WAL in a store that nothing needs; the ids of their batches that are gone.

        What holds everything back is journaled once; a person is told each time, by `RefusedByGuard`. Raises
        `PermanentError` when the store still lists what was to go. `on_wait` is told what its turn is waited for.
        """
        superfluous = await self._free(policy, store, by_a_person)
        return await self._forget(policy, store, superfluous, by_a_person, on_wait) if superfluous else ()

    async def _free(self, policy: str, store: str, by_a_person: bool) -> tuple[ShippedGroup, ...]:
        """The groups that may go now; none when something holds them back, which is told."""
        plan = await self.plan(policy, store, by_a_person)
        if not plan.held:
            self._told.over((policy, store))
            return plan.groups
        await self._told.tell((policy, store), plan.held, RetentionHeld(policy, store, plan.held))
        if by_a_person:
            raise RefusedByGuard(f"nothing is forgotten in store {store}: {plan.held}", plan.release)
        return ()

    async def _superfluous(self, protected: Protected, store: str) -> tuple[ShippedGroup, ...]:
        policy = protected.policy
        points, shipped = await self._catalogue.points(policy.name), await self._catalogue.wal(policy.name)
        found = superfluous_groups(points, shipped, store, policy.backup.keep.any_moment, self._clock.now())
        spooled = await self._spooled(policy.name) if found else frozenset()
        return tuple(
            each
            for each in found
            if each.store == store and (each.group.system_identifier, each.group.name) not in spooled
        )

    async def _spooled(self, policy: str) -> frozenset[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for system_identifier, segment_bytes in await self._spools.known(policy):
            groups = (await self._spools.of(policy, system_identifier).look(segment_bytes)).groups
            found |= {(system_identifier, folder.name) for folder in groups}
        return frozenset(found)

    async def _forget(
        self,
        policy: str,
        store: str,
        superfluous: tuple[ShippedGroup, ...],
        by_a_person: bool,
        on_wait: Callable[[str], None] | None,
    ) -> tuple[str, ...]:
        repository = await self._stores.open(store)
        at_once = self._stores.configured(store).limits.at_once
        gone: list[str] = []
        left = 0
        for planned in _lots(superfluous):
            async with self._queues.take(store, JobClass.FORGET, at_once, on_wait):
                await self._stores.confirm_identity(store, repository)
                # While the turn was waited for, the store may have been held, or what leads on from a group come.
                names_planned = {(each.group.system_identifier, each.group.name) for each in planned}
                free = await self._free(policy, store, by_a_person)
                lot = [each for each in free if (each.group.system_identifier, each.group.name) in names_planned]
                if not lot:
                    continue
                # A group is known by its newest batch, which goes last: what is cut short is done again.
                ids = tuple(batch for each in lot for batch in (*each.superseded, each.snapshot_id))
                await self._journal.append(ForgetStarted(policy, store, ids))
                went = await repository.forget(ids)
                if went:
                    names = tuple(each.group.name for each in lot if each.snapshot_id in went)
                    await self._journal.append(WalForgotten(policy, store, went, names))
            gone += went
            left += len(ids) - len(went)
        if left:
            raise PermanentError(
                f"store {store} still lists {left} batches of WAL that were to be forgotten",
                "it is append-only: prune there with a credential that may delete",
            )
        return tuple(gone)


def _are_known(protected: Protected, records: Mapping[str, StoreRecord]) -> bool:
    """Whether all base backups of a policy are: each store that they go to was looked through once."""
    found = [records.get(store) for store in protected.policy.backup.to]
    return all(record is not None and record.last_reconciled is not None for record in found)


def _why_held(
    here: list[ShippedGroup], superfluous: tuple[ShippedGroup, ...], hold: str | None, by_a_person: bool
) -> str:
    """Why none of the superfluous groups of a store may go; empty when they may."""
    if not superfluous:
        return ""
    if hold is not None:
        return hold
    if len(here) >= FEW and len(superfluous) > MOST_AT_ONCE * len(here) and not by_a_person:
        return f"it would remove {len(superfluous)} of {len(here)} groups of WAL at once"
    return ""


def _lots(superfluous: tuple[ShippedGroup, ...]) -> list[list[ShippedGroup]]:
    lots: list[list[ShippedGroup]] = []
    count = FORGOTTEN_AT_ONCE
    for each in superfluous:
        batches = len(each.superseded) + 1
        if count + batches > FORGOTTEN_AT_ONCE:
            lots.append([])
            count = 0
        lots[-1].append(each)
        count += batches
    return lots
