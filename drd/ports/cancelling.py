"""Being cancelled: what both sides of a port do with work that may not be left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await `work` to its end, however often the caller is cancelled meanwhile; the cancel takes effect after it.

    A cancel is stronger than a failure of the work, which is then only its cause: whoever cancels waits for the cancel.
    """
    task = asyncio.ensure_future(work)
    cancel: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancel = error
    if cancel is None:
        return task.result()
    failure = None if task.cancelled() else task.exception()
    raise cancel from failure
