"""The daemon's server on a socket of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from drd.api.server import ApiServer
from drd.api.tokens import Tokens
from drd.ports.triggers import Triggers
from tests.fakes.control import FakeControl

DEADLINE_SECONDS = 10


class Bugs(list[tuple[str, BaseException]]):
    """What the server reported as its own mistakes."""

    async def note(self, what: str, error: BaseException) -> None:
        self.append((what, error))


async def one_metric() -> bytes:
    return b"drd_up 1\n"


@asynccontextmanager
async def serving(
    fake: FakeControl,
    path: Path,
    bugs: Bugs | None = None,
    *,
    heartbeat_seconds: float = 5.0,
    listen: tuple[str, int] | None = ("127.0.0.1", 0),
    metrics: Callable[[], Awaitable[bytes]] = one_metric,
    alive: tuple[bool, str] = (True, "alive"),
    who: Callable[[int], str] = lambda _port: "",
    tokens: Tokens | None = None,
    triggers: Triggers | None = None,
) -> AsyncIterator[ApiServer]:
    server = ApiServer(
        fake,
        metrics,
        lambda: alive,
        path,
        listen,
        on_bug=(bugs if bugs is not None else Bugs()).note,
        who_listens=who,
        heartbeat_seconds=heartbeat_seconds,
        tokens=tokens,
        triggers=triggers,
    )
    task = asyncio.create_task(server.serve())
    ready = asyncio.create_task(server.ready())
    await asyncio.wait([task, ready], timeout=DEADLINE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
        yield server
    finally:
        ready.cancel()
        await server.stop()
        if not task.done():
            await asyncio.wait_for(task, DEADLINE_SECONDS)
