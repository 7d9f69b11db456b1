"""The real spool without threads, for tests in virtual time; and a source whose WAL a fake server writes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from drd.clients.spool import FolderSpool
from drd.ports.wal import ReachedServer, SpoolRules, WalOrigin
from drd.ports.world import World
from tests.fakes.source import FakeSource

Result = TypeVar("Result")


class DirectSpool(FolderSpool):
    """Works on the loop."""

    async def _off_the_loop(self, work: Callable[[], Result]) -> Result:
        return work()


class DirectSpools:
    """Spools below a folder; a test says how much room there is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.free = 2**40
        self.total = 2**41

    def of(self, policy: str, system_identifier: str) -> DirectSpool:
        return DirectSpool(self.root / policy / system_identifier, system_identifier)

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
