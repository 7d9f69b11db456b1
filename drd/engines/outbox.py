"""Facts that must be on record: whoever is cancelled still journals its end, and a full disk only puts that off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from drd.core.errors import NOT_NOW
from drd.core.events import Body
from drd.ports.cancelling import to_the_end
from drd.ports.journal import Journal


class Outbox:
    """Journals ends and what else must not be lost; what the journal cannot take now is kept until it can."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._owed: list[tuple[tuple[Body, ...], str | None]] = []
        self._paying = asyncio.Lock()

    @property
    def owed(self) -> int:
        """How many transactions are not on record yet."""
        return len(self._owed)

    async def record(self, body: Body, run: str | None = None) -> bool:
        """Journal a fact now; False when it is owed: there is no room, or earlier ones have to go first."""
        return await self.record_together((body,), run)

    async def record_together(self, bodies: Sequence[Body], run: str | None = None) -> bool:
        """Journal facts in one transaction, now or, all of them together, when there is room; False when they are owed.

        Whoever is cancelled meanwhile hears of it afterwards.
        """
        return await to_the_end(self._record(tuple(bodies), run))

    async def pay(self) -> None:
        """Journal what is owed. Raises `StateFull` while there is no room, and `Busy` while it is locked."""
        async with self._paying:
            while self._owed:
                # What is appended is written also when nobody waits for it any more, and must then not be owed again.
                await to_the_end(self._pay_first())

    async def _record(self, bodies: tuple[Body, ...], run: str | None) -> bool:
        if not self._owed:
            try:
                await self._journal.append(*bodies, run=run)
            except NOT_NOW:
                pass
            else:
                return True
        self._owed.append((bodies, run))
        return False

    async def _pay_first(self) -> None:
        bodies, run = self._owed[0]
        await self._journal.append(*bodies, run=run)
        self._owed.pop(0)
