"""The shop's customers: they order all the time, and every order that the database has acknowledged is noted."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from drd.clients.clock import SystemClock
from drd.clients.postgres import Dsn, Patience
from drd.clients.postgres.connection import Connection
from drd.core.errors import DrdError

PAUSE_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 1.0
MOST_NOTED: Final = 200_000
"""Lines that the note begins with; older ones are dropped."""
PATIENCE: Final = Patience(connect=timedelta(seconds=2), answer=timedelta(seconds=5))
_BUY: Final = "INSERT INTO orders (amount) VALUES (%s) RETURNING id, placed_at, amount"


class Acknowledged:
    """The note: a line `id,placed_at,acknowledged_at,amount` an order, written after its commit was acknowledged.

    What stands in it and not in the database, or in a copy of a later moment, is lost.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self) -> None:
        """Drop what is too old to be asked for, and a line that a kill cut off."""
        self._file.write_text("".join(f"{line}\n" for line in self._whole_lines()[-MOST_NOTED:]))

    def add(self, line: str) -> None:
        """Note an order."""
        with self._file.open("a") as note:
            note.write(f"{line}\n")

    def ids(self) -> frozenset[int]:
        """The orders that are noted."""
        return frozenset(int(line.partition(",")[0]) for line in self._whole_lines())

    def moments(self) -> list[datetime]:
        """When they were acknowledged."""
        return [datetime.fromisoformat(line.split(",")[2]) for line in self._whole_lines()]

    def _whole_lines(self) -> list[str]:
        text = self._file.read_text() if self._file.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()


async def keep_ordering(shop: Dsn, note: Acknowledged) -> None:
    """Place an order every half second, until cancelled; while the database is away, customers try again."""
    clock, connection = SystemClock(), Connection(shop, PATIENCE)
    await asyncio.to_thread(note.begin)
    try:
        while True:
            try:
                [order] = await connection.rows(_BUY, (f"{secrets.randbelow(20_000) / 100 + 1:.2f}",))
            except DrdError:
                # Whether it was committed is not known, so it is not noted.
                await asyncio.sleep(RETRY_SECONDS)
                continue
            at = clock.now().isoformat()
            line = f"{order['id']},{order['placed_at'].isoformat()},{at},{order['amount']}"
            await asyncio.to_thread(note.add, line)
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await connection.close()
