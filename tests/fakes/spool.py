"""The real spool without threads, for tests in virtual time; and a source whose WAL a fake server writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from drd.clients.spool import FolderSpool
from drd.core.postgres.spooling import Moves
from drd.ports.wal import ReachedServer, SpoolRules, WalOrigin
from drd.ports.world import World
from tests.fakes.source import FakeSource

Result = TypeVar("Result")


@dataclass
class Moving:
    """Files that are moved in a spool."""

    seconds: float = 0.0
    """How long it takes."""
    at_once: int = 0
    most_at_once: int = 0

    @asynccontextmanager
    async def around(self) -> AsyncIterator[None]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            yield
        finally:
            self.at_once -= 1


class DirectSpool(FolderSpool):
    """Works on the loop."""

    moving = Moving()

    async def carry_out(self, moves: Moves) -> tuple[str, ...]:
        async with self.moving.around():
            return await super().carry_out(moves)

    async def begin_anew(self) -> tuple[str, ...]:
        async with self.moving.around():
            return await super().begin_anew()

    async def _off_the_loop(self, work: Callable[[], Result]) -> Result:
        return work()


class DirectSpools:
    """Spools below a folder; a test says how much room there is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.free = 2**40
        self.total = 2**41
        self.moving = Moving()

    def of(self, policy: str, system_identifier: str) -> DirectSpool:
        spool = DirectSpool(self.root / policy / system_identifier, system_identifier)
        spool.moving = self.moving
        return spool

    async def known(self, policy: str) -> tuple[tuple[str, int], ...]:
        folder = self.root / policy
        return tuple((path.name, 2**20) for path in sorted(folder.iterdir())) if folder.exists() else ()

    async def free_bytes(self) -> int:
        return self.free

    async def total_bytes(self) -> int:
        return self.total


class StreamedSource(FakeSource):
    """A source whose WAL is received all the time from a fake server by fake programs."""

    server: Any = None
    tools: Any = None
    rules: Any = SpoolRules()

    @property
    def wal_origin(self) -> WalOrigin | None:
        return self

    @asynccontextmanager
    async def reached(self, world: World) -> AsyncIterator[ReachedServer]:
        yield ReachedServer(b"dsn", self.server, self.tools, await self.server.facts())
