"""Calls into file systems that may hang, as a network file system does whose server is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def within(seconds: float, look: Callable[[], Result]) -> Result:
    """What `look` returns or raises, or `TimeoutError` when it has not come back by then.

    It runs in a thread of its own that drd does not wait for at its end: a hanging call cannot be stopped, and in a
    shared pool a few of them would block everybody.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def tell(deliver: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: None if answer.done() else deliver())

    def work() -> None:
        try:
            result = look()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            failure = error
            tell(lambda: answer.set_exception(failure))
        else:
            tell(lambda: answer.set_result(result))

    threading.Thread(target=work, name="drd-look", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await answer
