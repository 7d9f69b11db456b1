"""The same slot on every node: after a failover WAL is received from the new primary without a gap.

A server keeps no slots of another's. So each node that may become the primary gets one of the same name, which is moved
up to what is safe in the spool: it holds back there what nobody has, and not more. While nothing is received it goes
before it fills that node's disk. The look at every node also finds
the new primary while the old one still answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from drd.core.errors import NOT_NOW, DrdError
from drd.core.events import StandbySlotFailed
from drd.core.postgres.errors import ServerAway
from drd.core.postgres.names import slot_name
from drd.core.postgres.server import WalStatus
from drd.engines.receiver_state import ReceiverState
from drd.engines.receiving import Receiving
from drd.engines.telling import ToldOnce
from drd.ports.configuration import Configuration
from drd.ports.journal import Journal
from drd.ports.servers import DatabaseServers, ReachedNode
from drd.ports.world import World

LOOK_SECONDS: Final = 15.0
"""How often each node is looked at."""


class StandbySlots:
    """Looks after the nodes that WAL is not received from now."""

    def __init__(
        self, configuration: Callable[[], Configuration], receiving: Receiving, journal: Journal, world: World
    ) -> None:
        self._configuration = configuration
        self._receiving = receiving
        self._journal = journal
        self._world = world
        self._told = ToldOnce[tuple[str, str]](journal)

    async def serve(self, policy: str) -> None:
        """Look again and again until cancelled; what fails on a node is told once."""
        while True:
            protected = self._configuration().policies.get(policy)
            if protected is None or protected.servers is None or protected.wal_origin is None:
                return
            if len(protected.servers.names) < 2:
                return
            await self.look(policy, protected.servers)
            await self._world.clock.sleep(LOOK_SECONDS)

    async def look(self, policy: str, servers: DatabaseServers) -> None:
        """Look at each node once."""
        line = self._receiving.line(policy)
        for name in servers.names:
            if not line.system_identifier or name == line.node:
                continue
            try:
                async with servers.reached_by_name(self._world, name) as node:
                    await self._keep(policy, line, node)
                self._told.over((policy, name))
            except ServerAway:
                continue  # nothing is lost by it: what it will be is seen when it is there again
            except DrdError as error:
                await self._tell(policy, name, error)

    async def _keep(self, policy: str, line: ReceiverState, node: ReachedNode) -> None:
        if node.facts.system_identifier != line.system_identifier:
            return  # told by whoever chooses among the nodes
        if not node.facts.is_in_recovery:
            if node.facts.timeline > line.timeline and not line.why_not:
                line.turned = f"{node.name} is the primary now, on timeline {node.facts.timeline}"
            return
        slot = slot_name(policy)
        if line.flushed is not None:
            await node.server.create_slot(slot)
            await node.server.advance_slot(slot, line.flushed)
        elif node.facts.max_slot_wal_keep_bytes is None:
            await _relieve(node, slot)

    async def _tell(self, policy: str, name: str, error: DrdError) -> None:
        told = StandbySlotFailed(policy, name, error.message, error.hint)
        try:
            await self._told.tell((policy, name), error.message, told)
        except NOT_NOW:
            return


async def _relieve(node: ReachedNode, name: str) -> None:
    """While nothing is received, drop a slot that holds back so much that it would fill the standby's disk one day."""
    slot = await node.server.slot(name)
    if slot is not None and slot.wal_status is not WalStatus.RESERVED:
        await node.server.drop_slot(name)
