"""Calls into file systems that may hang, as a network file system does whose server is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")

_Place = tuple[asyncio.AbstractEventLoop, Hashable]
_under_way: dict[_Place, asyncio.Future[None]] = {}
"""What threads are looking at now; each is done when its thread is."""


async def within(seconds: float, look: Callable[[], Result], place: Hashable = None) -> Result:
    """What `look` returns or raises, or `TimeoutError` when it has not come back by then.

    It runs in a thread of its own that drd does not wait for at its end: a hanging call cannot be stopped, and in a
    shared pool a few of them would block everybody. Of those that name the same `place` only one looks at a time, the
    others wait for that: however often a place that hangs is asked for, it takes one thread.
    """
    async with asyncio.timeout(seconds):
        loop = asyncio.get_running_loop()
        if place is None:
            return await _in_a_thread(look, None)
        while (earlier := _under_way.get((loop, place))) is not None:
            await asyncio.wait({earlier})
        return await _in_a_thread(look, (loop, place))


async def _in_a_thread(look: Callable[[], Result], place: _Place | None) -> Result:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()
    over: asyncio.Future[None] = loop.create_future()
    if place is not None:
        _under_way[place] = over

    def tell(deliver: Callable[[], None]) -> None:
        if place is not None:
            del _under_way[place]
        with suppress(RuntimeError):  # drd has ended meanwhile, and its loop with it
            loop.call_soon_threadsafe(lambda: None if answer.done() else deliver())
            loop.call_soon_threadsafe(over.set_result, None)

    def work() -> None:
        try:
            result = look()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            failure = error
            tell(lambda: answer.set_exception(failure))
        else:
            tell(lambda: answer.set_result(result))

    threading.Thread(target=work, name="drd-look", daemon=True).start()
    return await answer
