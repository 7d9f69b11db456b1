"""The servers of a policy's database in memory, and a source that has them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from drd.core.postgres.errors import ServerAway
from drd.core.postgres.nodes import NodeRole, Seen, choose
from drd.ports.servers import DatabaseServers, ReachedNode
from drd.ports.world import World
from tests.fakes.postgres import FakePostgres
from tests.fakes.source import FakeSource
from tests.fakes.spool import StreamedSource


@dataclass
class FakeServers:
    """Nodes by their names; each is what its server says at the moment."""

    nodes: dict[str, FakePostgres] = field(default_factory=dict)
    wants_heartbeat: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.nodes)

    @asynccontextmanager
    async def reached(self, world: World, wanted: tuple[NodeRole, ...] = ()) -> AsyncIterator[ReachedNode]:
        if self.names == ("",):
            async with self.reached_by_name(world, "") as node:
                yield node
            return
        choice = choose([await self._look(name) for name in self.names], wanted or (NodeRole.PRIMARY,))
        async with self.reached_by_name(world, choice.node.name) as node:
            yield node

    @asynccontextmanager
    async def reached_by_name(self, world: World, name: str) -> AsyncIterator[ReachedNode]:
        server = self.nodes[name]
        yield ReachedNode(name, b"dsn", server, await server.facts())

    async def _look(self, name: str) -> Seen:
        try:
            return Seen(name, await self.nodes[name].facts())
        except ServerAway as error:
            return Seen(name, why_not=error.message)


class DatabaseSource(FakeSource):
    """A source that is a database, and says where."""

    given: Any = None

    @property
    def servers(self) -> DatabaseServers | None:
        return self.given  # type: ignore[no-any-return]


class StreamedDatabase(StreamedSource):
    """The same, whose WAL is received."""

    given: Any = None

    @property
    def servers(self) -> DatabaseServers | None:
        return self.given  # type: ignore[no-any-return]
