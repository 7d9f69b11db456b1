"""Work that stands still is doubted: restic goes on asking a store that is away for a quarter of an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from drd.core.errors import StoreAway
from drd.engines.stores import Stores
from drd.ports.cancelling import to_the_end
from drd.ports.repository import Progress

DOUBT_SECONDS = 20.0
"""After so long without any progress the store is looked at afresh; the work goes on as long as it answers."""

Result = TypeVar("Result")


async def unless_away(
    work: Coroutine[Any, Any, Result], store: str, stores: Stores, newest: Callable[[], Progress | None] = lambda: None
) -> Result:
    """The result of `work` in `store`, whose progress `newest` tells; work that tells of none is always doubted.

    Raises what it raises, and `StoreAway` when it stands still while the store does not answer; it is stopped then.
    """
    task = asyncio.ensure_future(work)
    seen = newest()
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=DOUBT_SECONDS)
            sample = newest()
            if not task.done() and sample == seen and await stores.is_away(store):
                raise StoreAway(f"store {store} is away: {stores.why_away(store)}", "drd tries again by itself")
            seen = sample
        return task.result()
    finally:
        task.cancel()
        await to_the_end(_ended(task))


async def _ended(task: asyncio.Future[Any]) -> None:
    """Wait for the end of what was cancelled; how it ended does not matter any more."""
    await asyncio.wait({task})
    with suppress(asyncio.CancelledError):
        task.exception()
