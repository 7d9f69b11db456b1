"""What goes on beside the demonstration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def meanwhile(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Let something go on as long as the context lasts."""
    going = asyncio.create_task(work)
    try:
        yield
    finally:
        going.cancel()
        with suppress(asyncio.CancelledError):
            await going
