"""Waiting for a state of real programs: looked for again and again, and never longer than a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable

SECONDS = 20.0


async def until(claim: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Return as soon as `claim` holds; an AssertionError names `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.01)


async def until_true(claim: Callable[[], Awaitable[bool]], what: str, seconds: float = SECONDS) -> None:
    """The same for a claim that has to be awaited."""
    deadline = time.monotonic() + seconds
    while not await claim():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.01)
