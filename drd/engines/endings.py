"""Facts that must be on record: whoever is cancelled still journals its end, and a full disk only puts that off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from drd.core.errors import NOT_NOW
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
    """Journals ends and what else must not be lost; what the journal cannot take now is kept until it can."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._owed: list[tuple[Body, str | None]] = []

    @property
    def owed(self) -> int:
        """How many facts are not on record yet."""
        return len(self._owed)

    async def record(self, body: Body, run: str | None = None) -> bool:
        """Journal a fact now; False when it is owed: there is no room, or earlier ones have to go first."""
        if not self._owed:
            try:
                await self._journal.append(body, run=run)
            except NOT_NOW:
                pass
            else:
                return True
        self._owed.append((body, run))
        return False

    async def pay(self) -> None:
        """Journal what is owed. Raises `StateFull` while there is no room, and `Busy` while it is locked."""
        while self._owed:
            body, run = self._owed[0]
            await self._journal.append(body, run=run)
            self._owed.pop(0)
