"""The servers of a cluster, looked at all at once whenever one of them is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from drd.clients.postgres.connection import Patience
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.server import PostgresServer
from drd.core.errors import DrdError, SourceRefused
from drd.core.postgres.nodes import Choice, NodeRole, Seen, choose
from drd.core.secrets import SecretReference
from drd.ports.secrets import Secrets
from drd.ports.servers import ReachedNode
from drd.ports.world import World

LOOKING = Patience(timedelta(seconds=5), timedelta(seconds=5))
"""How long each of several is waited for; one that is dead shall not hold up what another can give."""
ALONE_SECONDS = 1.0
"""When one has answered that will do, the others have so long to say otherwise."""


@dataclass(frozen=True, slots=True)
class Member:
    """One server of a cluster."""

    name: str
    """The node; empty for the only one."""
    dsn: SecretReference
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ClusterServers:
    """Implements `drd.ports.servers.DatabaseServers`."""

    members: tuple[Member, ...]
    wanted: tuple[NodeRole, ...]
    """What the only one has to be; of several, WAL comes from the primary."""
    wants_heartbeat: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes."""
        return tuple(each.name for each in self.members)

    @asynccontextmanager
    async def reached(self, world: World, wanted: tuple[NodeRole, ...] = ()) -> AsyncIterator[ReachedNode]:
        """The best server of these roles."""
        if len(self.members) == 1 and not self.members[0].name:
            async with self._connected(world, self.members[0]) as node:
                _demand_role(node, wanted or self.wanted)
                yield node
            return
        choice = await self._chosen(world.secrets, wanted or (NodeRole.PRIMARY,))
        async with self._connected(world, self._member(choice.node.name), choice.note) as node:
            yield node

    @asynccontextmanager
    async def reached_by_name(self, world: World, name: str) -> AsyncIterator[ReachedNode]:
        """One of them."""
        async with self._connected(world, self._member(name)) as node:
            yield node

    def _member(self, name: str) -> Member:
        return next(each for each in self.members if each.name == name)

    @asynccontextmanager
    async def _connected(self, world: World, member: Member, note: str = "") -> AsyncIterator[ReachedNode]:
        dsn = await world.secrets.read(member.dsn)
        server = PostgresServer(Dsn.parse(dsn))
        try:
            yield ReachedNode(member.name, dsn, server, await server.facts(), note)
        finally:
            await server.close()

    async def _chosen(self, secrets: Secrets, wanted: tuple[NodeRole, ...]) -> Choice:
        """Ask all at once. A choice is made when all have answered, or soon after what is wanted first is there."""
        looks = {asyncio.ensure_future(_look(secrets, each)): each for each in self.members}
        try:
            await _answers(set(looks), wanted[0])
            seen = [
                task.result() if task.done() else Seen(member.name, why_not="it did not answer at once")
                for task, member in looks.items()
            ]
            return choose(seen, wanted)
        finally:
            for task in looks:
                task.cancel()
            await asyncio.gather(*looks, return_exceptions=True)


async def _answers(waiting: set[asyncio.Future[Seen]], wanted: NodeRole) -> None:
    """Wait for all, or a moment longer than for the first that is what is wanted."""
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting and any(task.result().role is wanted for task in done):
            await asyncio.wait(waiting, timeout=ALONE_SECONDS)
            return


async def _look(secrets: Secrets, member: Member) -> Seen:
    try:
        server = PostgresServer(Dsn.parse(await secrets.read(member.dsn)), LOOKING)
        try:
            facts, positions = await server.facts(), await server.positions()
        finally:
            await server.close()
    except DrdError as error:
        return Seen(member.name, priority=member.priority, why_not=error.message)
    return Seen(member.name, facts, positions.newest, member.priority)


def _demand_role(node: ReachedNode, wanted: tuple[NodeRole, ...]) -> None:
    found = NodeRole.STANDBY if node.facts.is_in_recovery else NodeRole.PRIMARY
    if found not in wanted:
        raise SourceRefused(
            f"{node.server.place} is a {found}, and the policy wants the {wanted[0]}",
            f"correct the dsn, or write from: {found}",
        )
