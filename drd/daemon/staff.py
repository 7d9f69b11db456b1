"""The workers of a serving daemon: one for each store, for each protected database, for all that is watched."""

from __future__ import annotations

import asyncio
from typing import Final

from drd.daemon.house import House
from drd.daemon.watchers import Watchers

LETTING_GO_SECONDS: Final = 60.0
"""How long the work on a database waits for what was begun under another configuration to end."""


class Staff:
    """Starts and ends the workers as stores and policies come, change and go."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stores: dict[str, asyncio.Task[None]] = {}
        self._databases: dict[str, tuple[str, asyncio.Task[None]]] = {}
        """Policy → its digest when the work on its database was begun, and who does that."""
        self._ending: dict[str, set[asyncio.Task[None]]] = {}
        """Policy → who did that before a reload, and was told to end."""
        self._watchers = Watchers(house.watching, house.serving)

    def fill(self, group: asyncio.TaskGroup) -> None:
        """Let everything in the configuration in force have its worker, and nothing else."""
        configuration = self._house.in_force()
        self._fill_stores(set(configuration.stores), group)
        self._fill_databases(group)
        self._watchers.staff(configuration.policies, group)

    def dismiss(self) -> None:
        """End them all."""
        for worker in (*self._stores.values(), *(each for _, each in self._databases.values())):
            worker.cancel()
        self._watchers.stop()

    def _fill_stores(self, wanted: set[str], group: asyncio.TaskGroup) -> None:
        for store in wanted - set(self._stores):
            self._stores[store] = group.create_task(self._tend_store(store), name=f"store {store}")
        for store in set(self._stores) - wanted:
            self._stores.pop(store).cancel()

    def _fill_databases(self, group: asyncio.TaskGroup) -> None:
        """One worker for each policy that protects a database; a policy that has changed gets another one."""
        policies = self._house.in_force().policies
        wanted = {name: each.digest for name, each in policies.items() if each.servers or each.wal_origin}
        for policy in [name for name, (digest, _) in self._databases.items() if wanted.get(name) != digest]:
            worker = self._databases.pop(policy)[1]
            worker.cancel()
            self._ending[policy] = {worker, *(each for each in self._ending.get(policy, ()) if not each.done())}
        for policy in wanted.keys() - self._databases.keys():
            worker = group.create_task(self._tend_database(policy), name=f"database of {policy}")
            self._databases[policy] = wanted[policy], worker

    async def _tend_store(self, store: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._house.copy.serve(store), name=f"copy {store}")
            group.create_task(self._house.upkeep.serve(store), name=f"upkeep {store}")

    async def _tend_database(self, policy: str) -> None:
        # Two of them would receive into one spool and ship from it.
        ending = {each for each in self._ending.get(policy, ()) if not each.done()}
        if ending:
            await asyncio.wait(ending, timeout=LETTING_GO_SECONDS)
        protected = self._house.in_force().policies.get(policy)
        if protected is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._house.heartbeats.serve(policy), name=f"heartbeat of {policy}")
            if protected.wal_origin is not None:
                group.create_task(self._house.archive.serve(policy), name=f"WAL of {policy}")
                group.create_task(self._house.standby_slots.serve(policy), name=f"slots of {policy}")
