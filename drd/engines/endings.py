"""Ends that must be on record: whoever is cancelled still journals its end, and a full disk only puts that off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from drd.core.errors import StateFull
from drd.core.events import Body
from drd.ports.journal import Journal

Result = TypeVar("Result")


async def to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await `work` to its end, however often the caller is cancelled meanwhile; the cancel takes effect after it."""
    task = asyncio.ensure_future(work)
    cancel: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancel = error
    result = task.result()
    if cancel is not None:
        raise cancel
    return result


class Ends:
    """Journals ends; one for which there was no room is kept until there is."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._owed: list[tuple[Body, str]] = []

    @property
    def owed(self) -> int:
        """How many ends are not on record yet."""
        return len(self._owed)

    async def record(self, body: Body, run: str) -> bool:
        """Journal an end now; False when the disk was full and it is owed."""
        try:
            await self._journal.append(body, run=run)
        except StateFull:
            self._owed.append((body, run))
            return False
        return True

    async def pay(self) -> None:
        """Journal what is owed. Raises `StateFull` while there is still no room."""
        while self._owed:
            body, run = self._owed[0]
            await self._journal.append(body, run=run)
            self._owed.pop(0)
